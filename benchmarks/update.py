"""One step of every optimizer that Optax has too: seconds to run, to trace and to compile.

A step is a jitted `update` and `apply_updates`, with parameters and state donated, on three trees:
six large leaves, the leaves of a convolutional network, and a thousand small ones. Ours, the same
in `Packed`, and Optax's take turns, a burst of steps each. The optimizers are those of
the tests' registry.
"""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, ratios, rounds
from tables import save, show

import ravine as rv

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.registry import OPTIMIZERS

ENTRIES = {e.name: e for e in OPTIMIZERS if e.optax is not None}
TREES = {
    "large": {"kernel": (6, (4096, 1024))},
    "network": {"kernel": (40, (3, 3, 64, 64)), "bias": (120, (64,))},
    "small": {"bias": (1000, (16,))},
}
QUICK = {name: {k: (3, shape[-1:]) for k, (_, shape) in t.items()} for name, t in TREES.items()}


def tree_of(shapes, seed):
    """Normal numbers; a tree of a registry is a dict, so this is one as well."""
    normal = np.random.default_rng(seed).standard_normal
    return {
        f"{name}{i}": jnp.asarray(normal(shape), jnp.float32)
        for name, (n, shape) in shapes.items()
        for i in range(n)
    }


class Steps:
    """A compiled step, the parameters and the state that it has come to, and how long it took."""

    def __init__(self, entry, optimizer, apply, shapes):
        def step(params, state, g):
            # What is donated comes back in the same order, or XLA copies it.
            updates, state = optimizer.update(g, state, params, **entry.extra(g, params))
            return apply(params, updates), state

        self.g, self.params = tree_of(shapes, 0), tree_of(shapes, 1)
        self.state = jax.jit(optimizer.init)(self.params)
        began = time.perf_counter()
        lowered = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state, self.g)
        traced = time.perf_counter()
        self.step = lowered.compile()
        self.trace_s, self.compile_s = traced - began, time.perf_counter() - traced
        self.steps = 3
        self()
        began = time.perf_counter()
        self()
        # Bursts of a twentieth of a second: the machine does not change much in between.
        self.steps = max(2, int(0.05 * self.steps / (time.perf_counter() - began)))

    def __call__(self):
        for _ in range(self.steps):
            self.params, self.state = self.step(self.params, self.state, self.g)
        # All arrays of a step are ready at once, and to wait for each of a thousand takes its time.
        return jax.block_until_ready(jax.tree.leaves(self.params)[-1])


def row(entry, shapes, repeats):
    """Ours, packed and Optax's, side by side."""
    theirs = optax.with_extra_args_support(entry.optax())
    contenders = {
        "ours": Steps(entry, entry.rule, rv.apply_updates, shapes),
        "packed": Steps(entry, rv.Packed(entry.rule), rv.apply_updates, shapes),
        "optax": Steps(entry, theirs, optax.apply_updates, shapes),
    }
    burst = min(c.steps for c in contenders.values())
    for c in contenders.values():
        c.steps = burst
    figures = ratios(rounds(contenders, repeats), "optax")
    out = {"optimizer": entry.name}
    for name, f in figures.items():
        out[f"{name}_ms"] = 1e3 * f["seconds"] / burst
    for name in ("ours", "packed"):
        out[f"{name}_over_optax"] = figures[name]["times_ours"]
    for name, c in contenders.items():
        out[f"{name}_trace_s"], out[f"{name}_compile_s"] = c.trace_s, c.compile_s
    return out


def main() -> None:
    parser = arguments(__doc__, repeats=41)
    parser.add_argument("--only", nargs="+", choices=ENTRIES, metavar="NAME", help="some of them")
    parser.add_argument("--trees", nargs="+", choices=TREES, default=list(TREES))
    options = parser.parse_args()
    names = options.only or (["SGD-momentum", "Adam"] if options.quick else ENTRIES)
    tables = {}
    for tree in options.trees:
        shapes = (QUICK if options.quick else TREES)[tree]
        repeats = 3 if options.quick else options.repeats
        tables[tree] = [row(ENTRIES[name], shapes, repeats) for name in names]
        show(f"{tree}: {shapes}", tables[tree])
        save(options.json, tables)


if __name__ == "__main__":
    main()
