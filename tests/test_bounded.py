"""L-BFGS between bounds: against SciPy's, and what must hold at every point."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import ravine as rv
from ravine.problems.functions import rosenbrock_loss

pytestmark = pytest.mark.usefixtures("x64")


class Case(NamedTuple):
    """A function, a start and bounds."""

    name: str
    loss: Callable[[Any], Any]
    start: Any
    lower: Any
    upper: Any


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    a, b = q * np.geomspace(1, 1e3, 30) @ q.T, 30 * rng.normal(size=30)
    x, w = rng.normal(size=(60, 20)), np.maximum(rng.normal(size=20), 0)
    y = x @ w + 0.1 * rng.normal(size=60)
    zigzag = np.where(np.arange(10) % 2 == 0, -1.2, 1.0)
    few, many = np.full(5, -2.0), np.full(5, 2.0)
    few[[1, 4]], many[[1, 4]] = [0.3, 0.1], [0.3, 0.1]
    return [
        Case("valley below", rosenbrock_loss, zigzag, -2.0, 0.5),
        Case("valley above", rosenbrock_loss, zigzag, 1.2, 3.0),
        Case("valley mixed", rosenbrock_loss, np.zeros(4), [-1, -1, -np.inf, 0.5],
             [0.8, 2, 0.5, 9]),
        Case("quadratic", lambda x: x @ a @ x / 2 - b @ x, np.zeros(30), -0.5, 0.5),
        Case("non-negative", lambda w: jnp.sum((x @ w - y) ** 2) / 2, np.ones(20), 0.0, np.inf),
        Case("logarithms", lambda x: jnp.sum(jnp.arange(1.0, 6) * x - jnp.log(x)), 0.9 * np.ones(5),
             1e-3, 0.4),
        Case("some fixed", rosenbrock_loss, np.full(5, 0.3), few, many),
        Case("start outside", rosenbrock_loss, np.full(4, 9.0), -1.0, 0.8),
        Case("a corner", lambda x: 2 - jnp.prod(x) / 120, np.full(5, 0.5), 0.0, np.arange(1.0, 6)),
    ]  # fmt: skip


@pytest.mark.parametrize("case", cases(), ids=lambda c: c.name)
def test_finds_what_scipy_finds_and_stays_inside(case):
    low, high = (np.broadcast_to(b, case.start.shape).astype(float) for b in case[3:])
    f = jax.jit(jax.value_and_grad(case.loss))
    theirs = optimize.minimize(
        lambda x: tuple(map(np.asarray, f(x))), case.start.clip(low, high), jac=True,
        method="L-BFGS-B", bounds=list(zip(low, high, strict=True)),
        options={"gtol": 1e-10, "ftol": 0, "maxls": 50},
    )  # fmt: skip
    stop = rv.GradNorm(1e-8)
    optimizer = rv.LBFGSB(jnp.asarray(low), jnp.asarray(high))
    result = rv.minimize(case.loss, jnp.asarray(case.start), optimizer, steps=1000, stop=stop)
    x = np.asarray(result.params)
    assert result.converged
    assert ((low <= x) & (x <= high)).all()
    assert ((x == low) | (x == high)).any()
    np.testing.assert_allclose(result.value, theirs.fun, rtol=1e-12)
    np.testing.assert_allclose(x, theirs.x, atol=1e-8)
    gradient = np.asarray(f(x)[1])
    assert np.linalg.norm(x - (x - gradient).clip(low, high)) <= 1e-8


def test_no_evaluation_leaves_the_box():
    """Where the function is defined inside only, with numbers at which rounding shows."""
    low, high = jnp.array([0.1, 1 / 3, 1e-9]), jnp.array([0.7, 2 / 3, 1e9])
    optimizer = rv.LBFGSB(low, high)

    def loss(x: Any) -> Any:
        return jnp.sum(x * jnp.array([1.0, -2.0, 3.0])) + (x[0] - x[1] * x[2]) ** 2

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        value, g = jax.value_and_grad(loss)(x)
        u, state = optimizer.update(g, state, x, value=value)
        return x + u, state

    for start in ([0.5, 0.5, 1e8], [0.1, 2 / 3, 3.3], [0.3, 0.6, 1e-9]):
        x, state = jnp.array(start), optimizer.init(jnp.array(start))
        for _ in range(40):
            x, state = step(x, state)
            assert jnp.all((low <= x) & (x <= high))


def test_without_bounds_it_is_lbfgs(rng):
    start = rng.uniform(-2, 2, size=6)
    runs = [
        rv.minimize(rosenbrock_loss, start, o, steps=25)
        for o in (rv.LBFGS(5), rv.LBFGSB(memory_size=5))
    ]
    np.testing.assert_allclose(runs[0].history, runs[1].history, rtol=1e-5)


def test_the_subspace_step_is_newton_s_with_the_matrix_of_the_pairs(rng):
    """B as the paper writes it, dense, and a system in the free parameters."""
    n, m = 7, 4
    h = np.diag(np.geomspace(1, 30, n)) + 0.5
    x = np.cumsum(rng.normal(size=(9, n)), axis=0)
    low = np.full(n, -np.inf)
    low[[1, 4]] = x[-1][[1, 4]]
    g = x @ h
    g += np.where(np.arange(n) == 1, 1, 0) * (5 - g[-1][1])
    g += np.where(np.arange(n) == 4, 1, 0) * (-5 - g[-1][4])  # pulls inwards, so it is free
    transform = rv.ScaleByLBFGSB(rv.Box(jnp.asarray(low), jnp.inf), m)
    state = transform.init(x[0])
    for point, gradient in zip(x, g, strict=True):
        u, state = jax.jit(transform.update)(gradient, state, point)
    s, y = np.diff(x, axis=0)[-m:].T, np.diff(g, axis=0)[-m:].T
    theta = y[:, -1] @ y[:, -1] / (s[:, -1] @ y[:, -1])
    sy = s.T @ y
    w = np.hstack([y, theta * s])
    lower = np.tril(sy, -1)
    middle = np.block([[-np.diag(np.diag(sy)), lower.T], [lower, theta * s.T @ s]])
    b = theta * np.eye(n) - w @ np.linalg.solve(middle, w.T)
    np.testing.assert_allclose(b @ s[:, -1], y[:, -1], rtol=1e-8)
    free = np.arange(n) != 1
    np.testing.assert_allclose(u[free], np.linalg.solve(b[np.ix_(free, free)], g[-1][free]), 1e-8)
    np.testing.assert_allclose(u[1], g[-1][1] / theta)


def test_bounds_are_trees_numbers_and_lanes():
    def loss(p: Any) -> Any:
        return jnp.sum((p["a"] - 2) ** 2) + (p["b"] + 3) ** 2

    start = {"a": jnp.zeros((2, 2)), "b": jnp.zeros(())}
    optimizer = rv.LBFGSB(
        lower={"a": -1.0, "b": -1.0}, upper={"a": jnp.array([0.5, 9.0]), "b": 1.0}
    )
    result = rv.minimize(loss, start, optimizer, steps=50, stop=rv.GradNorm(1e-6))
    assert result.converged
    np.testing.assert_allclose(result.params["a"], [[0.5, 2.0]] * 2)
    np.testing.assert_allclose(result.params["b"], -1.0)
    results = rv.sweep(
        loss, start, rv.LBFGSB(upper=rv.Grid([0.5, 1.0, 3.0])), steps=50, stop=rv.GradNorm(1e-6)
    )
    np.testing.assert_allclose(results.values, [9.0, 4.0, 0.0], atol=1e-9)


def test_bounds_that_do_not_fit_are_noticed():
    for lower, words in ((jnp.zeros(3), "lower must be .* broadcast"), ({"a": 0.0}, "lower")):
        with pytest.raises(ValueError, match=words):
            rv.LBFGSB(lower=lower).init(jnp.zeros(2))
