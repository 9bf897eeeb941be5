"""Parameters in half precision move as they should, and states can be stored in few bits."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.interop.optax import from_optax
from ravine.transforms.slots import Blocks, code_book, quantized, unpacked
from tests.registry import random_tree

HALVES = [jnp.bfloat16, jnp.float16]
KEPT = {
    "MasterWeights": rv.MasterWeights,
    "StochasticRounding": rv.StochasticRounding,
    "Kahan": rv.Kahan,
}


def run(optimizer: Any, params: Any, gradient: Any, steps: int) -> Any:
    """The parameters after so many steps."""

    @jax.jit
    def scan(params: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            params, state = carry
            updates, state = optimizer.update(gradient(params), state, params)
            return (rv.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0]

    return scan(params)


def ones(params: Any) -> Any:
    return jax.tree.map(jnp.ones_like, params)


# B2 of the list of faults: a hundred steps of 0.001, and the parameter still exactly 1.


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["MasterWeights", "Kahan"])
def test_small_steps_are_not_lost_in_half_precision(name, dtype):
    optimizer = rv.Adam(1e-3)
    start = jnp.array([1.0, -1.0, 3.0, 0.5])
    exact, _ = run(optimizer, start, ones, 100)
    got, _ = run(KEPT[name](optimizer), start.astype(dtype), ones, 100)
    assert got.dtype == dtype
    if name == "MasterWeights":
        np.testing.assert_array_equal(got, exact.astype(dtype))
    # Half a unit in the last place, and a little for what a step of few digits is off.
    ulp = float(jnp.finfo(dtype).eps) * np.abs(exact)
    assert (np.abs(np.asarray(got, float) - exact) <= 0.75 * ulp).all()
    plain, _ = run(optimizer, jnp.array([3.0], dtype), ones, 100)
    assert dtype != jnp.bfloat16 or plain == 3.0


@pytest.mark.parametrize("dtype", HALVES)
def test_stochastic_rounding_is_right_on_average(dtype):
    exact, _ = run(rv.Adam(1e-3), jnp.ones(1), ones, 100)
    got, _ = run(rv.StochasticRounding(rv.Adam(1e-3)), jnp.ones(10_000, dtype), ones, 100)
    got = np.asarray(got, float)
    # A walk of 100 steps, each up to half a unit off either way.
    width = float(jnp.finfo(dtype).eps) / 2 * 10
    assert abs(got.mean() - exact[0]) < 4 * width / 100
    assert 0 < got.std() < width


def test_stochastic_rounding_draws_anew_each_step_and_from_a_given_key(key):
    optimizer = rv.StochasticRounding(rv.SGD(2.0**-10), key=3)
    params = jnp.ones(64, jnp.bfloat16)
    state = optimizer.init(params)
    first, after = optimizer.update(ones(params), state, params)
    second, _ = optimizer.update(ones(params), after, params)
    assert (first != second).any()
    lanes = jax.vmap(lambda k: optimizer.update(ones(params), state, params, key=k)[0])
    draws = lanes(jax.random.split(key, 2))
    assert (draws[0] != draws[1]).any()
    assert rv.StochasticRounding(rv.SGD(0.1), 3) == rv.StochasticRounding(rv.SGD(0.1), key=3)


@pytest.mark.parametrize("x", [1.0, 1.0 + 2.0**-7, 0.0, -(2.0**-140), 3e38])
def test_what_the_dtype_holds_is_not_rounded(x):
    params = jnp.full(100, x, jnp.bfloat16)
    updates, _ = rv.StochasticRounding(rv.SGD(0.0)).update(
        jnp.zeros_like(params), rv.StochasticRounding(rv.SGD(0.0)).init(params), params
    )
    np.testing.assert_array_equal(rv.apply_updates(params, updates), params)


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("dtype", [jnp.complex64, jnp.float32])
def test_where_there_is_nothing_to_keep_nothing_changes(name, dtype, rng):
    params, g = random_tree(rng, dtype), random_tree(rng, dtype)
    plain, _ = run(rv.SGD(0.1, momentum=0.9), params, lambda p: g, 20)
    got, _ = run(KEPT[name](rv.SGD(0.1, momentum=0.9)), params, lambda p: g, 20)
    chex.assert_trees_all_equal_shapes_and_dtypes(got, params)
    chex.assert_trees_all_close(got, plain, rtol=1e-6, atol=1e-6)


def test_compensation_serves_float32_as_well():
    steps = 10_000
    got, _ = run(rv.Kahan(rv.SGD(1e-8)), jnp.ones(1), lambda p: -jnp.ones(1), steps)
    np.testing.assert_allclose(np.asarray(got, np.float64), 1 + 1e-4, rtol=1e-7)
    plain, _ = run(rv.SGD(1e-8), jnp.ones(1), lambda p: -jnp.ones(1), steps)
    assert plain == 1.0


@pytest.mark.parametrize("name", ["MasterWeights", "Kahan"])
def test_a_step_too_large_for_its_dtype_is_made_up_for_later(name):
    # From 1 to 0.00999: the difference has more digits than bfloat16.
    params = jnp.ones(1, jnp.bfloat16)
    optimizer = KEPT[name](rv.SGD(1.0))
    state = optimizer.init(params)
    for g in (0.99, 0.0, 0.0):
        updates, state = optimizer.update(jnp.full(1, g, jnp.bfloat16), state, params)
        assert updates.dtype == jnp.bfloat16
        params = rv.apply_updates(params, updates)
    exact = 1 - float(jnp.bfloat16(0.99))
    np.testing.assert_allclose(np.asarray(params, float), exact, rtol=2.0**-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", KEPT)
def test_double_precision_is_no_coarser_for_being_kept(name):
    params = jnp.full(2, 1.0, jnp.float64)
    got, _ = run(KEPT[name](rv.SGD(1e-12)), params, ones, 10)
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(1 - got, 1e-11, rtol=1e-3)


def test_inside_master_weights_the_loss_is_that_of_the_parameters():
    def loss(params: Any) -> Any:
        assert params["w"].dtype == jnp.bfloat16
        return jnp.sum(params["w"].astype(float) ** 2)

    params = {"w": jnp.array([3.0, 4.0], jnp.bfloat16)}
    optimizer = rv.MasterWeights(rv.SAM(rv.SGD(0.5), 1.0))
    g = jax.grad(loss)(params)
    updates, state = optimizer.update(g, optimizer.init(params), params, value_fn=loss, grad=g)
    np.testing.assert_allclose(state.master["w"], [-0.6, -0.8], rtol=2e-2)
    assert updates["w"].dtype == jnp.bfloat16


@pytest.mark.parametrize("name", KEPT)
def test_keeping_precision_needs_the_parameters(name):
    optimizer = KEPT[name](rv.SGD(0.1))
    with pytest.raises(ValueError, match=f"{name} needs the parameters"):
        optimizer.update(jnp.ones(1), optimizer.init(jnp.ones(1)))


@pytest.mark.parametrize(
    "inner", [from_optax(optax.adam, 1e-3), rv.NoisySGD(1e-3, key=1)], ids=repr
)
@pytest.mark.parametrize("name", KEPT)
def test_keeping_precision_keeps_the_dtypes_of_every_state(name, inner):
    params = jnp.ones(3, jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):
        got, state = run(KEPT[name](inner), params, ones, 3)
        first = KEPT[name](inner).init(params)
    assert jnp.isfinite(got).all()
    chex.assert_trees_all_equal_shapes_and_dtypes(state, first)


# Slots by name.


def test_a_field_of_the_state_has_the_dtype_that_was_asked_for():
    params = {"w": jnp.ones(2), "z": jnp.ones(2, jnp.complex64)}
    optimizer = rv.CastState(rv.Adam(0.1), {"mu": "bfloat16", "nu": jnp.float16})
    state = optimizer.init(params)
    for _ in range(3):
        assert state.scale_by_adam.mu["w"].dtype == jnp.bfloat16
        assert state.scale_by_adam.nu["w"].dtype == jnp.float16
        assert state.scale_by_adam.mu["z"].dtype == jnp.complex64
        assert state.scale_by_adam.count.dtype == jnp.int32
        updates, state = optimizer.update(params, state, params)
        np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-2)
    with pytest.raises(ValueError, match="no field of the state is called 'moment'; there are"):
        rv.CastState(rv.Adam(0.1), {"moment": "bfloat16"}).init(params)
    assert eval(repr(optimizer), vars(rv)) == optimizer


# Eight bits.


def nearest(values: np.ndarray, unit: float, positive: bool) -> float:
    """The value of the code book next to ``unit``, by search."""
    if positive and unit > 0:
        values = values[values > 0]
    return float(values[np.argmin(np.abs(values - unit))])


@pytest.mark.parametrize("sign", [True, False])
def test_eight_bits_are_those_of_the_paper(sign, rng):
    drawn = rng.normal(size=(5, 7)).astype(np.float32) * 10.0 ** rng.uniform(-4, 0, size=(5, 7))
    x = (drawn if sign else drawn**2).astype(np.float32)
    x[0, :3] = 0.0
    got = np.asarray(unpacked(quantized(jnp.asarray(x), 8))).ravel()
    flat = x.ravel()
    for i in range(0, 35, 8):
        block = flat[i : i + 8]
        top = np.abs(block).max()
        negative = (block < 0).any()
        book = code_book(signed=bool(negative))
        expected = [top * nearest(book, v / top, not negative) for v in block]
        np.testing.assert_allclose(got[i : i + 8], expected, rtol=1e-6)


def test_the_code_books_have_256_values_from_1_down_to_a_millionth():
    for signed in (True, False):
        book = code_book(signed=signed)
        assert book.shape == (256,)
        assert (np.diff(book) > 0).all()
        assert book[-1] == 1.0
        assert 0 in book
        assert book[book > 0].min() < 1e-6
    # 0.55e-6 and, halved once more, 0.325e-6: the middles of the lowest decade.
    np.testing.assert_allclose(code_book(signed=True)[127:130], [0.0, 5.5e-7, 3.25e-6])
    np.testing.assert_allclose(code_book(signed=False)[:3], [0.0, 3.25e-7, 7.75e-7])


@pytest.mark.parametrize("x", [0.0, 1e-30, jnp.inf, jnp.nan])
def test_blocks_of_zeros_and_of_infinities_come_back(x):
    whole = jnp.concatenate([jnp.ones(8), jnp.full(8, x)])
    back = unpacked(quantized(whole, 8))
    np.testing.assert_array_equal(back[:8], jnp.ones(8))
    if np.isfinite(x):
        np.testing.assert_array_equal(back[8:], whole[8:])
    else:
        assert not jnp.isfinite(back[8:]).any()


def test_adam_in_eight_bits_descends_as_adam_does():
    scale = jnp.logspace(-2, 0, 512)

    def gradient(params: Any) -> Any:
        return scale * params

    exact, _ = run(rv.Adam(1e-2), jnp.ones(512), gradient, 200)
    optimizer = rv.QuantizedState(rv.Adam(1e-2), block_size=64, min_size=512)
    got, state = run(optimizer, jnp.ones(512), gradient, 200)
    assert isinstance(state.inner_state.scale_by_adam.nu, Blocks)
    assert state.inner_state.scale_by_adam.nu.codes.dtype == jnp.uint8
    np.testing.assert_allclose(got, exact, atol=0.1)
    assert jnp.linalg.norm(got) < 0.5 * jnp.linalg.norm(jnp.ones(512))


def test_a_second_moment_never_rounds_to_zero_under_a_first_that_is_not():
    # One coordinate has a gradient once, a millionth of the other's.
    params = jnp.zeros(2)
    optimizer = rv.QuantizedState(rv.Adam(0.1, eps=1e-30), block_size=2, min_size=2)
    state = optimizer.init(params)
    for g in ([1.0, 1e-6], [1.0, 0.0], [1.0, 0.0]):
        updates, state = optimizer.update(jnp.array(g), state, params)
        assert (jnp.abs(updates) < 0.2).all()


def test_small_arrays_and_numbers_stay_as_they_are():
    params = {"large": jnp.ones((64, 65)), "small": jnp.ones(8), "none": None}
    state = rv.QuantizedState(rv.Adam(0.1)).init(params).inner_state.scale_by_adam
    assert isinstance(state.mu["large"], Blocks)
    assert state.mu["small"].dtype == jnp.float32
    assert state.count.dtype == jnp.int32
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        rv.QuantizedState(rv.Adam(0.1), 0)


def test_lanes_have_blocks_of_their_own(rng):
    starts = jnp.asarray(rng.normal(size=(3, 16)), jnp.float32)
    optimizer = rv.QuantizedState(rv.Adam(0.1), block_size=8, min_size=1)

    def last(start: Any) -> Any:
        return run(optimizer, start, lambda p: p, 5)[0]

    alone = np.stack([last(start) for start in starts])
    np.testing.assert_allclose(jax.vmap(last)(starts), alone, rtol=1e-5)
