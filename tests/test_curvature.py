"""Estimates of the Hessian's diagonal, and the optimizers over them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt


def once(transform, params, **extra):
    """The first update, for gradients that are the parameters."""
    return transform.update(params, transform.init(params), params, **extra)[0]


def test_hutchinson_is_right_on_average():
    H = jnp.array([[2.0, 1.0, 0.0], [1.0, -3.0, 0.5], [0.0, 0.5, 1.0]])
    params = jnp.array([1.0, 2.0, 3.0])

    def loss(x):
        return 0.5 * x @ H @ x

    def estimate(key):
        return once(rt.HutchinsonEstimatorDiagHessian(key), params, value_fn=loss)

    estimates = jax.vmap(estimate)(jax.random.split(jax.random.key(0), 2000))
    np.testing.assert_allclose(estimates.mean(axis=0), jnp.diag(H), atol=0.1)
    assert (estimates.std(axis=0) > 0.4).all()


def test_of_a_complex_leaf_it_is_the_mean_of_both_parts_curvatures():
    params = jnp.array([1.0 + 2.0j, -1.0])

    def loss(z):
        return jnp.sum(3 * z.real**2 + 5 * z.imag**2)

    u = once(rt.HutchinsonEstimatorDiagHessian(), params, value_fn=loss)
    np.testing.assert_allclose(u, [8.0, 8.0], rtol=1e-6)


def test_estimates_differ_from_step_to_step_and_by_a_key_given_at_update():
    # An odd number of signs, which never sum to zero.
    transform, params = rt.HutchinsonEstimatorDiagHessian(key=1), jnp.arange(1.0, 16.0)

    def loss(x):
        return jnp.sum(x) ** 2

    def two(**extra):
        state = transform.init(params)
        first, state = transform.update(params, state, params, value_fn=loss, **extra)
        return first, transform.update(params, state, params, value_fn=loss, **extra)[0]

    draws = [*two(), *two(key=5), *two(key=6)]
    assert len({tuple(np.asarray(x).tolist()) for x in draws}) == 6
    np.testing.assert_array_equal(two(key=5), two(key=5))


def test_gauss_newton_bartlett_is_right_on_average(rng):
    inputs = jnp.asarray(rng.normal(size=(5, 2)), jnp.float32)
    params = jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)

    def logits(w):
        return inputs @ w

    def estimate(key):
        return once(rt.GaussNewtonBartlettEstimator(key), params, logits_fn=logits)

    estimates = jax.vmap(estimate)(jax.random.split(jax.random.key(0), 4000))
    # The diagonal of the mean Gauss-Newton matrix: x_i^2 p_j (1 - p_j).
    p = np.asarray(jax.nn.softmax(logits(params)))
    exact = np.mean(np.asarray(inputs)[:, :, None] ** 2 * (p * (1 - p))[:, None, :], axis=0)
    np.testing.assert_allclose(estimates.mean(axis=0), exact, rtol=0.15, atol=5e-3)
    assert (estimates >= 0).all()


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        (rt.HutchinsonEstimatorDiagHessian(), "needs the loss as a function of the parameters: ca"),
        (rt.GaussNewtonBartlettEstimator(), "needs the logits as a function of the params: call u"),
        (ro.Sophia(0.1), r"HutchinsonEstimatorDiagHessian needs .*, value_fn=\.\.\.\)"),
        (ro.AdaHessian(0.1), r"HutchinsonEstimatorDiagHessian needs .*, value_fn=\.\.\.\)"),
    ],
)
def test_what_an_estimator_needs_it_says(transform, words):
    with pytest.raises(ValueError, match=words):
        once(transform, jnp.ones(2))


def test_an_estimate_of_some_leaves_sees_the_whole_loss():
    params = {"a": jnp.array([1.0, 2.0]), "b": jnp.array([3.0])}

    def loss(p):
        return jnp.sum(p["a"] ** 3) * p["b"][0]

    masked = rt.Masked(rt.HutchinsonEstimatorDiagHessian(), "a")
    u = once(masked, params, value_fn=loss)
    np.testing.assert_allclose(u["a"], [18.0, 36.0], rtol=1e-6)
    np.testing.assert_array_equal(u["b"], params["b"])


def test_sophia_says_how_many_elements_it_left_unclipped():
    curvature = jnp.array([1.0, 1.0, 1000.0, 1000.0])

    def loss(x):
        return 0.5 * jnp.sum(curvature * x**2)

    optimizer, params = ro.Sophia(0.1, b1=0.0, b2=0.0), jnp.full(4, 5.0)
    state = optimizer.init(params)
    for expected in (0.0, 0.0):
        g = jax.grad(loss)(params)
        _, state = optimizer.update(g, state, params, value_fn=loss)
        assert state.scale_by_sophia.win_rate == expected
    # Near the bottom of the steep directions, m / (gamma h) = 0.05 / 0.01 * 0.1.
    g = curvature * jnp.array([5.0, 5.0, 0.005, 0.005])
    _, state = optimizer.update(g, state, params, value_fn=loss)
    assert state.scale_by_sophia.win_rate == 0.5


def test_sophia_keeps_its_estimate_between_intervals():
    def loss(x):
        return jnp.sum(x**4)

    optimizer, params = ro.Sophia(0.1, b2=0.0, update_interval=3), jnp.array([1.0])
    state, seen = optimizer.init(params), []
    for x in (1.0, 2.0, 3.0, 4.0, 5.0):
        here = jnp.array([x])
        _, state = optimizer.update(here, state, here, value_fn=loss)
        seen.append(float(state.scale_by_sophia.nu[0]))
    np.testing.assert_allclose(seen, [12.0, 12.0, 12.0, 192.0, 192.0], rtol=1e-6)


def adahessian(starts, slopes, curves, rate, b1, b2, eps, power, decay):
    """AdaHessian for a loss with a diagonal Hessian, in the letters of the paper."""
    m, v, out = 0.0, 0.0, []
    for t, (x, g, h) in enumerate(zip(starts, slopes, curves, strict=True), 1):
        D = np.abs(h)
        if D.ndim > 2:
            D = np.broadcast_to(D.mean(axis=tuple(range(D.ndim - 2)), keepdims=True), D.shape)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * D**2
        root = np.sqrt(v / (1 - b2**t)) ** power
        out.append(-rate * (m / (1 - b1**t) / (root + eps) + decay * x))
    return out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(3,), (2, 3), (3, 2, 2, 2)])
def test_adahessian_is_the_paper_s(rng, shape):
    starts = [rng.normal(size=shape) for _ in range(8)]

    def loss(x):
        return jnp.sum(x**3)

    settings = {"b1": 0.8, "b2": 0.9, "eps": 1e-4, "hessian_power": 0.5}
    optimizer = ro.AdaHessian(0.1, weight_decay=0.2, **settings)
    state, ours = optimizer.init(starts[0]), []
    for x in starts:
        u, state = optimizer.update(jnp.asarray(3 * x**2), state, jnp.asarray(x), value_fn=loss)
        ours.append(u)
    theirs = adahessian(
        starts, [3 * x**2 for x in starts], [6 * x for x in starts], 0.1, *settings.values(), 0.2
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
