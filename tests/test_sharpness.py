"""Cautious and sharpness-aware steps against the papers, transcribed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from tests.registry import steps
from tests.test_wrappers import half_square, run


@pytest.fixture
def stream(rng):
    """Parameters, gradients and the momenta of these, in float64."""
    p, gradients, momentum, out = rng.normal(size=4), rng.normal(size=(20, 4)), np.zeros(4), []
    for g in gradients:
        momentum = g + 0.9 * momentum
        out.append(momentum)
    return p, gradients, out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("descends", [True, False])
def test_a_cautious_update_is_the_part_that_agrees_with_the_gradient(stream, descends):
    p, gradients, momenta = stream
    inner = rv.SGD(0.1, momentum=0.9) if descends else rv.Trace(0.9)
    got = run(rv.Cautious(inner, descends=descends), jnp.asarray(p), list(jnp.asarray(gradients)))
    for u, g, m in zip(got, gradients, momenta, strict=True):
        mask = np.array([float(a * b > 0) for a, b in zip(m, g, strict=True)])
        mask /= max(mask.mean(), 1e-3)
        np.testing.assert_allclose(u, (-0.1 if descends else 1.0) * m * mask, atol=1e-10)
    # None agrees: no step, and nothing divided by zero.
    wrong = rv.Cautious(rv.Scale(1.0))
    np.testing.assert_array_equal(steps(wrong, jnp.ones(2), [jnp.ones(2)])[0], [0.0, 0.0])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("descends", [True, False])
def test_grams_takes_the_length_of_one_and_the_sign_of_the_other(stream, descends):
    p, gradients, momenta = stream
    inner = rv.SGD(0.1, momentum=0.9) if descends else rv.Trace(0.9)
    got = run(rv.Grams(inner, descends=descends), jnp.asarray(p), list(jnp.asarray(gradients)))
    for u, g, m in zip(got, gradients, momenta, strict=True):
        expected = (-0.1 if descends else 1.0) * np.abs(m) * np.sign(g)
        np.testing.assert_allclose(u, expected, atol=1e-10)


@pytest.mark.usefixtures("x64")
def test_cautious_decay_only_helps(stream):
    p, gradients, momenta = stream
    chain = rv.chain(rv.Trace(0.9), rv.CautiousWeightDecay(0.2), rv.ScaleByLearningRate(0.1))
    ours, theirs = jnp.asarray(p), p.copy()
    state = chain.init(ours)
    for g, m in zip(gradients, momenta, strict=True):
        updates, state = chain.update(jnp.asarray(g), state, ours)
        ours = rv.apply_updates(ours, updates)
        for i in range(4):
            decay = 0.2 * theirs[i] if m[i] * theirs[i] >= 0 else 0.0
            theirs[i] -= 0.1 * (m[i] + decay)
        np.testing.assert_allclose(ours, theirs, atol=1e-10)
    assert rv.inspect(state)["weight_decay"] == 0.2


def test_cautious_decay_obeys_a_mask_and_a_schedule():
    params = {"kernel": jnp.array([1.0, -1.0]), "bias": jnp.ones(1)}
    transform = rv.CautiousWeightDecay(lambda t: (t + 1) / 2, mask="kernel")
    g = {"kernel": jnp.zeros(2), "bias": jnp.zeros(1)}
    first, second = steps(transform, params, [g, g])
    np.testing.assert_array_equal(first["kernel"], [0.5, -0.5])
    np.testing.assert_array_equal(second["kernel"], [1.0, -1.0])
    np.testing.assert_array_equal(second["bias"], [0.0])


HESSIAN = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])


def bowl(params: Any) -> Any:
    x = jnp.concatenate([params["a"], params["b"]])
    return 0.5 * x @ jnp.asarray(HESSIAN, x.dtype) @ x


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("adaptive", [False, True])
def test_sharpness_aware_steps_are_those_of_the_papers(adaptive):
    rho, eta = 0.3, 0.2
    inner = rv.SGD(0.1, momentum=0.9)
    optimizer = rv.ASAM(inner, rho, eta) if adaptive else rv.SAM(inner, rho)
    x, m = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    params = {"a": jnp.asarray(x[:1]), "b": jnp.asarray(x[1:])}
    state = optimizer.init(params)
    for _ in range(10):
        g = jax.grad(bowl)(params)
        updates, state = optimizer.update(g, state, params, value_fn=bowl)
        params = rv.apply_updates(params, updates)
        slope = HESSIAN @ x
        t = np.abs(x) + eta if adaptive else np.ones(3)
        e = rho * t**2 * slope / np.linalg.norm(t * slope)
        m = HESSIAN @ (x + e) + 0.9 * m
        x = x - 0.1 * m
        np.testing.assert_allclose(np.concatenate([params["a"], params["b"]]), x, atol=1e-10)


def test_sharpness_needs_the_loss_and_minimize_gives_it():
    optimizer = rv.SAM(rv.SGD(0.1), 0.05)
    with pytest.raises(ValueError, match="SAM needs the loss as a function of the parameters"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2))
    result = rv.minimize(half_square, jnp.array([1.0, -2.0]), optimizer, steps=100)
    assert result.value < 1e-4
    # At the bottom there is no slope to climb, and nothing divided by zero.
    zero = jnp.zeros(2)
    updates, _ = optimizer.update(zero, optimizer.init(zero), zero, value_fn=half_square)
    np.testing.assert_array_equal(updates, zero)


def test_the_gradient_of_a_complex_parameter_points_uphill():
    params = jnp.array([3.0 + 4.0j], jnp.complex64)

    def loss(z: Any) -> Any:
        return jnp.sum(jnp.abs(z) ** 2)

    optimizer = rv.SAM(rv.SGD(0.5), 1.0)
    g = jnp.conj(jax.grad(loss)(params))
    updates, _ = optimizer.update(g, optimizer.init(params), params, value_fn=loss)
    np.testing.assert_allclose(updates, [-3.6 - 4.8j], rtol=1e-6)
