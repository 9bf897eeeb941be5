"""Every configuration against Optax, step by step, on gradients of all magnitudes.

One program a case runs three side by side: Optax, ours with its hyperparameters as
constants, and ours with its hyperparameters as traced arguments.
"""

from functools import partial
from typing import Any

import chex
import jax
import numpy as np
import optax
import pytest

from tests.registry import ENTRIES, PARTS, parametrize, promotion, random_tree

STEPS = 200
CASES = [e for e in ENTRIES if e.optax is not None]
# A float32 slot is rounded each step, and Optax multiplies it in float32, where we do not.
FINE = [e for e in CASES if "float32" not in repr(e.rule)]
# What is part of an optimizer needs no second run of its own in float32.
WHOLE = [e for e in CASES if type(e.rule) not in PARTS]


def run(entry: Any, params: Any, gradients: Any) -> tuple[Any, Any, Any]:
    """The updates of all steps: Optax's, ours with constants, ours traced."""
    assert entry.optax is not None

    # Hardly optimized: these programs run for a millisecond, and compile for a second.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def scan(traced: Any, params: Any, gradients: Any) -> Any:
        def step(states: Any, inputs: Any) -> Any:
            g, p = inputs
            with jax.numpy_dtype_promotion("standard"):
                extra = entry.extra(g, p)
                theirs, s0 = optax.with_extra_args_support(tx).update(g, states[0], p, **extra)
            with promotion(entry):
                ours, s1 = entry.update(g, states[1], p)
                other, s2 = entry._replace(rule=traced).update(g, states[2], p)
            return (s0, s1, s2), (theirs, ours, other)

        first = jax.tree.map(lambda p: p[0], params)
        with jax.numpy_dtype_promotion("standard"):
            start = tx.init(first), entry.rule.init(first), traced.init(first)
        return jax.lax.scan(step, start, (gradients, params))[1]

    tx = entry.optax()
    return scan(entry.rule, params, gradients)


def error(ours: Any, theirs: Any, skip: int) -> float:
    """The largest difference at a step, over the largest magnitude at that step."""
    jax.tree.map(lambda a, b: chex.assert_trees_all_equal_shapes_and_dtypes(a, b), ours, theirs)
    x, y = (
        np.concatenate([np.reshape(leaf, (STEPS, -1)) for leaf in jax.tree.leaves(u)], axis=1)[
            skip:
        ]
        for u in (ours, theirs)
    )
    assert np.isfinite(x).all()
    size = np.abs(y).max(axis=1)
    return float(np.max(np.abs(x - y).max(axis=1) / np.where(size == 0, 1, size)))


@pytest.mark.usefixtures("x64")
@parametrize(FINE)
def test_matches_optax_in_float64(entry, rng):
    dtypes = [np.float64, np.complex128 if entry.complex else np.float64]
    params = random_tree(rng, *dtypes, steps=STEPS)
    gradients = random_tree(rng, *dtypes, steps=STEPS, spread=3)
    theirs, constant, traced = run(entry, params, gradients)
    assert error(constant, theirs, entry.skip) < 1e-12
    assert error(traced, theirs, entry.skip) < 1e-12


@parametrize(WHOLE)
def test_matches_optax_in_float32(entry, rng):
    dtypes = [np.float32, np.complex64 if entry.complex else np.float32]
    params = random_tree(rng, *dtypes, steps=STEPS)
    gradients = random_tree(rng, *dtypes, steps=STEPS, spread=3)
    theirs, constant, traced = run(entry, params, gradients)
    assert error(constant, theirs, entry.skip) < 1e-6
    # The decays themselves are rounded to float32 here: 1 - 0.999 is off by 1e-5.
    assert error(traced, theirs, entry.skip) < 2e-5
