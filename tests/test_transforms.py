"""What each transform does at its edges: infinities, NaN, zeros, noise, names of states."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core import tree
from ravine.core.types import EmptyState
from tests.registry import random_tree, steps

CLIPS = [rt.Clip(1.0), rt.ClipByBlockRms(1.0), rt.ClipByGlobalNorm(1.0)]
INF, NAN = jnp.inf, jnp.nan


def once(transform: Any, g: Any) -> Any:
    """The first update."""
    return steps(transform, g, [g])[0]


# Clipping.


@pytest.mark.parametrize(
    ("g", "expected"),
    [
        ([3.0, -4.0], [0.6, -0.8]),
        ([0.3, -0.4], [0.3, -0.4]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([5.0, -INF], [0.0, -1.0]),
        ([INF, -INF], [0.5**0.5, -(0.5**0.5)]),
        ([3e38, -3e38], [0.5**0.5, -(0.5**0.5)]),
        ([3e-30, 4e-30], [3e-30, 4e-30]),
        ([NAN, 1.0], [NAN, NAN]),
        ([NAN, INF], [NAN, NAN]),
    ],
    ids=str,
)
def test_clipping_by_global_norm_takes_the_limit_at_infinity(g, expected):
    split = {"a": jnp.array(g[0]), "b": jnp.array(g[1:])}
    out = once(rt.ClipByGlobalNorm(1.0), split)
    np.testing.assert_allclose([out["a"], out["b"][0]], expected, rtol=1e-6)


def test_clipping_by_block_rms_leaves_other_leaves_alone():
    g = {"a": jnp.array([INF, 2.0, -INF, 0.0]), "b": jnp.array([0.5]), "c": jnp.array([NAN, 1.0])}
    out = once(rt.ClipByBlockRms(1.0), g)
    np.testing.assert_allclose(out["a"], [2**0.5, 0.0, -(2**0.5), 0.0], rtol=1e-6)
    np.testing.assert_array_equal(out["b"], [0.5])
    np.testing.assert_array_equal(out["c"], [NAN, NAN])


def test_clipping_elements_bounds_infinities_and_keeps_nan():
    out = once(rt.Clip(2.0), jnp.array([INF, -INF, NAN, 3.0, -1.0]))
    np.testing.assert_array_equal(out, [2.0, -2.0, NAN, 2.0, -1.0])


@pytest.mark.parametrize("clip", CLIPS, ids=repr)
def test_complex_numbers_are_clipped_by_magnitude(clip):
    z = jnp.array([3 + 4j, 0.3 - 0.4j], jnp.complex64)
    out = once(clip, z)
    assert out.dtype == jnp.complex64
    np.testing.assert_allclose(jnp.angle(out), jnp.angle(z), rtol=1e-6)
    assert jnp.max(jnp.abs(out)) <= 2**0.5 + 1e-6
    endless = once(clip, jnp.array([complex(INF, 1.0)], jnp.complex64))
    np.testing.assert_allclose(endless, [1.0], rtol=1e-6)


@pytest.mark.parametrize("clip", CLIPS, ids=repr)
@pytest.mark.parametrize("g", [[0.0, 0.0], [3.0, -4.0], [INF, 1.0], [3e38, 3e38]], ids=str)
def test_derivatives_of_clipping_are_finite(clip, g):
    by_clip, by_g = jax.grad(lambda c, g: jnp.sum(once(c, g)), argnums=(0, 1))(clip, jnp.array(g))
    chex.assert_tree_all_finite((by_clip, by_g))


@pytest.mark.parametrize("make", [rt.Clip, rt.ClipByBlockRms, rt.ClipByGlobalNorm])
def test_a_bound_of_zero_stops_and_one_of_infinity_does_nothing(make):
    g = jnp.array([3.0, -4.0])
    np.testing.assert_array_equal(once(make(0.0), g), [0.0, 0.0])
    np.testing.assert_array_equal(once(make(INF), g), g)
    np.testing.assert_array_equal(once(make(INF), jnp.array([INF, 1.0])), [INF, 1.0])


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5), st.floats(0, 10))
def test_a_clipped_norm_is_never_larger_than_the_bound(values, bound):
    g = np.asarray(values, np.float32)
    out = np.asarray(once(rt.ClipByGlobalNorm(bound), g), np.float64)
    assert np.isfinite(out).all()
    assert np.linalg.norm(out) <= bound * (1 + 1e-6) + 1e-37
    assert (out * np.sign(g) >= 0).all()


def test_float16_norms_do_not_overflow():
    g = jnp.full(1000, 300.0, jnp.float16)
    out = once(rt.ClipByGlobalNorm(1.0), g)
    np.testing.assert_allclose(np.asarray(out, np.float32), 1000**-0.5, rtol=1e-3)


# Noise.


def test_noise_is_what_optax_draws_from_the_same_key(rng):
    g = random_tree(rng, np.float32)
    for key in (7, 2**40, jax.random.key(7)):
        ours, theirs = rt.AddNoise(1.0, 0.5, key), optax.add_noise(1.0, 0.5, key)
        with jax.numpy_dtype_promotion("standard"):
            expected, _ = theirs.update(g, theirs.init(g))
        chex.assert_trees_all_close(once(ours, g), expected, rtol=1e-6)


def test_keys_of_every_kind_are_one_key():
    g = jnp.zeros(3)
    a, b, c, d = (
        once(rt.AddNoise(1.0, 0.5, key), g)
        for key in (5, jax.random.key(5), jax.random.key_data(jax.random.key(5)), np.int32(5))
    )
    for other in (b, c, d):
        np.testing.assert_array_equal(a, other)
    np.testing.assert_array_equal(once(rt.AddNoise(1.0, 0.5, seed=5), g), a)
    assert rt.AddNoise(1.0, 0.5, seed=5) == rt.AddNoise(1.0, 0.5, key=5)
    np.testing.assert_array_equal(once(rt.AddNoise(1.0, 0.5), g), once(rt.AddNoise(1.0, 0.5, 0), g))


def test_a_key_given_at_update_wins_and_changes_no_state():
    transform, g = rt.AddNoise(1.0, 0.0, key=0), jnp.zeros(4)
    state = transform.init(g)

    def lane(key: Any) -> Any:
        first, after = transform.update(g, state, key=key)
        second, _ = transform.update(g, after, key=key)
        return first, second, after

    first, second, after = jax.vmap(lane)(jax.random.split(jax.random.key(1), 3))
    draws = np.concatenate([first, second]).ravel()
    assert len(set(draws.tolist())) == draws.size
    for i in range(3):
        chex.assert_trees_all_equal_shapes_and_dtypes(
            jax.tree.map(lambda x, i=i: x[i], after), state
        )
    np.testing.assert_array_equal(
        jax.random.key_data(after.rng_key[0]), jax.random.key_data(state.rng_key)
    )


def test_noise_has_the_variance_that_it_says():
    transform, g = rt.AddNoise(eta=4.0, gamma=1.0, key=2), jnp.zeros(20_000)
    first, second = steps(transform, g, [g, g])
    np.testing.assert_allclose([first.std(), second.std()], [2.0, 2.0**0.5], rtol=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03


def test_two_names_for_a_key_are_one_too_many():
    for make in (lambda **k: rt.AddNoise(1.0, 0.5, **k), lambda **k: ro.NoisySGD(0.1, **k)):
        with pytest.raises(ValueError, match="key and seed are two names for one thing"):
            make(key=1, seed=2)
        with pytest.raises(TypeError, match="key must be an integer seed or a JAX random key"):
            make(key=0.5)


# Moments.


def test_a_variance_that_rounding_made_negative_counts_as_zero():
    g = jnp.full(3, 12345.678)
    for eps_in_sqrt in (True, False):
        transform = rt.ScaleByStddev(eps_in_sqrt=eps_in_sqrt, bias_correction=True)
        chex.assert_tree_all_finite(steps(transform, g, [g] * 5))


@pytest.mark.parametrize(
    "transform",
    [
        rt.ScaleByAdam(eps=0.0),
        rt.ScaleByAmsgrad(eps=0.0),
        rt.ScaleByAdamax(eps=0.0),
        rt.ScaleByRms(eps=0.0),
        rt.ScaleByRms(eps=0.0, eps_in_sqrt=False),
        rt.ScaleByStddev(eps=0.0),
        rt.ScaleByStddev(eps=0.0, eps_in_sqrt=False),
        rt.ScaleByRss(0.0, eps=0.0),
        rt.ScaleByAdadelta(),
    ],
    ids=repr,
)
def test_no_gradient_means_no_step_without_any_epsilon(transform):
    zero = jnp.zeros(2)
    np.testing.assert_array_equal(steps(transform, zero, [zero, zero]), jnp.zeros((2, 2)))


def test_a_nan_gradient_gives_nan_in_its_own_element_only():
    g = jnp.array([NAN, 1.0])
    for transform in (rt.ScaleByAdam(), rt.ScaleByRms(), rt.ScaleByRss(), rt.Trace(0.9)):
        out = once(transform, g)
        assert jnp.isnan(out[0])
        assert jnp.isfinite(out[1])


def test_set_to_zero_forgets_even_nan():
    np.testing.assert_array_equal(once(rt.SetToZero(), jnp.array([NAN, INF, 1.0])), jnp.zeros(3))


def test_a_count_at_its_end_stays_there():
    state = rt.ScaleByAdam().init(jnp.ones(1))
    state = state._replace(count=jnp.array(2**31 - 1, jnp.int32))
    out, state = rt.ScaleByAdam().update(jnp.ones(1), state)
    assert state.count == 2**31 - 1
    chex.assert_tree_all_finite(out)


def test_weight_decay_needs_the_parameters_and_says_so():
    transform = rt.AddDecayedWeights(0.1)
    with pytest.raises(ValueError, match="AddDecayedWeights needs the parameters: call update"):
        transform.update(jnp.ones(1), transform.init(jnp.ones(1)))


def test_states_show_the_rate_and_the_decay_of_the_last_step():
    optimizer = ro.AdamW(lambda t: 1 / (2 + 2 * t), weight_decay=lambda t: (t + 1) / 10)
    params = jnp.ones(1)
    state = optimizer.init(params)
    for expected in ((0.5, 0.1), (0.25, 0.2)):
        _, state = optimizer.update(params, state, params)
        shown = (state.scale_by_learning_rate.learning_rate, state.add_decayed_weights.weight_decay)
        np.testing.assert_allclose(shown, expected, rtol=1e-6)


# Chains.


def test_a_chain_names_its_states_and_an_insertion_renames_none():
    short = rt.chain(rt.Trace(0.9), ro.Adam(0.1)).init(jnp.ones(1))
    long = rt.chain(rt.Clip(1.0), rt.Trace(0.9), rt.Trace(0.5), ro.Adam(0.1)).init(jnp.ones(1))
    assert short._fields == ("trace_state", "adam")
    assert long._fields == ("clip", "trace_state", "trace_2", "adam")
    assert type(long.adam) is type(short.adam)
    assert isinstance(long, tuple)


def test_a_chain_refuses_what_is_no_transform_and_states_of_other_chains():
    with pytest.raises(TypeError, match="part 1 must be a ravine transform, got Gradient"):
        rt.chain(rt.Clip(1.0), optax.sgd(0.1))
    state = rt.chain(rt.Clip(1.0)).init(jnp.ones(1))
    with pytest.raises(ValueError, match="2 parts and the state 1"):
        rt.chain(rt.Clip(1.0), rt.Trace(0.9)).update(jnp.ones(1), state)


def test_an_empty_chain_does_nothing():
    np.testing.assert_array_equal(once(rt.chain(), jnp.ones(2)), jnp.ones(2))
    assert repr(rt.chain()) == "chain()"


def test_scaling_by_no_learning_rate_leaves_the_sign():
    np.testing.assert_array_equal(once(rt.ScaleByLearningRate(), jnp.ones(2)), jnp.ones(2))
    np.testing.assert_array_equal(
        once(rt.ScaleByLearningRate(0.5, flip_sign=False), jnp.ones(2)), 0.5 * jnp.ones(2)
    )


def test_stateless_transforms_carry_any_state_along():
    for transform in (*CLIPS, rt.Identity(), rt.SetToZero(), rt.Scale(2.0)):
        assert transform.init(jnp.ones(1)) == EmptyState()
        assert transform.update(jnp.ones(1), None)[1] is None


# The tree arithmetic that they share.


def test_a_norm_of_nan_is_nan_and_not_zero():
    assert jnp.isnan(tree.norm({"a": jnp.array([NAN, 1.0])}))
    assert tree.norm({"a": jnp.zeros(2)}) == 0
    assert jax.grad(lambda x: tree.norm({"a": x}))(jnp.zeros(2)).sum() == 0


@pytest.mark.parametrize("operation", [tree.add, tree.sub, tree.mul])
def test_arithmetic_keeps_the_dtypes_of_its_first_tree(operation):
    x, y = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(1)}, {"a": jnp.ones(2), "b": jnp.ones(1)}
    chex.assert_trees_all_equal_shapes_and_dtypes(operation(x, y), x)
    chex.assert_trees_all_equal_shapes_and_dtypes(operation(y, x), y)
