"""Half precision, mixed dtypes, complex numbers, and whatever else may be a leaf."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.apply import apply_updates
from tests.registry import WHOLE, Pair, parametrize, steps

STEPS = 200
HALVES = {"bfloat16": jnp.bfloat16, "float16": jnp.float16}
# Wrappers pick leaves by the names of another tree, and Optax has a policy of its own.
PLAIN = [e for e in WHOLE if e.name not in ("Masked", "Frozen", "Partition", "FromOptax")]
NOISELESS = [e for e in PLAIN if e.smooth]
BY_MAGNITUDE = [e for e in NOISELESS if e.by_magnitude]


def few_digits(x: np.ndarray) -> np.ndarray:
    """``x`` with so few digits that every dtype here holds it exactly."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 128) / 128, exponent)


@parametrize(PLAIN)
def test_half_precision_stays_finite_and_follows_float32(entry, rng):
    # Stretches of ordinary, zero, huge (no float16 holds their squares) and small gradients.
    sizes = np.repeat([1.0, 0.0, 1000.0, 1e-2], STEPS // 4)
    drawn = few_digits(rng.normal(size=(STEPS, 6)) * sizes[:, None])
    start = few_digits(rng.normal(size=6))
    dtypes = {"float32": jnp.float32, **HALVES}
    params = {name: jnp.asarray(start, dtype) for name, dtype in dtypes.items()}
    gradients = {name: jnp.asarray(drawn, dtype) for name, dtype in dtypes.items()}

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(params: Any, gradients: Any) -> Any:
        def step(state: Any, g: Any) -> Any:
            updates, state = entry.update(g, state, params)
            return state, updates

        return jax.lax.scan(step, entry.rule.init(params), gradients)[1]

    updates = run(params, gradients)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, gradients)
    chex.assert_tree_all_finite(updates)
    if entry not in NOISELESS:
        return
    exact = np.asarray(updates["float32"], np.float64)
    for name, dtype in HALVES.items():
        info = jnp.finfo(dtype)
        off = np.abs(np.asarray(updates[name], np.float64) - exact)
        size = np.abs(exact).max(axis=1, keepdims=True)
        assert (off <= 4 * float(info.eps) * size + float(info.smallest_subnormal)).all()


@parametrize(NOISELESS)
def test_parameters_and_gradients_of_two_dtypes(entry, rng):
    start, drawn = few_digits(rng.normal(size=3)), few_digits(rng.normal(size=(3, 3)))

    def run(params_dtype: Any, dtype: Any) -> Any:
        return steps(entry, jnp.asarray(start, params_dtype), list(jnp.asarray(drawn, dtype)))

    exact = np.asarray(run(jnp.float32, jnp.float32))
    for params_dtype, dtype in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16)):
        updates = run(params_dtype, dtype)
        assert updates[0].dtype == dtype
        off = np.abs(np.asarray(updates, np.float32) - exact).max()
        assert off <= 2e-2 * np.abs(exact).max()


@parametrize(BY_MAGNITUDE)
def test_a_complex_leaf_is_treated_by_its_magnitude(entry, rng):
    """Real numbers in a complex leaf, turned or not, go as real leaves of their own do."""
    start, drawn = rng.normal(size=2), rng.normal(size=(3, 2))

    def leaves(x: Any) -> Any:
        x = jnp.asarray(x, jnp.float32)
        plain = x.astype(jnp.complex64)
        return {"real": x, "complex": plain, "turned": plain * jnp.complex64(1j)}

    updates = steps(entry, leaves(start), [leaves(g) for g in drawn])
    for u in updates:
        assert u["complex"].dtype == jnp.complex64
        chex.assert_trees_all_close(u["complex"].real, u["real"], rtol=1e-5)
        chex.assert_trees_all_close(u["turned"].imag, u["real"], rtol=1e-5)
        chex.assert_trees_all_close(u["complex"].imag, jnp.zeros(2), atol=1e-6)
        chex.assert_trees_all_close(u["turned"].real, jnp.zeros(2), atol=1e-6)


@parametrize(NOISELESS)
def test_second_moments_of_complex_leaves_are_real(entry):
    state = entry.rule.init(jnp.ones(2, jnp.complex64))
    found = jax.tree_util.tree_flatten_with_path(state)[0]
    for path, leaf in found:
        if path[-1:] and getattr(path[-1], "name", "") in ("nu", "nu_max", "e_g", "e_x"):
            assert leaf.dtype == jnp.float32


@parametrize(PLAIN)
def test_python_numbers_none_and_empty_arrays_are_leaves_like_any(entry):
    params = {"a": 1.0, "b": None, "c": jnp.zeros((0, 3)), "d": Pair(-2.0, [jnp.ones(2)])}
    arrays = jax.tree.map(jnp.asarray, params)
    first, second = steps(entry, params, [params, params])
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.tree.map(jnp.asarray, first), arrays)
    assert second["b"] is None
    new = apply_updates(params, second)
    chex.assert_trees_all_equal_shapes_and_dtypes(new, arrays)
    chex.assert_trees_all_close(steps(entry, arrays, [arrays] * 2), [first, second], rtol=1e-6)


@parametrize(PLAIN)
def test_a_tree_without_leaves_is_a_tree(entry):
    for params in ({}, (), None, {"a": None}):
        updates, _ = entry.update(params, entry.rule.init(params), params)
        assert updates == params


@pytest.mark.usefixtures("x64")
@parametrize(NOISELESS)
def test_double_precision_is_kept_where_it_is_and_only_there(entry, rng):
    params = {"coarse": jnp.ones(2, jnp.float32), "fine": jnp.ones(2, jnp.float64)}
    updates = steps(entry, params, [params])[0]
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    for leaf in jax.tree.leaves(entry.rule.init(jnp.ones(2, jnp.float64))):
        assert leaf.dtype in (jnp.float64, jnp.int32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "float16", np.float32])
@pytest.mark.parametrize(
    ("make", "find"),
    [
        (lambda d: ro.SGD(0.1, momentum=0.9, accumulator_dtype=d), lambda s: s.trace_state.trace),
        (lambda d: ro.Adam(0.1, mu_dtype=d), lambda s: s.scale_by_adam.mu),
        (lambda d: ro.AMSGrad(0.1, mu_dtype=d), lambda s: s.scale_by_amsgrad.mu),
        (lambda d: rt.chain(rt.Ema(0.9, accumulator_dtype=d)), lambda s: s.ema_state.ema),
    ],
    ids=["SGD", "Adam", "AMSGrad", "Ema"],
)
def test_a_first_moment_has_the_dtype_that_was_asked_for(make, find, dtype):
    params = {"w": jnp.ones(2)}
    state = make(dtype).init(params)
    for _ in range(2):
        assert find(state)["w"].dtype == jnp.dtype(dtype)
        updates, state = make(dtype).update(params, state, params)
        assert updates["w"].dtype == jnp.float32
