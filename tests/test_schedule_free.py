"""Schedule-free optimizers: the authors' code, and the point to evaluate at."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.apply import apply_updates
from tests.test_rate_free import follow

TRACE = Path(__file__).parent / "traces" / "rate_free.npz"
BY_AUTHORS = {
    "ScheduleFreeSGD": ro.ScheduleFreeSGD(0.3, 7, 0.8, weight_decay=0.1),
    "ScheduleFreeAdamW": ro.ScheduleFreeAdamW(0.1, 7, 0.8, 0.9, weight_decay=0.1),
    "ScheduleFreeRAdam": ro.ScheduleFreeRAdam(0.1, 0.8, 0.9, weight_decay=0.1),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", BY_AUTHORS)
def test_goes_as_the_authors_own_code_does(name):
    trace = np.load(TRACE)
    made = follow(BY_AUTHORS[name], trace["start"], trace["curvature"], trace["noise"])
    for ours, theirs in zip(made, (trace[name], trace[f"{name}/average"]), strict=True):
        # RAdam's factor is a series here, good to ten digits.
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


def run(optimizer, params, count):
    """The parameters and the state after ``count`` steps, and every z on the way."""
    state, passed = optimizer.init(params), []
    for _ in range(count):
        updates, state = optimizer.update(params, state, params)
        params = apply_updates(params, updates)
        passed.append(getattr(state, "z", None))
    return params, state, passed


def test_the_point_to_evaluate_is_the_mean_of_where_the_base_has_been():
    optimizer = rt.ScheduleFree(ro.SGD(0.1), 0.1, b1=0.7)
    params, state, passed = run(optimizer, jnp.array([1.0, -2.0]), 5)
    np.testing.assert_allclose(
        optimizer.eval_params(state, params), np.mean(passed, axis=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        params, 0.7 * np.mean(passed, axis=0) + 0.3 * np.asarray(passed[-1]), rtol=1e-5
    )


def test_the_weights_of_the_average_see_the_rate_of_the_same_step():
    """A count that is one ahead would give the first step the weight of the second."""

    def rate(count):
        return jnp.where(count == 0, 1.0, 0.0)

    _, state, _ = run(rt.ScheduleFree(ro.SGD(rate), rate), jnp.ones(1), 1)
    assert state.max_lr == 1.0
    assert state.weight_sum == 1.0


def test_a_rate_of_zero_moves_nothing_and_a_warm_up_does_not_start_with_one():
    start = jnp.array([1.0, -2.0])
    for power in (0.0, 2.0):
        still = ro.ScheduleFreeSGD(0.0, weight_lr_power=power)
        np.testing.assert_array_equal(run(still, start, 3)[0], start)
    first, _, _ = run(ro.ScheduleFreeSGD(0.5, warmup_steps=10), start, 1)
    np.testing.assert_allclose(first, 0.95 * start, rtol=1e-6)


def test_the_average_is_found_through_whatever_is_around_it():
    params = {"w": jnp.array([1.0, -2.0]), "b": jnp.ones(1)}
    free = ro.ScheduleFreeAdamW(0.1)
    y, state, _ = run(free, params, 3)
    x = free.eval_params(state, y)
    assert (x["w"] != y["w"]).all()
    for wrapped in (rt.chain(free), rt.Mechanize(rt.chain(rt.Identity(), free), s_init=1e30)):
        state = wrapped.init(params)
        assert jax.tree.structure(wrapped.eval_params(state, params)) == jax.tree.structure(params)
    frozen = rt.Frozen(free, "b")
    z, state, _ = run(frozen, params, 3)
    seen = frozen.eval_params(state, z)
    np.testing.assert_array_equal(seen["b"], params["b"])
    np.testing.assert_allclose(seen["w"], x["w"], rtol=1e-6)
    np.testing.assert_array_equal(ro.Adam(0.1).eval_params(ro.Adam(0.1).init(z), z)["w"], z["w"])


def test_half_precision_does_not_stop_the_base():
    start = jnp.ones(2, jnp.bfloat16)
    optimizer = rt.ScheduleFree(rt.Scale(-1e-3), 1e-3)
    state = optimizer.init(start)
    for _ in range(10):
        _, state = optimizer.update(start, state, start)
    assert state.z.dtype == jnp.float32
    np.testing.assert_allclose(state.z, 0.99, rtol=1e-3)
    assert optimizer.eval_params(state, start).dtype == jnp.bfloat16
    asked = rt.ScheduleFree(rt.Scale(-1e-3), 1e-3, state_dtype="bfloat16").init(start)
    assert asked.z.dtype == jnp.bfloat16
