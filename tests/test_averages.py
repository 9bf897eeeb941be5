"""Averages of the parameters, and where to evaluate."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from tests.registry import random_tree


def walk(optimizer: Any, params: Any, gradients: list[Any]) -> Any:
    """The parameters and the evaluation parameters after each step."""
    state, update, out = optimizer.init(params), jax.jit(optimizer.update), []
    for g in gradients:
        updates, state = update(g, state, params)
        params = rv.apply_updates(params, updates)
        out.append((params, optimizer.eval_params(state, params)))
    return out


@pytest.fixture
def stream(rng):
    """A start and gradients, in float64."""
    return rng.normal(size=3), list(rng.normal(size=(20, 3)))


def descended(start: Any, gradients: Any) -> list[np.ndarray]:
    """The start and the points of plain gradient descent."""
    return list(start - 0.1 * np.cumsum([np.zeros(3), *gradients], axis=0))


@pytest.mark.usefixtures("x64")
def test_the_moving_average_begins_at_the_start(stream):
    points = descended(*stream)
    optimizer = rv.chain(rv.SGD(0.1), rv.EmaParams(0.9, debias=False))
    ours = walk(optimizer, jnp.asarray(stream[0]), [jnp.asarray(g) for g in stream[1]])
    # As PyTorch's AveragedModel does with get_ema_multi_avg_fn.
    expected, average = [], points[0]
    for p in points[1:]:
        average = 0.9 * average + 0.1 * p
        expected.append(average)
    np.testing.assert_allclose([a for _, a in ours], expected, atol=1e-12)


@pytest.mark.usefixtures("x64")
def test_without_its_bias_the_average_forgets_the_start(stream):
    start, gradients = stream
    optimizer = rv.chain(rv.SGD(0.1), rv.EmaParams(0.9))
    ours = walk(optimizer, jnp.asarray(start), [jnp.asarray(g) for g in gradients])
    points = [p for p, _ in ours]
    for t in range(1, 21):
        weights = 0.9 ** np.arange(t)[::-1]
        mean = sum(w * p for w, p in zip(weights, points[:t], strict=True)) / weights.sum()
        np.testing.assert_allclose(ours[t - 1][1], mean, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("start_at", "every"), [(0, 1), (1, 1), (5, 1), (6, 4), (0, 3)])
def test_the_plain_average_is_of_the_points_that_were_taken(stream, start_at, every):
    def when(t: int) -> bool:
        return t >= start_at and (t - start_at) % every == 0

    points = descended(*stream)
    optimizer = rv.chain(rv.SGD(0.1), rv.SWA(start_at, every))
    ours = walk(optimizer, jnp.asarray(stream[0]), [jnp.asarray(g) for g in stream[1]])
    for t, (params, mean) in enumerate(ours, 1):
        taken = [points[k] for k in range(1, t + 1) if when(k)]
        np.testing.assert_allclose(mean, np.mean(taken, axis=0) if taken else params, atol=1e-12)


def test_averages_move_in_half_precision_where_the_parameters_hardly_do():
    # Each step is one unit in the last place; the average goes a thousandth of it.
    p = jnp.full(1, 1.0, jnp.bfloat16)
    optimizer = rv.chain(rv.SGD(1.0), rv.EmaParams(0.999, debias=False))
    state = optimizer.init(p)
    for _ in range(100):
        _, state = optimizer.update(jnp.full(1, -(2.0**-7), jnp.bfloat16), state, p)
    assert state.ema_params.average.dtype == jnp.float32
    moved = state.ema_params.average - 1
    np.testing.assert_allclose(moved, 2.0**-7 * (1 - 0.999**100), rtol=1e-2)
    assert optimizer.eval_params(state, p).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "average", [rv.EmaParams(0.9), rv.EmaParams(0.9, debias=False), rv.SWA(2)], ids=repr
)
def test_before_the_first_step_the_parameters_are_evaluated(average, rng):
    params = random_tree(rng, np.float32)
    optimizer = rv.chain(rv.Adam(0.1), average)
    chex.assert_trees_all_equal(optimizer.eval_params(optimizer.init(params), params), params)
    with pytest.raises(ValueError, match="needs the parameters"):
        average.update(params, average.init(params))


def test_an_average_of_some_leaves_leaves_the_others():
    params = {"w": jnp.ones(2), "b": jnp.ones(1)}
    optimizer = rv.chain(rv.SGD(0.5), rv.Masked(rv.EmaParams(0.5, debias=False), "w"))
    ((new, mean),) = walk(optimizer, params, [params])
    np.testing.assert_array_equal(mean["w"], [0.75, 0.75])
    np.testing.assert_array_equal(mean["b"], new["b"])


def test_lanes_have_an_average_each():
    def last(decay: Any) -> Any:
        optimizer = rv.chain(rv.SGD(0.5), rv.EmaParams(decay, debias=False))
        return walk(optimizer, jnp.ones(2), [jnp.ones(2)] * 3)[-1][1]

    decays = jnp.array([0.0, 0.5, 0.9])
    expected = np.stack([last(float(b)) for b in decays])
    np.testing.assert_allclose(jax.vmap(last)(decays), expected, rtol=1e-6)


# Lookahead.


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("reset", [False, True])
def test_lookahead_goes_as_optax_s_does(rng, reset):
    params = random_tree(rng, np.float64)
    gradients = [random_tree(rng, np.float64) for _ in range(10)]
    ours = rv.Lookahead(rv.SGD(0.1, momentum=0.9), 3, 0.5, reset_state=reset)
    theirs = optax.lookahead(optax.sgd(0.1, 0.9), 3, 0.5, reset_state=reset)
    pair = optax.LookaheadParams.init_synced(params)
    with jax.numpy_dtype_promotion("standard"):
        state = theirs.init(pair)
    for g, (fast, slow) in zip(gradients, walk(ours, params, gradients), strict=True):
        with jax.numpy_dtype_promotion("standard"):
            updates, state = theirs.update(g, state, pair)
            pair = optax.apply_updates(pair, updates)
        chex.assert_trees_all_close(fast, pair.fast, rtol=1e-12)
        chex.assert_trees_all_close(slow, pair.slow, rtol=1e-12)


def test_a_small_step_of_the_slow_weights_is_not_lost_in_half_precision():
    params = jnp.ones(1, jnp.bfloat16)
    optimizer = rv.Lookahead(rv.SGD(2.0**-8), 1, 0.25)
    state = optimizer.init(params)
    for _ in range(32):
        updates, state = optimizer.update(jnp.ones_like(params), state, params)
        params = rv.apply_updates(params, updates)
    # Of the 32 / 1024 of the way, rounding each step to bfloat16 would leave none.
    assert 0.95 < params[0] < 0.98


@pytest.mark.parametrize("reset", [False, True])
def test_lookahead_resets_random_keys_too(reset):
    optimizer = rv.Lookahead(rv.NoisySGD(0.1, key=3), 2, 0.5, reset_state=reset)
    params = jnp.ones(2)
    state = optimizer.init(params)
    keys = []
    for _ in range(4):
        _, state = jax.jit(optimizer.update)(params, state, params)
        keys.append(jax.random.key_data(state.inner_state.add_noise.rng_key).tolist())
    assert (keys[1] == keys[3]) == reset
    assert keys[0] != keys[1]


def test_lookahead_says_what_it_needs():
    with pytest.raises(ValueError, match="Lookahead: sync_period must be at least 1, got 0"):
        rv.Lookahead(rv.SGD(0.1), 0, 0.5)
    with pytest.raises(ValueError, match="Lookahead needs the parameters"):
        rv.Lookahead(rv.SGD(0.1), 1, 0.5).update(1.0, rv.Lookahead(rv.SGD(0.1), 1, 0.5).init(1.0))


# Averages as functions.


def test_target_networks_follow_as_optax_s_do(rng):
    new, old = random_tree(rng, np.float32), random_tree(rng, np.float32)
    ours = rv.incremental_update(new, old, 0.1)
    with jax.numpy_dtype_promotion("standard"):
        chex.assert_trees_all_close(ours, optax.incremental_update(new, old, 0.1), rtol=1e-6)
    for steps in range(4):
        for period in (1, 2):
            ours = jax.jit(rv.periodic_update)(new, old, steps, period)
            chex.assert_trees_all_equal(ours, new if steps % period == 0 else old)
    half = rv.incremental_update(jnp.ones(1), jnp.zeros(1, jnp.bfloat16), 0.5)
    assert half.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "optimizer",
    [rv.chain(rv.SGD(0.05, momentum=0.9), rv.EmaParams(0.9)), rv.ScheduleFreeSGD(0.05)],
    ids=["ema", "schedule-free"],
)
@pytest.mark.parametrize("steps", [0, 37])
def test_a_sweep_hands_out_the_point_at_which_to_evaluate(optimizer, steps):
    scale = jnp.array([1.0, 10.0])

    def loss(x):
        return 0.5 * jnp.sum(scale * x * x)

    params = jnp.ones(2)
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(scale * params, state, params)
        params = rv.apply_updates(params, updates)
    average = optimizer.eval_params(state, params)
    assert steps == 0 or not np.allclose(average, params, rtol=1e-2)
    # The second trial ends early, and stays as it is while the first goes on.
    out = rv.sweep(
        loss, rv.Starts(jnp.array([[1.0, 1.0], [jnp.nan, 1.0]])), optimizer, steps=steps,
        keep="all", metric=loss, stop=rv.Diverged(),
    )  # fmt: skip
    np.testing.assert_allclose(out.params[0], average, rtol=1e-5)
    np.testing.assert_allclose(out.metrics[0], loss(average), rtol=1e-5)
    np.testing.assert_allclose(out.values[0], loss(params), rtol=1e-5)


def test_a_lane_that_waits_for_the_end_of_a_segment_keeps_its_average():
    def loss(x):
        return 0.5 * jnp.sum(x * x)

    # Each ends at a step of its own, inside a segment.
    optimizer, rates = rv.EmaParams(0.5), np.array([0.3, 0.2, 0.1], np.float32)
    many = rv.sweep(
        loss, jnp.ones(1), rv.chain(rv.SGD(rv.Grid(rates)), optimizer), steps=100,
        stop=rv.GradNorm(1e-2), keep="all",
    )  # fmt: skip
    for i, rate in enumerate(rates):
        alone = rv.chain(rv.SGD(float(rate)), optimizer)
        params = jnp.ones(1)
        state = alone.init(params)
        for _ in range(int(many.steps[i])):
            updates, state = alone.update(params, state, params)
            params = rv.apply_updates(params, updates)
        np.testing.assert_allclose(many.params[i], alone.eval_params(state, params), rtol=1e-5)
