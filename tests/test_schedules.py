"""Schedules: Optax step by step, and every number a leaf."""

import dataclasses
import pickle
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import schedules as rs
from ravine.core.rule import rule
from ravine.core.types import Real, Space
from ravine.transforms.scale import ScaleByLearningRate

COUNTS = np.arange(150, dtype=np.int32)


def inverse_time(init_value, transition_steps, decay_rate, transition_begin, staircase=False):
    def value(t):
        f = jnp.maximum(t - transition_begin, 0) / transition_steps
        return init_value / (1 + decay_rate * (jnp.floor(f) if staircase else f))

    return value


def inverse_sqrt(init_value, peak_value, warmup_steps):
    def value(t):
        rising = init_value + (peak_value - init_value) * t / warmup_steps
        falling = peak_value * jnp.sqrt(warmup_steps / jnp.maximum(t, 1))
        return jnp.where(t < warmup_steps, rising, falling)

    return value


def half_life(init_value, end_value, transition_steps):
    def value(t):
        lives = [jnp.log(0.5) / jnp.log(b) for b in (init_value, end_value)]
        f = jnp.minimum(t / transition_steps, 1)
        return 0.5 ** (1 / ((1 - f) * lives[0] + f * lives[1]))

    return value


def step_decay(init_value, step_size, decay_rate):
    return lambda t: init_value * decay_rate ** (t // step_size)


def power_decay(init_value, peak_value, warmup_steps, power):
    def value(t):
        rising = init_value + (peak_value - init_value) * t / warmup_steps
        falling = peak_value * (warmup_steps / jnp.maximum(t, 1)) ** power
        return jnp.where(t < warmup_steps, rising, falling)

    return value


def stable(init_value, peak_value, warmup_steps, stable_steps, decay_steps, end_value, decay_shape):
    def value(t):
        f = jnp.clip((t - warmup_steps - stable_steps) / decay_steps, 0, 1)
        shapes = {"linear": 1 - f, "cosine": (1 + jnp.cos(jnp.pi * f)) / 2, "sqrt": 1 - f**0.5}
        rising = init_value + (peak_value - init_value) * t / warmup_steps
        falling = end_value + (peak_value - end_value) * shapes[decay_shape]
        return jnp.where(t < warmup_steps, rising, falling)

    return value


def cyclic(base_value, peak_value, step_size_up, step_size_down, mode, gamma):
    def value(t):
        length = step_size_up + step_size_down
        scale = {"triangular": 1.0, "triangular2": 0.5 ** (t // length), "exp_range": gamma**t}
        knots = jnp.array([0.0, step_size_up, length])
        height = jnp.interp(t % length, knots, jnp.array([0.0, 1.0, 0.0]))
        return base_value + (peak_value - base_value) * height * scale[mode]

    return value


def rex(init_value, transition_steps, end_value, reflection):
    def value(t):
        f = jnp.minimum(t / transition_steps, 1)
        return end_value + (init_value - end_value) * (1 - f) / (1 - reflection * f)

    return value


def chebyshev(min_curvature, max_curvature, num_steps):
    def order(n):
        half = order(n // 2) if n > 1 else []
        return [x for i in half for x in (i, n - 1 - i)] if n > 1 else [0]

    mean, half = (max_curvature + min_curvature) / 2, (max_curvature - min_curvature) / 2
    angles = (jnp.array(order(num_steps)) + 0.5) * jnp.pi / num_steps
    return lambda t: 1 / (mean - half * jnp.cos(angles[t % num_steps]))


CASES = {
    "Constant": (optax.constant_schedule, {}),
    "Linear": (optax.linear_schedule, {}),
    "Polynomial": (optax.polynomial_schedule, {}),
    "CosineDecay": (optax.cosine_decay_schedule, {}),
    "ExponentialDecay": (optax.exponential_decay, {"end_value": None}),
    "ExponentialDecay stairs": (optax.exponential_decay, {"staircase": True}),
    "ExponentialDecay up": (optax.exponential_decay, {"decay_rate": 1.3, "end_value": 3.0}),
    "HalfLifeWarmup": (half_life, {}),
    "InverseTimeDecay": (inverse_time, {}),
    "InverseTimeDecay stairs": (inverse_time, {"staircase": True}),
    "InverseSqrtDecay": (inverse_sqrt, {}),
    "PiecewiseConstant": (optax.piecewise_constant_schedule, {}),
    "PiecewiseInterpolate": (optax.piecewise_interpolate_schedule, {"interpolate_type": "linear"}),
    "PiecewiseInterpolate cosine": (
        optax.piecewise_interpolate_schedule, {"interpolate_type": "cosine"},
    ),
    "CosineOneCycle": (optax.cosine_onecycle_schedule, {}),
    "LinearOneCycle": (optax.linear_onecycle_schedule, {}),
    "WarmupConstant": (optax.warmup_constant_schedule, {}),
    "WarmupCosineDecay": (optax.warmup_cosine_decay_schedule, {}),
    "WarmupExponentialDecay": (optax.warmup_exponential_decay_schedule, {}),
    "WarmupStableDecay": (stable, {"decay_shape": "linear"}),
    "WarmupStableDecay cosine": (stable, {"decay_shape": "cosine"}),
    "WarmupStableDecay sqrt": (stable, {"decay_shape": "sqrt"}),
    "StepDecay": (step_decay, {}),
    "PowerDecay": (power_decay, {}),
    "CyclicTriangular": (cyclic, {"mode": "triangular"}),
    "CyclicTriangular halved": (cyclic, {"mode": "triangular2"}),
    "CyclicTriangular powers": (cyclic, {"mode": "exp_range"}),
    "REX": (rex, {}),
    "Chebyshev": (chebyshev, {"num_steps": 32}),
    "WarmRestarts": (optax.sgdr_schedule, {}),
    "Join": (optax.join_schedules, {}),
}  # fmt: skip
DRAWS = {
    **dict.fromkeys(("value", "init_value", "peak_value"), lambda r: 10 ** r.uniform(-3, 0)),
    "end_value": lambda r: r.uniform(0, 0.05),
    "alpha": lambda r: r.uniform(0, 1),
    "power": lambda r: r.uniform(0, 3),
    "exponent": lambda r: r.uniform(0.5, 3),
    "decay_rate": lambda r: r.uniform(0.3, 0.9),
    "transition_steps": lambda r: r.integers(5, 90),
    "transition_begin": lambda r: r.integers(0, 40),
    "warmup_steps": lambda r: r.integers(1, 40),
    "decay_steps": lambda r: r.integers(41, 120),
    **dict.fromkeys(("step_size", "step_size_up"), lambda r: r.integers(5, 40)),
    "step_size_down": lambda r: r.integers(5, 40),
    "stable_steps": lambda r: r.integers(0, 40),
    "base_value": lambda r: r.uniform(0, 0.05),
    "gamma": lambda r: r.uniform(0.9, 1),
    "reflection": lambda r: r.uniform(0, 1),
    "min_curvature": lambda r: r.uniform(0.1, 0.5),
    "max_curvature": lambda r: r.uniform(1, 2),
    "pct_start": lambda r: r.uniform(0, 0.5),
    "pct_final": lambda r: r.uniform(0.6, 1),
    "div_factor": lambda r: r.uniform(2, 30),
    "final_div_factor": lambda r: r.uniform(10, 1e4),
    "boundaries_and_scales": lambda r: {
        int(r.integers(i, i + 30)): float(r.uniform(0.1, 2)) for i in (60, 0, 30)
    },
    "cosine_kwargs": lambda r: [arguments(rs.WarmupCosineDecay, r) for _ in range(3)],
    "schedules": lambda r: [arguments(rs.CosineDecay, r) for _ in range(3)],
    "boundaries": lambda r: [int(r.integers(i, i + 60)) for i in (0, 60)],
}  # fmt: skip
every_case = pytest.mark.parametrize("case", list(CASES))


def arguments(cls, r, **fixed):
    """Random arguments by the names of the fields."""
    names = [f.name for f in dataclasses.fields(cls) if f.name != "staircase"]
    drawn = {name: DRAWS[name](r) for name in names if name not in fixed}
    return {n: x.item() if isinstance(x, np.number) else x for n, x in (drawn | fixed).items()}


def build(case, seed, ours=True):
    theirs, fixed = CASES[case]
    cls = getattr(rs, case.split()[0])
    given = arguments(cls, np.random.default_rng(seed), **fixed)
    if case == "Join":
        cosine = rs.CosineDecay if ours else optax.cosine_decay_schedule
        given["schedules"] = [cosine(**x) for x in given["schedules"]]
    return (cls if ours else theirs)(**given)


def precision(x64):
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(x64)
    from jax.experimental import enable_x64

    return enable_x64(x64)


@cache
def reference(case):
    """What Optax says, in double precision, to three draws of the arguments."""
    with precision(True), jax.numpy_dtype_promotion("standard"):
        counts, functions = COUNTS.astype(np.int64), [build(case, i, ours=False) for i in range(3)]
        values = [jax.vmap(lambda t, f=f: jnp.asarray(f(t), float))(counts) for f in functions]
        return np.stack([np.broadcast_to(v, COUNTS.shape) for v in values])


def stack(*trees):
    return jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *trees)


@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
@every_case
def test_equals_optax_at_every_step_with_every_number_constant_traced_or_a_lane(case, x64):
    expected, schedules, traces = reference(case), [build(case, i) for i in range(3)], []

    @jax.jit
    def run(schedule):
        traces.append(case)
        return jax.vmap(schedule)(COUNTS)

    with precision(x64):
        traced = jnp.stack([run(schedule) for schedule in schedules])
        assert len(traces) == 1
        in_lanes = jax.vmap(run)(stack(*schedules))
        constant = jax.jit(lambda: jnp.stack([jax.vmap(schedules[0])(COUNTS)] * 3))()
    # Optax subtracts large numbers: it has no digits below the rounding of its largest value.
    size = (np.abs(expected) + np.max(np.abs(expected), axis=1, keepdims=True)) / 2
    for values, lanes in ((traced, slice(3)), (in_lanes, slice(3)), (constant, slice(1))):
        assert values.dtype == (jnp.float64 if x64 else jnp.float32)
        error = np.abs(np.asarray(values, float) - expected) / size
        assert np.max(error[lanes]) <= (1e-12 if x64 else 1e-6)


@every_case
def test_derivatives_in_every_number_are_finite_and_right(case, x64):
    schedule = build(case, 0)
    leaves, tree = jax.tree.flatten(schedule)
    steps = [isinstance(x, int) for x in leaves]

    @jax.jit
    @jax.value_and_grad
    def total(leaves):
        return jnp.sum(jax.vmap(jax.tree.unflatten(tree, leaves))(COUNTS))

    x = np.array(leaves, float)
    _, gradient = total(list(x))
    assert np.all(np.isfinite(gradient))
    # A directional derivative in all numbers but steps, where the schedule has corners.
    direction = np.where(steps, 0, 1e-6 * np.arange(1, len(x) + 1))
    difference = total(list(x + direction))[0] - total(list(x - direction))[0]
    np.testing.assert_allclose(2 * direction @ np.array(gradient), difference, rtol=1e-6)


@every_case
def test_is_plain_data(case):
    schedule = build(case, 0)
    assert eval(repr(schedule), {n: getattr(rs, n) for n in rs.__all__}) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule != build(case, 1)
    assert hash(schedule) == hash(build(case, 0))
    assert jax.tree.map(lambda _: None, schedule) is not None
    for count in (3, np.int64(3), jnp.uint8(3), 3.0):
        value = jax.eval_shape(lambda s, count=count: s(count), schedule)
        assert (value.shape, value.dtype, value.weak_type) == ((), jnp.float32, False)
    as_arrays = jax.tree.map(jnp.asarray, schedule)
    np.testing.assert_array_equal(as_arrays(7), schedule(7))


@rule
class Between(Space):
    low: Real
    high: Real

    def bounds(self):
        return self.low, self.high


def test_steps_may_be_spaces_floats_or_billions():
    space = Between(1, 100)
    schedule = rs.WarmupCosineDecay(0.0, Between(0.1, 1.0), space, 1000)
    with pytest.raises(TypeError, match="space"):
        schedule(0)
    assert rs.PiecewiseInterpolate("linear", 1.0, {50: 0.5, space: 0.1}) is not None
    assert rs.Join([1.0, 2.0], [space]).boundaries == (space,)
    assert rs.Linear(0.0, 1.0, 1e2)(50) == 0.5
    assert rs.CosineDecay(1.0, 4_000_000_000)(2_000_000_000) == pytest.approx(0.5, rel=1e-6)
    # float32 would count 2**24 + 1 as 2**24, and int32 overflow at the last step.
    assert rs.Linear(0.0, 1.0, 4, 2**24)(jnp.int32(2**24 + 1)) == 0.25
    assert rs.ExponentialDecay(1.0, 2**24, 0.5, staircase=True)(jnp.int32(2**25 - 1)) == 0.5
    assert rs.Linear(0.0, 1.0, 2**31 - 1)(jnp.int32(2**31 - 1)) == 1.0


def test_small_values_keep_their_digits():
    assert rs.Linear(0.0, 1.0, 100_000)(1) == np.float32(1e-5)
    exact = np.sin(np.pi / 2 * 1e-3) ** 2
    assert rs.CosineDecay(1.0, 1000)(999) == pytest.approx(exact, rel=1e-6)


def test_empty_transitions_are_over_at_once():
    def values(schedule):
        traced = jax.jit(lambda s: jax.vmap(s)(jnp.arange(4)))
        np.testing.assert_array_equal(traced(schedule), [schedule(t) for t in range(4)])
        return traced(schedule).tolist()

    assert values(rs.Linear(0.5, 1.0, 0, 2)) == [0.5, 0.5, 1, 1]
    assert values(rs.Polynomial(0.5, 1.0, 0.5, 0)) == [1, 1, 1, 1]
    assert values(rs.WarmupConstant(0.0, 1.0, 0)) == [1, 1, 1, 1]
    assert values(rs.InverseSqrtDecay(0.0, 1.0, 0))[:2] == [1, 1]
    assert values(rs.WarmupCosineDecay(0.0, 1.0, 2, 2, end_value=0.25)) == [0, 0.5, 0.25, 0.25]
    assert values(rs.WarmupCosineDecay(0.0, 1.0, 0, 2, end_value=0.5))[::2] == [1, 0.5]
    assert values(rs.WarmupExponentialDecay(0.0, 1.0, 0, 1, 0.5)) == [1, 0.5, 0.25, 0.125]
    assert values(rs.LinearOneCycle(2, 1.0, 0.5, 0.5, 2.0, 2.0)) == [0.5, 0.5, 0.25, 0.25]
    assert values(rs.LinearOneCycle(1, 1.0, 0.0, 1.0, 2.0, 2.0)) == [1, 0.25, 0.25, 0.25]
    assert values(rs.Join([1.0, 2.0, 3.0], [2, 2])) == [1, 1, 3, 3]
    lanes = jax.vmap(lambda n: rs.ExponentialDecay(1.0, n, 0.5)(5))(jnp.array([0, 5]))
    np.testing.assert_array_equal(lanes, [1.0, 0.5])


def test_a_peak_of_zero_is_a_peak_like_any_other():
    def last(peak):
        return rs.WarmupCosineDecay(0.0, peak, 5, 10, end_value=0.25)(10)

    peaks = jnp.array([0.0, 1e-30, 1.0])
    np.testing.assert_array_equal(jax.vmap(last)(peaks), np.full(3, 0.25, np.float32))
    assert np.all(np.isfinite(jax.vmap(jax.grad(last))(peaks)))


def test_boundaries_belong_to_what_they_begin_and_need_not_be_known():
    schedule = rs.PiecewiseConstant(1.0, {20: 0.5, 10: 0.5})
    assert schedule == rs.PiecewiseConstant(1.0, [(10, 0.5), (20, 0.5)])
    assert [float(schedule(t)) for t in (0, 9, 10, 19, 20)] == [1, 1, 0.5, 0.5, 0.25]
    assert rs.PiecewiseConstant(1.0)(5) == rs.PiecewiseInterpolate("cosine", 1.0, {})(5) == 1

    def value(b, t):
        pairs = ((b, 0.5), (b + 10, 0.5))
        joined = rs.Join([lambda t: 3 - t, rs.PiecewiseConstant(2.0, {1: 1.5, 5: 0.0})], [b])
        interpolated = rs.PiecewiseInterpolate("linear", 1.0, pairs)
        return joined(t), rs.PiecewiseConstant(1.0, pairs)(t), interpolated(t)

    at = jax.jit(jax.vmap(value))(jnp.array([1, 2, 4, 8]), jnp.array([2, 2, 2, 13]))
    expected = [[3, 2, 1, 0], [0.5, 0.5, 1, 0.5], [0.475, 0.5, 0.75, 0.375]]
    np.testing.assert_allclose(at, expected, rtol=1e-6)


def test_what_is_not_selected_spoils_no_derivative():
    def rising(rate):
        bounded = rs.ExponentialDecay(1.0, 1, rate, end_value=9.0)
        return rs.Join([rs.ExponentialDecay(1.0, 1, rate), bounded], [3])(1000)

    assert jax.value_and_grad(rising)(2.0) == (9.0, 0.0)


def test_a_share_of_the_steps_is_the_same_in_any_precision():
    values = []
    for x64 in (False, True):
        with precision(x64):
            values.append(float(rs.CosineOneCycle(90, 1.0, pct_start=0.7)(63)))
    assert values == [1.0, 1.0]


def test_optimizers_take_them():
    descend = ScaleByLearningRate(rs.WarmupCosineDecay(0.0, 0.5, 2, 10))
    state = descend.init(jnp.ones(2))
    for expected in (0.0, -0.25, -0.5):
        updates, state = jax.jit(descend.update)(jnp.ones(2), state)
        np.testing.assert_array_equal(updates, jnp.full(2, expected))


def test_as_torch_does_it():
    torch = pytest.importorskip("torch")
    scheduler = torch.optim.lr_scheduler

    def values(make):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        steps, out = make(optimizer), []
        for _ in range(40):
            out.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            steps.step()
        return out

    triangles = dict(step_size_up=5, step_size_down=3, gamma=0.9)
    cases = [(rs.StepDecay(0.5, 7, 0.3), lambda o: scheduler.StepLR(o, 7, 0.3))]
    cases += [
        (
            rs.CyclicTriangular(0.1, 0.9, mode=m, **triangles),
            lambda o, m=m: scheduler.CyclicLR(
                o, 0.1, 0.9, mode=m, cycle_momentum=False, **triangles
            ),
        )
        for m in ("triangular", "triangular2", "exp_range")
    ]
    for schedule, make in cases:
        np.testing.assert_allclose(jax.vmap(schedule)(jnp.arange(40)), values(make), rtol=1e-5)


def test_a_long_step_of_chebyshev_is_undone_by_short_ones():
    curvatures = jnp.linspace(0.1, 1.0, 50)
    steps = jax.vmap(rs.Chebyshev(0.1, 1.0, 32))(jnp.arange(32))
    left = jnp.cumprod(1 - steps[:, None] * curvatures[None, :], axis=0)
    # Plain descent would have (1 - 0.1 / 0.55)^32 = 2e-3 left, and more on the way is bounded.
    assert jnp.abs(left[-1]).max() < 1e-8
    assert jnp.abs(left).max() < 20


BAD = [
    (lambda: rs.Constant("a"), "Constant: value must be a number"),
    (lambda: rs.Constant(np.nan), "Constant: value .* NaN"),
    (lambda: rs.Linear(0.0, 1.0, -1), "Linear: transition_steps must be at least 0"),
    (lambda: rs.Linear(0.0, 1.0, 5, -1), "Linear: transition_begin must be at least 0"),
    (lambda: rs.Polynomial(0.0, 1.0, -2, 5), "Polynomial: power must be at least 0"),
    (lambda: rs.CosineDecay(1.0, 0), "CosineDecay: decay_steps must be greater than 0"),
    (lambda: rs.ExponentialDecay(1.0, 0, 0.5), "transition_steps must be greater than 0"),
    (lambda: rs.ExponentialDecay(1.0, 1, 0.0), "decay_rate must be greater than 0"),
    (lambda: rs.ExponentialDecay(1.0, 1, 0.5, staircase=1), "staircase must be True or False"),
    (lambda: rs.InverseTimeDecay(1.0, 1, -1.0), "decay_rate must be at least 0"),
    (lambda: rs.CosineOneCycle(0, 1.0), "transition_steps must be greater than 0"),
    (lambda: rs.CosineOneCycle(9, 1.0, pct_start=30), r"pct_start must be in \[0, 1\]"),
    (lambda: rs.LinearOneCycle(9, 1.0, 0.9), "pct_final .* at least pct_start"),
    (lambda: rs.PiecewiseConstant(1.0, {5: -1.0}), r"boundaries_and_scales\[0\]: scale .* least 0"),
    (lambda: rs.PiecewiseConstant(1.0, [5, 6]), "must be a dict .* or pairs"),
    (lambda: rs.PiecewiseInterpolate("cubic", 1.0), "interpolate_type must be 'linear' or"),
    (lambda: rs.Join([1.0, 2.0], []), "boundaries must be one fewer than schedules"),
    (lambda: rs.Join([1.0, 2.0, 3.0], [5, 4]), "boundaries must not decrease"),
    (lambda: rs.Join([1.0, 2.0], [-4]), r"Join: boundaries\[0\]: boundary must be at least 0"),
    (lambda: rs.Join(["a", 2.0], [4]), r"Join: schedules\[0\] must be a schedule, a number"),
    (lambda: rs.Join(rs.Constant(1.0), [4]), "Join: schedules must be a list"),
    (lambda: rs.WarmupCosineDecay(0.0, 1.0, 10, 5), "decay_steps includes the warm-up"),
    (lambda: rs.WarmupStableDecay(0.0, 1.0, 1, 1, -1), "decay_steps must be at least 0"),
    (lambda: rs.WarmupStableDecay(0.0, 1.0, 1, 1, 1, 0.0, "log"), "decay_shape must be one of"),
    (lambda: rs.StepDecay(1.0, 0), "StepDecay: step_size must be greater than 0"),
    (lambda: rs.CyclicTriangular(0.0, 1.0, 0), "step_size_up must be greater than 0"),
    (lambda: rs.CyclicTriangular(0.0, 1.0, 5, mode="saw"), "mode must be one of 'triangular'"),
    (lambda: rs.REX(1.0, 10, reflection=2.0), r"REX: reflection must be in \[0, 1\]"),
    (lambda: rs.Chebyshev(0.1, 1.0, 12), "num_steps must be a power of 2, got 12"),
    (lambda: rs.WarmRestarts([]), "at least one cycle"),
    (lambda: rs.WarmRestarts({"decay_steps": 5}), "cosine_kwargs must be a sequence of cycles"),
    (lambda: rs.WarmRestarts([5]), r"cosine_kwargs\[0\] must be a WarmupCosineDecay or a dict"),
    (lambda: rs.WarmRestarts([{"decay": 5}]), r"cosine_kwargs\[0\].*decay"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_arguments_are_named_at_the_door(number):
    make, words = BAD[number]
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def test_every_schedule_has_its_case():
    assert {case.split()[0] for case in CASES} == set(rs.__all__) - {"Jump"}
