"""Adam-like methods against other implementations, and against their papers in plain NumPy."""

import inspect
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import schedules as rs
from ravine import transforms as rt
from ravine.core.apply import apply_updates
from tests.registry import steps

TRACES = Path(__file__).parent / "traces" / "moments.npz"
TINY = 1e-30
OFF = {"weight_decay": 0.0}


def slow_decay(count: Any) -> Any:
    """The authors count steps from 1."""
    return rs.HalfLifeWarmup(0.9, 0.999, 8)(count + 1)


RECORDED = {
    "RAdam": ro.RAdam(0.1, eps=TINY),
    "RAdam-b2": ro.RAdam(0.1, b1=0.8, b2=0.95, eps=TINY),
    "ASGD": ro.ASGD(0.1, lambd=0.1, t0=6, weight_decay=0.1),
    "Adamax": ro.AdamaxW(0.1, **OFF),
    "MADGRAD": ro.MADGRAD(0.1),
    "AdaBelief": ro.AdaBelief(0.1),
    "Lion": ro.Lion(0.1, weight_decay=0.1),
    "AdEMAMix": ro.AdEMAMix(0.1, b2=0.99, b3=slow_decay, alpha=rs.Linear(3 / 8, 3.0, 7)),
    "StableAdamW": ro.StableAdamW(0.1, eps=TINY, weight_decay=0.1),
    "AdaBound": ro.AdaBound(0.1, final_lr=0.3, gamma=0.1),
    "AMSBound": ro.AdaBound(0.1, final_lr=0.3, gamma=0.1, amsbound=True),
    "AdamP": ro.AdamP(0.1, weight_decay=0.1, delta=1.0, eps=TINY, channel_axis=0),
    "SGDP": ro.SGDP(0.1, momentum=0.9, delta=1.0, eps=TINY, channel_axis=0),
    "QHM": ro.QHM(0.1, momentum=0.9),
    "AggMo": ro.AggMo(0.01),
}  # fmt: skip


def path(optimizer: Any, start: Any, gradients: Any) -> tuple[Any, Any]:
    """The points that an optimizer visits, and those at which it would be evaluated."""

    def step(carry: Any, g: Any) -> Any:
        params, state = carry
        updates, state = optimizer.update(g, state, params)
        params = apply_updates(params, updates)
        return (params, state), (params, optimizer.eval_params(state, params))

    carry = start, optimizer.init(start)
    scan = jax.jit(
        lambda c, g: jax.lax.scan(step, c, g)[1],
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return scan(carry, gradients)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", RECORDED)
def test_the_points_are_those_of_another_implementation(name):
    trace = np.load(TRACES)
    start, gradients = ({k: trace[f"{kind}/{k}"] for k in "bw"} for kind in ("start", "grads"))
    points, means = path(RECORDED[name], start, gradients)
    for k in "bw":
        np.testing.assert_allclose(points[k], trace[f"{name}/{k}"], rtol=1e-9, atol=1e-10)
        if name == "ASGD":
            np.testing.assert_allclose(means[k], trace[f"{name}/{k}/mean"], rtol=1e-9, atol=1e-10)


# Papers in plain NumPy: an array, its gradients one after another, and the step of each.


def madgrad(theta, gradients, eta=0.1, mu=0.9, eps=1e-6):
    theta_0, s, v = theta.copy(), 0.0, 0.0
    for k, g in enumerate(gradients):
        lam = (eta + eps) * np.sqrt(k + 1)
        s, v = s + lam * g, v + lam * g**2
        z = theta_0 - s / (np.cbrt(v) + eps)
        new = mu * theta + (1 - mu) * z
        yield new - theta
        theta = new


def laprop(theta, gradients, eta=0.1, b1=0.9, b2=0.999, eps=1e-3, decay=0.5):
    m, v = 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        v = b2 * v + (1 - b2) * g**2
        m = b1 * m + (1 - b1) * g / (np.sqrt(v / (1 - b2**t)) + eps)
        step = -eta * (m / (1 - b1**t) + decay * theta)
        yield step
        theta = theta + step


def qhadam(theta, gradients, eta=0.1, b1=0.9, b2=0.99, nu1=0.7, nu2=0.8, eps=1e-3):
    m, v = 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        above = (1 - nu1) * g + nu1 * m / (1 - b1**t)
        below = (1 - nu2) * g**2 + nu2 * v / (1 - b2**t)
        yield -eta * above / (np.sqrt(below) + eps)


def adam_mini(theta, gradients, eta=0.1, b1=0.9, b2=0.999, eps=1e-8):
    m, v = np.zeros_like(theta), np.zeros(theta.shape[1])
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        for j in range(theta.shape[1]):
            v[j] = b2 * v[j] + (1 - b2) * np.mean(g[:, j] ** 2)
        yield -eta * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


def adam_atan2(theta, gradients, eta=0.1, b1=0.9, b2=0.999, a=1.27, b=2.0):
    m = v = np.zeros_like(theta)
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        yield -eta * a * np.arctan2(m / (1 - b1**t), b * np.sqrt(v / (1 - b2**t)))


def mars(theta, gradients, eta=0.1, b1=0.95, b2=0.99, gamma=0.5, eps=1e-8):
    m, v, last = 0.0, 0.0, gradients[0]
    for t, g in enumerate(gradients, 1):
        c = g + gamma * b1 / (1 - b1) * (g - last)
        c, last = c / max(1.0, np.linalg.norm(c)), g
        m, v = b1 * m + (1 - b1) * c, b2 * v + (1 - b2) * c**2
        yield -eta * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


def mars_lion(theta, gradients, eta=0.1, b1=0.95, gamma=0.5):
    m, last = 0.0, gradients[0]
    for g in gradients:
        c = g + gamma * b1 / (1 - b1) * (g - last)
        c, last = c / max(1.0, np.linalg.norm(c)), g
        m = b1 * m + (1 - b1) * c
        yield -eta * np.sign(m)


def grokfast(theta, gradients, alpha=0.9, lamb=2.0):
    h = gradients[0]
    for g in gradients:
        h = alpha * h + (1 - alpha) * g
        yield g + lamb * h


def grokfast_ma(theta, gradients, w=4, lamb=5.0):
    for i, g in enumerate(gradients):
        yield g + lamb * np.mean(gradients[i - w + 1 : i + 1], axis=0) if i >= w - 1 else g


def grokfast_sum(theta, gradients, w=4, lamb=5.0):
    for i, g in enumerate(gradients):
        yield g + lamb * np.sum(gradients[max(i - w + 1, 0) : i + 1], axis=0)


PAPERS = {
    "MADGRAD": (ro.MADGRAD(0.1), madgrad),
    "LaProp": (ro.LaProp(0.1, eps=1e-3, weight_decay=0.5), laprop),
    "QHAdam": (ro.QHAdam(0.1, b1=0.9, b2=0.99, nu2=0.8, eps=1e-3), qhadam),
    "AdamMini": (ro.AdamMini(0.1, blocks=-1), adam_mini),
    "AdamAtan2": (ro.AdamAtan2(0.1, b=2.0), adam_atan2),
    "MARS": (ro.MARS(0.1, gamma=0.5), mars),
    "MARSLion": (ro.MARSLion(0.1, gamma=0.5), mars_lion),
    "GrokFast": (rt.GrokFast(alpha=0.9), grokfast),
    "GrokFastMA": (rt.GrokFastMA(window_size=4), grokfast_ma),
    "GrokFastMA-sum": (rt.GrokFastMA(4, filter_type="sum", warmup=False), grokfast_sum),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", PAPERS)
def test_the_updates_are_those_of_the_paper(name, rng):
    rule, paper = PAPERS[name]
    theta, gradients = rng.normal(size=(4, 3)), rng.normal(size=(12, 4, 3))
    params, state = jnp.asarray(theta), rule.init(jnp.asarray(theta))
    update = jax.jit(rule.update, compiler_options={"xla_backend_optimization_level": 0})
    for g, expected in zip(gradients, paper(theta, gradients), strict=True):
        updates, state = update(jnp.asarray(g), state, params)
        np.testing.assert_allclose(updates, expected, rtol=1e-10, atol=1e-12)
        params += updates


# What each of them prevents.


def test_a_rectified_step_keeps_its_digits_in_float32():
    from ravine.transforms.rectified import effective_length

    for b2 in (0.9, 0.999, 0.99999):
        for t in (1, 2, 5, 6, 40, 700, 20_000, 3_000_000):
            weights = np.float64(b2) ** np.arange(min(t, 5_000_000))
            exact = 1 + 2 * np.sum(np.arange(len(weights)) * weights) / np.sum(weights)
            for number in (b2, jnp.float32(b2)):
                rho, limit = effective_length(number, jnp.int32(t))
                # A decay in float32 is another decay, by up to 3e-8 / (1 - b2) of its limit.
                tolerance = 2e-6 if number is b2 else 2e-6 + 6e-8 / (1 - b2)
                np.testing.assert_allclose(rho, exact, rtol=tolerance)
                np.testing.assert_allclose(limit, 2 / (1 - b2) - 1, rtol=tolerance)


def test_adopt_keeps_the_digits_of_a_decay_of_0_9999_in_float32():
    rule, g = rt.ScaleByAdopt(), jnp.array([1.0, 100.0])
    state = rule.init(g[0])
    for x in g:
        _, state = rule.update(x, state)
    np.testing.assert_allclose(state.nu, 0.9999 + 1e-4 * 100**2, rtol=1e-6)


def test_what_madgrad_starts_from_can_be_donated_with_the_parameters():
    optimizer, params = ro.MADGRAD(0.1), jnp.ones(3)
    step = jax.jit(lambda p, s: optimizer.update(p, s, p), donate_argnums=(0, 1))
    updates, state = step(params, optimizer.init(params))
    assert jnp.isfinite(updates).all()
    assert state.scale_by_madgrad.start.shape == (3,)


def test_madgrad_takes_what_optax_takes():
    ours, theirs = (inspect.signature(f).parameters for f in (ro.MADGRAD, optax.contrib.madgrad))
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]


def test_a_slow_mean_moves_in_half_precision():
    g = jnp.ones(1, jnp.bfloat16)
    state = rt.ScaleByAdemamix().init(g)
    for _ in range(3):
        _, state = rt.ScaleByAdemamix().update(g, state)
    np.testing.assert_allclose(state.m2, 3e-4, rtol=1e-3)


def test_lion_has_three_modes_and_no_other():
    g = jnp.array([0.5, -40.0])
    first = {mode: steps(rt.ScaleByLion(mode=mode), g, [g])[0] for mode in rt.lion.MODES}
    np.testing.assert_allclose(first["hard"], [1.0, -1.0])
    np.testing.assert_allclose(first["smooth"], np.tanh([0.05, -4.0]), rtol=1e-6)
    np.testing.assert_allclose(first["refined"], [0.05, -1.0], rtol=1e-6)
    with pytest.raises(ValueError, match="ScaleByLion: mode must be one of 'hard', 'smooth'"):
        rt.ScaleByLion(mode="soft")


def test_adopt_clips_a_complex_number_in_its_magnitude():
    start, g = jnp.ones(1, jnp.complex64), jnp.array([30 + 40j], jnp.complex64)
    rule = rt.ScaleByAdopt(b1=0.0, clip_value_fn=2.0)
    np.testing.assert_allclose(steps(rule, start, [start, g])[1], [1.2 + 1.6j], rtol=1e-6)


def test_parameters_are_asked_for_by_name():
    g = jnp.ones((2, 2))
    rules = [rt.ScaleByNovograd(), rt.ScaleByMadgrad(0.1), rt.ScaleByStableAdam()]
    for rule in [*rules, rt.RemoveRadial(rt.Trace(0.9)), rt.ScaleByASGD(0.1)]:
        with pytest.raises(ValueError, match=f"{type(rule).__name__} needs the parameters"):
            rule.update(g, rule.init(g))


def test_blocks_that_do_not_fit_say_which_leaf():
    params = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
    with pytest.raises(ValueError, match=r"axis 1 for bias, whose shape is \(3,\)"):
        ro.AdamMini(0.1, blocks=1).init(params)
    with pytest.raises(ValueError, match="must be 'tensor', 'element' or the number of an axis"):
        ro.AdamMini(0.1, blocks="row").init(params)
    by_element = ro.AdamMini(0.1, blocks="element")
    a, b = (steps(o, params, [params] * 2)[1] for o in (by_element, ro.Adam(0.1)))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_decays_of_aggregated_momentum_are_checked_one_by_one():
    assert ro.AggMo(0.1, betas=[0, 0.5]).betas == (0.0, 0.5)
    for betas, error in (((), ValueError), ((0.5, 1.0), ValueError), (0.9, TypeError)):
        with pytest.raises(error, match="AggMo: betas must"):
            ro.AggMo(0.1, betas=betas)
    one = ro.AggMo(0.1, betas=(0.9,))
    g = [jnp.array([1.0, -2.0])] * 3
    np.testing.assert_allclose(
        steps(one, g[0], g), steps(ro.SGD(0.1, momentum=0.9), g[0], g), rtol=1e-6
    )


def test_a_radial_part_is_taken_out_of_scale_invariant_leaves_alone():
    # The loss of a normalized matrix: its gradient is orthogonal to it, and momentum is not.
    w, g = jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    rule = rt.RemoveRadial(rt.Scale(1.0), weight_decay=1.0)
    np.testing.assert_allclose(rule.update(g, rule.init(w), w)[0], g + 0.1 * w)
    np.testing.assert_allclose(rule.update(w, rule.init(w), w)[0], 2 * w)
    moved = rt.RemoveRadial(rt.chain(rt.AddDecayedWeights(5.0)))
    np.testing.assert_allclose(moved.update(g, moved.init(w), w)[0], g, atol=1e-5)
    vector, tangent = jnp.array([3.0, 0.0]), jnp.array([0.0, 1.0])
    out = moved.update(tangent, moved.init(vector), vector)[0]
    np.testing.assert_allclose(out, [15.0, 1.0])


def test_quasi_hyperbolic_adam_with_whole_shares_is_adam():
    g = [jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])]
    ours = steps(ro.QHAdam(0.1, b1=0.9, nu1=1.0), g[0], g)
    np.testing.assert_allclose(ours, steps(ro.Adam(0.1), g[0], g), rtol=1e-6)


def test_an_optimistic_player_reaches_the_saddle_that_others_circle():
    def last(optimizer: Any) -> float:
        # min over x_0, max over x_1, of x_0 x_1
        def step(_: int, carry: Any) -> Any:
            x, state = carry
            updates, state = optimizer.update(jnp.array([x[1], -x[0]]), state, x)
            return x + updates, state

        start = jnp.array([1.0, 1.0])
        return float(
            jnp.linalg.norm(jax.lax.fori_loop(0, 300, step, (start, optimizer.init(start)))[0])
        )

    assert last(ro.OptimisticGradientDescent(0.1)) < 0.5
    assert last(ro.SGD(0.1)) > 2.0
