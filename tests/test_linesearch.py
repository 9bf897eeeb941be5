"""Line searches: alone against functions of one variable, and as part of a transform."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.problems.functions import rosenbrock_loss
from ravine.transforms.linesearch.search import ACCEPT, FAIL, RETURN, Sample

pytestmark = pytest.mark.usefixtures("x64")


class Function(NamedTuple):
    """A function of one variable that falls at 0."""

    name: str
    phi: Callable[[Any], Any]
    start: tuple[float, ...] = (1e-3, 1e-1, 1e1, 1e3)


def rational(t: Any) -> Any:
    return -t / (t**2 + 2)


def quintic(t: Any) -> Any:
    return (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4


def wiggly(t: Any) -> Any:
    """A kink at 1, rounded over 0.01 on either side, with a sine on it."""
    near = (t - 1) ** 2 / 0.02 + 0.005
    base = jnp.where(t <= 0.99, 1 - t, jnp.where(t >= 1.01, t - 1, near))
    return base + 2 * 0.99 / (39 * jnp.pi) * jnp.sin(39 * jnp.pi / 2 * t)


def yanai(b1: float, b2: float) -> Callable[[Any], Any]:
    g1, g2 = ((1 + b**2) ** 0.5 - b for b in (b1, b2))
    return lambda t: g1 * jnp.sqrt((1 - t) ** 2 + b2**2) + g2 * jnp.sqrt(t**2 + b1**2)


MORE_THUENTE = [
    Function("rational", rational),
    Function("quintic", quintic),
    Function("wiggly", wiggly),
    Function("yanai-4", yanai(0.001, 0.001)),
    Function("yanai-5", yanai(0.01, 0.001)),
    Function("yanai-6", yanai(0.001, 0.01)),
]
WALLS = [
    Function("wall", lambda t: jnp.where(t > 0.1, jnp.inf, (t - 0.09) ** 2)),
    Function("hole", lambda t: jnp.where(t > 0.1, jnp.nan, (t - 0.09) ** 2)),
    Function("abyss", lambda t: jnp.where(t > 0.1, -jnp.inf, (t - 0.09) ** 2)),
    Function("log", lambda t: -jnp.log(1 - t) - 3 * t),
    Function("cliff", lambda t: jnp.exp(700 * t) - 1000 * t, (1e-3, 1.0, 1e3)),
]
SEARCHES = {
    "wolfe": rv.StrongWolfe(max_linesearch_steps=40),
    "tight": rv.StrongWolfe(curv_rtol=1e-3, max_linesearch_steps=60),
    "zhang": rv.HagerZhang(max_linesearch_steps=60),
    "armijo": rv.Backtracking(max_backtracking_steps=60),
}


@lru_cache
def advance(name: str, f: Function) -> Any:
    """One step of a search along a function, compiled."""

    def step(state: Any, base: Sample, t: Any) -> Any:
        value, slope = jax.value_and_grad(f.phi)(t)
        ok = jnp.isfinite(value) & jnp.isfinite(slope)
        trial = Sample(t, jnp.where(ok, value, jnp.inf), jnp.where(ok, slope, 0.0))
        return trial, *SEARCHES[name].advance(state, base, trial)

    return jax.jit(step, compiler_options={"xla_backend_optimization_level": 0})


def along(name: str, f: Function, t: float) -> tuple[int, Sample, Sample, list[tuple[Any, Sample]]]:
    """The verdict at the end, base and last trial, and the states on the way."""
    value, slope = jax.value_and_grad(f.phi)(jnp.zeros(()))
    base = Sample(jnp.zeros(()), value, slope)
    state = SEARCHES[name].begin(SEARCHES[name].init(value.dtype), base)
    way, next_t = [], jnp.asarray(t)
    for _ in range(70):
        trial, state, verdict = advance(name, f)(state, base, next_t)
        way.append((state, trial))
        if verdict.code in (ACCEPT, RETURN, FAIL):
            break
        next_t = verdict.t
    return int(verdict.code), base, trial, way


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("f", [*MORE_THUENTE, *WALLS], ids=lambda f: f.name)
def test_the_conditions_hold_where_a_search_ends(name, f):
    for start in f.start:
        code, base, trial, way = along(name, f, start)
        assert code == ACCEPT
        assert len(way) < 45
        t, value, slope = map(float, trial)
        m0, search = float(base.slope), SEARCHES[name]
        assert t > 0
        if isinstance(search, rv.Backtracking):
            assert value <= base.value + search.slope_rtol * t * m0
        elif isinstance(search, rv.StrongWolfe):
            assert value <= base.value + search.slope_rtol * t * m0
            assert abs(slope) <= -search.curv_rtol * m0
        else:
            level = base.value + search.eps * abs(base.value)
            exact = value <= base.value + search.delta * t * m0
            assert exact or (value <= level and slope <= (2 * search.delta - 1) * m0)
            assert slope >= search.sigma * m0


@pytest.mark.parametrize("f", MORE_THUENTE, ids=lambda f: f.name)
def test_a_bracket_of_strong_wolfe_shrinks_around_a_point_to_accept(f):
    for start in f.start:
        _, base, _, way = along("tight", f, start)
        for (state, trial), (_, following) in pairwise(way):
            low, high = state.low, state.high
            # Enough decrease at the best end, whose slope leads to the other.
            assert low.value <= base.value + 1e-4 * low.t * base.slope
            assert low.slope * (high.t - low.t) < 0
            assert high.value >= low.value or high.slope * (high.t - low.t) >= 0
            if jnp.isfinite(high.t):
                assert min(low.t, high.t) < following.t < max(low.t, high.t)
            else:
                assert trial.t < following.t <= 5 * trial.t


@pytest.mark.parametrize("f", MORE_THUENTE, ids=lambda f: f.name)
def test_a_bracket_of_hager_and_zhang_has_a_falling_and_a_rising_slope(f):
    for start in f.start:
        _, base, _, way = along("zhang", f, start)
        level = base.value + 1e-6 * abs(base.value)
        for (state, _), (_, following) in pairwise(way):
            a, b = state.a, state.b
            assert a.slope < 0
            assert a.value <= level
            assert (b.slope >= 0) if state.rising else jnp.isinf(b.t) | (b.value > level)
            assert a.t < following.t
            assert following.t < b.t


@pytest.mark.parametrize("name", SEARCHES)
def test_a_line_without_a_lower_point_is_given_up(name):
    # The slope promises what the function does not hold: a wall all along, and a plain that rises.
    for phi in (lambda t: jnp.where(t > 0, jnp.inf, -t), lambda t: jnp.where(t > 0, 1 + t, -t)):
        code, _, _, way = along(name, Function("up", phi), 1.0)
        assert code == FAIL
        assert len(way) <= 60


@pytest.mark.parametrize("name", ["wolfe", "zhang", "armijo"])
def test_a_minimum_below_the_digits_of_the_value_is_still_accepted(name):
    """Where rounding hides the decrease, the slope decides."""
    f = Function("deep", lambda t: 1e6 + 1e-10 * (t - 1) ** 2)
    code, base, trial, way = along(name, f, 0.9)
    assert code == ACCEPT
    assert len(way) == 1
    assert trial.value >= base.value - 1e-9


def test_a_mean_of_past_values_lets_some_values_rise():
    search, one = rv.Backtracking(nonmonotone=1.0), jnp.ones(())
    state = search.init(one.dtype)
    for value in (8.0, 2.0):
        base = Sample(0 * one, value * one, -one)
        state = search.begin(state, base)
    assert state.reference == 5.0
    assert search.advance(state, base, Sample(one, 4.9 * one, one))[1].code == ACCEPT
    assert search.advance(state, base, Sample(one, 5.1 * one, one))[1].code != ACCEPT
    strict = rv.Backtracking()
    state = strict.begin(state, base)
    assert strict.advance(state, base, Sample(one, 4.9 * one, one))[1].code != ACCEPT


# As part of a transform.


def run(transform: Any, loss: Any, x: Any, steps: int) -> list[tuple[Any, Any]]:
    """The points evaluated, each with the state after the update there."""

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        value, g = jax.value_and_grad(loss)(x)
        u, state = transform.update(jax.tree.map(jnp.conj, g), state, x, value=value)
        return rv.apply_updates(x, u), state

    state, seen = transform.init(x), []
    for _ in range(steps):
        new, state = step(x, state)
        seen.append((x, state))
        x = new
    return seen


VALLEY = np.array([-1.2, 1.0])


@pytest.mark.parametrize("search", ["wolfe", "zhang", "armijo"])
def test_every_accepted_point_meets_the_conditions_and_trials_leave_no_trace(search):
    transform = rv.LineSearch(rv.ScaleByLBFGS(), SEARCHES[search])
    seen = run(transform, rosenbrock_loss, VALLEY, 60)
    f, grad = rosenbrock_loss, jax.grad(rosenbrock_loss)
    accepted = 0
    for (x, state), (y, after) in pairwise(seen):
        if state.value < 1e-12:  # rounding begins to decide
            break
        at = transform.eval_params(state, x)
        np.testing.assert_allclose(state.value, f(at), rtol=1e-9, atol=1e-15)
        if after.count == state.count:  # a trial that was not accepted
            np.testing.assert_array_equal(after.point, state.point)
            np.testing.assert_array_equal(after.inner_state.curvature, state.inner_state.curvature)
            continue
        accepted += 1
        np.testing.assert_array_equal(after.point, y)
        t, d, m0 = state.learning_rate, state.direction, state.slope
        np.testing.assert_allclose(y, state.point + t * d, rtol=1e-12)
        assert m0 < 0
        assert f(y) <= f(state.point) + 1e-4 * t * m0 + 1e-14
        if search == "wolfe":
            assert abs(grad(y) @ d) <= -0.9 * m0
    assert 30 < accepted < 59


def test_a_direction_that_climbs_gives_way_to_steepest_descent():
    transform = rv.LineSearch(rv.Scale(-1.0))
    seen = run(transform, lambda x: jnp.sum(x**4), jnp.array([1.0, -2.0]), 40)
    assert seen[0][1].steepest
    assert seen[-1][1].value < 1e-5


@pytest.mark.parametrize("search", ["wolfe", "zhang", "armijo"])
@pytest.mark.parametrize(
    ("loss", "start"),
    [
        (WALLS[-1].phi, 0.0),  # a first trial whose slope is 1e307
        (lambda x: jnp.exp(300 * x) + jnp.exp(-300 * x) - 3 * x, -1.0),  # from a value of 1e130
    ],
    ids=["cliff", "canyon"],
)
def test_a_slope_many_orders_steeper_than_the_rest_does_not_end_the_search(search, loss, start):
    optimizer = rv.BFGS(linesearch=SEARCHES[search])
    result = rv.minimize(loss, start, optimizer, steps=300, stop=rv.GradNorm(1e-4))
    assert result.status == rv.Status.CONVERGED


def test_any_transform_can_give_the_direction():
    seen = run(rv.LineSearch(rv.ScaleByAdam()), rosenbrock_loss, VALLEY, 400)
    assert seen[-1][1].value < 1e-2
    # It was updated at accepted points only, and began anew where the search failed.
    for _, state in takewhile(lambda s: not s[1].steepest, seen):
        assert state.inner_state.count == state.count


def test_where_no_point_is_lower_the_parameters_return_and_the_state_says_so():
    # The value climbs whichever way one goes, whatever the gradient says.
    def liar(x: Any) -> Any:
        up = jnp.sum(jnp.abs(x - 1.0))
        return (
            up
            + jax.lax.stop_gradient(-2 * x.sum()) * 0
            + 2 * (x.sum() - jax.lax.stop_gradient(x.sum()))
        )

    x = jnp.array([1.0, 1.0])
    seen = run(rv.LineSearch(rv.ScaleByBFGS()), liar, x, 100)
    last, state = seen[-1]
    assert state.stalled
    assert state.count == 1
    np.testing.assert_allclose(last, x, rtol=1e-12)
    np.testing.assert_array_equal(rv.LineSearch(rv.ScaleByBFGS()).eval_params(state, last), x)


def test_a_failed_direction_is_forgotten_before_it_is_given_up():
    transform = rv.LineSearch(rv.ScaleByLBFGS(), rv.StrongWolfe(max_linesearch_steps=1))
    seen = run(transform, rosenbrock_loss, np.array([0.5, -1.0]), 40)
    restarted = [s for _, s in seen if s.steepest & (s.count > 1)]
    assert restarted
    assert all(jnp.all(s.inner_state.curvature == 0) for s in restarted[:1])
    values = [float(s.value) for _, s in seen]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_start_without_a_value_is_no_start(bad):
    transform = rv.LineSearch(rv.Identity())
    state = transform.init(VALLEY)
    u, state = transform.update(VALLEY, state, VALLEY, value=jnp.asarray(bad))
    assert state.stalled
    np.testing.assert_array_equal(u, 0.0)


def test_the_value_and_the_parameters_are_asked_for():
    transform = rv.LineSearch(rv.Identity())
    state = transform.init(VALLEY)
    with pytest.raises(ValueError, match="LineSearch needs the loss"):
        transform.update(VALLEY, state, VALLEY)
    with pytest.raises(ValueError, match="LineSearch needs the parameters"):
        transform.update(VALLEY, state, value=1.0)
    with pytest.raises(TypeError, match="LineSearch: linesearch must be a line search"):
        rv.LineSearch(rv.Identity(), 0.1)
    with pytest.raises(TypeError, match="first cannot be 'two': it must be one of 'one', 'slope'"):
        rv.LineSearch(rv.Identity(), first="two")


# As the engine sees it.


def walled(x: Any) -> Any:
    """Finite for x < 1 only, and steep enough that first trials land outside."""
    return jnp.sum(-jnp.log(1 - x) - 0.1 * jnp.log(x + 40.0) + 0.5 * (x - 0.9) ** 2)


@pytest.mark.parametrize("search", SEARCHES)
def test_an_infinite_trial_is_no_divergence(search):
    result = rv.minimize(
        walled, jnp.full(3, -30.0), rv.LBFGS(linesearch=SEARCHES[search]), steps=200,
        stop=rv.Diverged() | rv.GradNorm(1e-8),
    )  # fmt: skip
    assert result.converged
    assert np.isfinite(result.history).all()


def test_a_run_cut_short_ends_at_an_accepted_point():
    grad = jax.grad(rosenbrock_loss)
    for steps in range(12):
        result = rv.minimize(rosenbrock_loss, VALLEY, rv.LBFGS(), steps=steps)
        assert str(result.status) == "max_steps"
        np.testing.assert_allclose(result.value, rosenbrock_loss(result.params), rtol=1e-12)
        assert result.value == result.best_value == result.history[-1]
        assert (np.diff(result.history) <= 0).all()
    short = rv.minimize(rosenbrock_loss, VALLEY, rv.LBFGS(), steps=100, stop=rv.GradNorm(1e-3))
    assert short.converged
    assert jnp.linalg.norm(grad(short.params)) <= 1e-3


def test_a_search_that_can_go_no_further_ends_its_trial_as_stalled():
    result = rv.minimize(rosenbrock_loss, VALLEY, rv.LBFGS(), steps=1000)
    assert str(result.status) == "stalled"
    assert result.steps < 150
    assert result.value < 1e-20
    flat = rv.minimize(lambda x: 0 * jnp.sum(x), VALLEY, rv.BFGS(), steps=1000)
    assert str(flat.status) == "stalled"
    results = rv.sweep(rosenbrock_loss, rv.Starts(np.ones((2, 2))), rv.LBFGS(), steps=50)
    assert results.best.value == 0.0


def test_a_step_norm_is_that_of_the_step_from_the_accepted_point():
    result = rv.minimize(rosenbrock_loss, VALLEY, rv.LBFGS(), steps=500, stop=rv.StepNorm(1e-6))
    assert result.converged
    assert result.value < 1e-9
