"""Stopping tests: each against its definition, alone, joined, and inside the engine."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ravine as rv
from ravine import Diverged, GradNorm, MaxSteps, Plateau, Status, StepNorm, Target
from ravine.optimizers import SGD

GO, CONVERGED, MAX_STEPS, DIVERGED = (
    Status.RUNNING.code,
    Status.CONVERGED.code,
    Status.MAX_STEPS.code,
    Status.DIVERGED.code,
)
NEVER = GradNorm(0.0) & Target(-math.inf)


def seen(value=1.0, grads=3.0, updates=0.5, step=7, dtype=jnp.float32):
    return rv.Seen(
        jnp.asarray(value, float),
        {"x": jnp.asarray([grads], dtype), "none": None},
        {"x": jnp.asarray([updates], dtype), "none": None},
        jnp.int32(step),
    )


def code(stop, *args, **kwargs):
    out, _ = stop.test(seen(*args, **kwargs), stop.init())
    assert out.dtype == jnp.int8
    assert out.shape == ()
    return int(out)


class TestEach:
    @pytest.mark.parametrize(
        ("stop", "at", "want"),
        [
            (GradNorm(2.9), {}, GO),
            (GradNorm(3), {}, CONVERGED),
            (GradNorm(0.0), {"grads": 0.0}, CONVERGED),
            (GradNorm(1.0), {"grads": math.nan}, GO),
            (GradNorm(1.0), {"grads": -3.0}, GO),
            (StepNorm(0.4), {}, GO),
            (StepNorm(0.5), {"updates": -0.5}, CONVERGED),
            (StepNorm(1.0), {"updates": math.inf}, GO),
            (Target(0.9), {}, GO),
            (Target(1.0), {}, CONVERGED),
            (Target(1), {"value": -5.0}, CONVERGED),
            (Target(1.0), {"value": -math.inf}, GO),
            (Target(1.0), {"value": math.nan}, GO),
            (Diverged(), {}, GO),
            (Diverged(), {"value": 3e38}, GO),
            (Diverged(), {"value": math.inf}, DIVERGED),
            (Diverged(), {"value": -math.inf}, DIVERGED),
            (Diverged(), {"value": math.nan}, DIVERGED),
            (Diverged(above=0.9), {}, DIVERGED),
            (Diverged(above=1), {}, GO),
            (MaxSteps(8), {}, GO),
            (MaxSteps(7), {}, MAX_STEPS),
            (MaxSteps(6.5), {}, MAX_STEPS),
            (MaxSteps(7.5), {}, GO),
            (MaxSteps(0), {"step": 0}, MAX_STEPS),
        ],
        ids=str,
    )
    def test_the_definition(self, stop, at, want):
        assert code(stop, **at) == want

    @pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
    @pytest.mark.parametrize("stop", [GradNorm(9.0), StepNorm(9.0), MaxSteps(1)], ids=str)
    def test_nothing_but_divergence_is_said_of_a_value_that_is_not_finite(self, stop, value):
        assert code(stop, value) == DIVERGED

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64])
    def test_gradients_of_any_dtype(self, dtype):
        assert code(GradNorm(3.0) & StepNorm(0.5), dtype=dtype) == CONVERGED
        assert code(GradNorm(2.9) | StepNorm(0.4), dtype=dtype) == GO

    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
    def test_double_precision(self, dtype):
        stop = GradNorm(3.0) & StepNorm(0.5) & Target(1.0) & Plateau(1, rtol=9.0)
        for numbers in (stop, jax.tree.map(lambda x: jnp.asarray(x, float), stop)):
            _, memory = numbers.test(seen(dtype=dtype), numbers.init())
            assert int(numbers.test(seen(dtype=dtype), memory)[0]) == CONVERGED

    def test_counts_compare_exactly_beyond_24_bits(self):
        assert code(MaxSteps(2**24 + 1), step=2**24) == GO
        assert code(MaxSteps(2**24 + 1), step=2**24 + 1) == MAX_STEPS


def plateau(values, patience, rtol, atol):
    """At which of the values a plateau is over, in plain Python."""
    best, waited = math.inf, 0
    for i, v in enumerate(values):
        margin = rtol * abs(best) + atol if math.isfinite(best) else 0.0
        if v < best - margin:
            best, waited = v, 0
        else:
            waited += 1
        if waited >= patience:
            return i, CONVERGED if math.isfinite(v) else DIVERGED
    return None, GO


@jax.jit
def run_plateau(stop, values):
    def step(state, v):
        out, state = stop.test(rv.Seen(v, None, None, None), state)
        return state, out

    return jax.lax.scan(step, stop.init(), values)[1]


class TestPlateau:
    # Dyadic numbers, so that a margin is exact and ties are ties.
    numbers = st.integers(-8, 8).map(lambda n: n / 4)
    values = st.lists(numbers | st.sampled_from([math.inf, math.nan]), min_size=12, max_size=12)

    @given(values, st.integers(1, 5), st.sampled_from([0.0, 0.25]), st.sampled_from([0.0, 0.5]))
    def test_against_a_loop_in_python(self, values, patience, rtol, atol):
        stop = jax.tree.map(jnp.asarray, Plateau(patience, rtol, atol))
        codes = np.asarray(run_plateau(stop, jnp.asarray(values, float)))
        at, status = plateau(values, patience, rtol, atol)
        stops = np.flatnonzero(codes)
        assert (stops[0] if stops.size else None) == at
        assert at is None or codes[at] == status

    def test_the_first_value_is_an_improvement_unless_it_is_infinite(self):
        assert code(Plateau(1), 1e30) == GO
        assert code(Plateau(1), math.inf) == DIVERGED
        assert code(Plateau(1), -math.inf) == GO


ALONE = {GO: NEVER, CONVERGED: GradNorm(9.0), MAX_STEPS: MaxSteps(1), DIVERGED: Diverged(0.0)}


class TestJoined:
    @pytest.mark.parametrize("a", ALONE)
    @pytest.mark.parametrize("b", ALONE)
    def test_or_takes_the_first_and_takes_the_gravest(self, a, b):
        assert code(ALONE[a] | ALONE[b]) == (a or b)
        assert code(ALONE[a] & ALONE[b]) == (max(a, b) if a and b else GO)

    def test_both_sides_remember(self):
        stop = Plateau(2) & Plateau(3)
        state, codes = stop.init(), []
        for value in (2.0, 1.0, 1.0, 1.0, 1.0):
            out, state = stop.test(seen(value), state)
            codes.append(int(out))
        assert codes == [GO, GO, GO, GO, CONVERGED]

    def test_a_norm_is_computed_only_for_a_test_that_asks(self):
        blind = rv.Seen(jnp.float32(1.0), None, None, jnp.int32(3))
        stop = Target(2.0) | Diverged() | MaxSteps(3)
        assert int(stop.test(blind, stop.init())[0]) == CONVERGED

    def test_it_shows_as_it_is_written(self):
        stop = (GradNorm(1e-6) | Diverged()) & Plateau(5, rtol=0.1) | MaxSteps(3)
        assert repr(stop) == (
            "(((GradNorm(tol=1e-06) | Diverged(above=float('inf'))) & Plateau(patience=5, "
            "rtol=0.1)) | MaxSteps(n=3))"
        )
        assert eval(repr(stop), vars(rv)) == stop
        assert jax.tree.leaves(stop) == [1e-6, math.inf, 5, 0.1, 0.0, 3]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: GradNorm(-1e-6), ValueError, "tol must be at least 0"),
        (lambda: GradNorm("small"), TypeError, "tol"),
        (lambda: GradNorm(None), TypeError, "tol"),
        (lambda: GradNorm(math.nan), ValueError, "tol"),
        (lambda: StepNorm(-1), ValueError, "tol"),
        (lambda: Target(math.nan), ValueError, "value"),
        (lambda: Plateau(0), ValueError, "patience must be at least 1"),
        (lambda: Plateau(3, rtol=-0.1), ValueError, "rtol"),
        (lambda: MaxSteps(-1), ValueError, "n must be at least 0"),
        (lambda: MaxSteps(rv.Uniform(-1.0, 5.0)), ValueError, "n must be at least 0"),
        (lambda: Diverged(math.nan), ValueError, "above"),
        (lambda: GradNorm(1.0) | 0.1, TypeError, "join stopping tests"),
        (lambda: GradNorm(1.0) & (lambda s: True), TypeError, "join stopping tests"),
        (lambda: GradNorm(1.0) | GradNorm, TypeError, "join stopping tests"),
    ],
)
def test_a_wrong_test_is_refused_where_it_is_written(make, error, text):
    with pytest.raises(error, match=text):
        make()


# f(x) = x_1^2 + 3 x_2^2 with learning rate 1/4: every step halves x, and no digit is lost.
CURVATURE = np.array([2.0, 6.0])
START = np.array([16.0, 8.0])
RATE, STEPS, RTOL = 0.25, 8, 63 / 64


def bowl(x):
    return jnp.sum(jnp.asarray(CURVATURE, x.dtype) * x * x) / 2


def reference(limits):
    """Where plain descent stops and why, from the definitions, in NumPy."""
    grad, short, target, patience, most, above, both = limits
    x, best, waited = START, math.inf, 0
    for t in range(STEPS + 1):
        value, g = float(np.sum(CURVATURE * x * x) / 2), CURVATURE * x
        waited = 0 if value < best * (1 - RTOL) or math.isinf(best) else waited + 1
        best = value if waited == 0 else best
        norm, step = np.linalg.norm(g), RATE * np.linalg.norm(g)
        tests = [
            (norm <= grad, Status.CONVERGED),
            (step <= short, Status.CONVERGED),
            (value <= target, Status.CONVERGED),
            (waited >= patience, Status.CONVERGED),
            (t >= most, Status.MAX_STEPS),
            (value > above, Status.DIVERGED),
            (norm <= both[0] and t >= both[1], Status.MAX_STEPS),
            (t >= STEPS, Status.MAX_STEPS),
        ]
        for fires, status in tests:
            if fires:
                return x, value, t, status
        x = x - RATE * g
    raise AssertionError


NONE = [0.0, 0.0, -math.inf, 10**9, 10**9, math.inf, (0.0, 10**9)]


def only(**limits):
    names = ["grad", "short", "target", "patience", "most", "above", "both"]
    return [limits.get(n, none) for n, none in zip(names, NONE, strict=True)]


@pytest.mark.parametrize(
    "limits",
    [
        only(),
        only(grad=12.0),
        only(short=1.0),
        only(target=40.0),
        only(patience=1),
        only(patience=3),
        only(patience=4),
        only(most=5),
        only(most=0),
        only(above=400.0),
        only(both=(20.0, 1)),
        only(both=(20.0, 7)),
        only(both=(1.0, 2)),
        only(grad=12.0, target=40.0, most=7),
        only(most=3, above=20.0, short=4.0),
        only(target=448.0, above=400.0),
    ],
    ids=str,
)
def test_the_engine_stops_where_and_as_the_definitions_say(limits):
    grad, short, target, patience, most, above, both = limits
    stop = GradNorm(grad) | StepNorm(short) | Target(target) | Plateau(patience, rtol=RTOL)
    stop = stop | MaxSteps(most) | Diverged(above) | GradNorm(both[0]) & MaxSteps(both[1])
    result = rv.minimize(bowl, jnp.asarray(START, float), SGD(RATE), steps=STEPS, stop=stop)
    x, value, t, status = reference(limits)
    assert (result.status, result.steps) == (status, t)
    assert result.value == np.float32(value)
    np.testing.assert_array_equal(result.params, x.astype(np.float32))
    assert result.value == bowl(result.params)
    assert len(result.history) == t + 1
    assert result.history[-1] == result.value
    assert result.converged == (status == Status.CONVERGED)
