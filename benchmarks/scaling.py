"""How the cost of a sweep grows: with the number of lanes, parameters, trials and steps.

Lanes: Rosenbrock's valley in two dimensions, a step of a few operations, so that what a
lane costs besides the step shows. Each width takes as many steps as the first peer does in
--seconds, at least 64. Parameters and steps: 64 trials of equal length. The peers are
"scan", Optax by hand as jit(vmap(scan)), which neither tests a loss nor keeps the smallest,
and "while", the same step as ours in vmap(while_loop).

Trials: a 10-dimensional quadratic to a gradient norm of 1e-4, in at most 64 lanes; the peer
is the same step in vmap(while_loop), as wide as there are trials.

All with momentum 0.9, one worker, no history. per_s is lane-steps a second, ours first;
times_ours is a peer's time over ours, so below 1 the peer is faster.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import peers
from harness import arguments
from tables import Row, compare, save, show

import ravine as rv

ROSENBROCK, CORNER = rv.problems.rosenbrock().loss, jnp.array([-1.2, 1.0])
TOLERANCE, MAX_STEPS = 1e-4, 20_000


def bowl(x):
    """A quadratic of any dimension, its eigenvalues between 0.01 and 1."""
    return 0.5 * jnp.sum(jnp.linspace(0.01, 1.0, x.size) * x**2)


def momentum(rate: Any) -> rv.SGD:
    """The package's SGD with momentum; the rate may be a space."""
    return rv.SGD(rate, momentum=0.9)


def by_hand(loss: Callable[..., Any], steps: int) -> Callable[..., Any]:
    """All rates from one start, as jit(vmap(scan)): last losses and parameters."""

    def one(rate, x):
        optimizer = optax.sgd(rate, momentum=0.9)

        def body(carry, _):
            x, state, _ = carry
            value, grad = jax.value_and_grad(loss)(x)
            updates, state = optimizer.update(grad, state, x)
            return (optax.apply_updates(x, updates), state, value), None

        start = (x, optimizer.init(x), jnp.zeros(()))
        (x, _, value), _ = jax.lax.scan(body, start, length=steps)
        return value, x

    return jax.jit(jax.vmap(one, in_axes=(0, None)))


def equal_lengths(loss: Any, start: Any, rates: np.ndarray, steps: int, repeats: int) -> Row:
    """A row: a lane for each rate, all of them ``steps`` long."""

    def lanes():
        return rv.sweep(
            loss, start, momentum(rv.Grid(rates)), steps=steps,
            lanes=len(rates), workers=1, record_every=0,
        )  # fmt: skip

    ended = np.sum(lanes().steps < steps)
    if ended:
        raise RuntimeError(f"{ended} trials ended early: a peer does more steps than ours.")
    scan, loop = by_hand(loss, steps), peers.to_the_end(loss, momentum, rv.Diverged(), steps)
    starts = jnp.broadcast_to(start, (len(rates), start.size))
    return compare(
        lambda: lanes().values,
        {"scan": lambda: scan(rates, start), "while": lambda: loop(rates, starts)},
        len(rates) * steps,
        repeats,
    )


def steps_that_fill(seconds: float, rates: np.ndarray) -> int:
    """How many steps the hand-written program takes in so long, roughly; at least 64."""
    steps, took = 8, 0.0
    while took < seconds / 8:
        steps *= 8
        run = partial(by_hand(ROSENBROCK, steps), rates, CORNER)
        jax.block_until_ready(run())
        began = time.perf_counter()
        jax.block_until_ready(run())
        took = time.perf_counter() - began
    return max(64, int(steps * seconds / took))


def with_lanes(widths: Sequence[int], seconds: float, repeats: int) -> list[Row]:
    rows = []
    for lanes in widths:
        rates = np.logspace(-5, -3.6, lanes).astype(np.float32)
        steps = steps_that_fill(seconds, rates)
        row = equal_lengths(ROSENBROCK, CORNER, rates, steps, repeats)
        rows.append({"lanes": lanes, "steps": steps, **row})
    return rows


def with_parameters(sizes: Sequence[int], steps: int, repeats: int) -> list[Row]:
    rates = np.logspace(-2, -0.5, 64).astype(np.float32)
    return [
        {"parameters": n, "steps": steps} | equal_lengths(bowl, jnp.ones(n), rates, steps, repeats)
        for n in sizes
    ]


def with_steps(lengths: Sequence[int], repeats: int) -> list[Row]:
    rates = np.logspace(-5, -3.6, 64).astype(np.float32)
    return [{"steps": n} | equal_lengths(ROSENBROCK, CORNER, rates, n, repeats) for n in lengths]


def with_trials(numbers: Sequence[int], repeats: int) -> list[Row]:
    rows, stop, start = [], rv.GradNorm(TOLERANCE) | rv.Diverged(), jnp.ones(10)
    together = peers.to_the_end(bowl, momentum, stop, MAX_STEPS)
    for trials in numbers:
        rates = np.logspace(-1.5, np.log10(2.2), trials).astype(np.float32)
        rates = np.random.default_rng(0).permutation(rates)

        def lanes(rates=rates):
            return rv.sweep(
                bowl, start, momentum(rv.Grid(rates)), steps=MAX_STEPS, stop=stop,
                workers=1, record_every=0,
            )  # fmt: skip

        def peer(rates=rates):
            return together(rates, jnp.broadcast_to(start, (len(rates), start.size)))

        lane_steps = float(np.sum(lanes().steps + 1))
        row = compare(lambda: lanes().values, {"while": peer}, lane_steps, repeats)
        same = float(np.mean(lanes().steps == np.asarray(peer()[0])))
        rows.append({"trials": trials, "equal_step_counts": same, **row})
    return rows


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parts = ("lanes", "parameters", "trials", "steps")
    parser.add_argument("--only", choices=parts, nargs="+", default=parts, help="some tables")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.2,
        help="of the first peer, in the lanes' table (%(default)s)",
    )
    options = parser.parse_args()
    quick, repeats = options.quick, options.repeats
    widths = (1, 4, 16) if quick else (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
    sizes = (16, 64) if quick else (16, 64, 256, 1024, 4096, 16384)
    numbers = (100, 200) if quick else (1_000, 3_000, 10_000, 30_000, 100_000)
    lengths = (100, 200) if quick else (1_000, 3_000, 10_000, 30_000, 100_000)
    make = {
        "lanes": partial(with_lanes, widths, 0.01 if quick else options.seconds, repeats),
        "parameters": partial(with_parameters, sizes, 64 if quick else 256, repeats),
        "trials": partial(with_trials, numbers, repeats),
        "steps": partial(with_steps, lengths, repeats),
    }
    tables = {}
    for part in options.only:
        tables[part] = make[part]()
        show(f"Growing {part}", tables[part])
    save(options.json, tables)


if __name__ == "__main__":
    main()
