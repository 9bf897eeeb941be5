"""Newton's method by line search and by trust region, against plain transcriptions."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import problems
from ravine.problems.functions import rosenbrock_loss
from ravine.transforms.trust.steihaug import steihaug

pytestmark = pytest.mark.usefixtures("x64")

FAST = {"xla_backend_optimization_level": 0}


def symmetric(rng: Any, eigenvalues: Any) -> np.ndarray:
    q = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))[0]
    return q * np.asarray(eigenvalues) @ q.T


def newton(h: Any, g: Any) -> Any:
    """The direction that ``ScaleByNewton`` makes of a gradient on a quadratic."""
    x, transform = jnp.zeros(len(g)), rv.ScaleByNewton()

    def value_fn(x: Any) -> Any:
        return x @ jnp.asarray(h) @ x / 2

    return transform.update(jnp.asarray(g), transform.init(x), x, value_fn=value_fn)[0]


def test_with_positive_curvature_the_direction_is_newton_s(rng):
    h, g = symmetric(rng, np.geomspace(1, 1e4, 6)), rng.normal(size=6)
    np.testing.assert_allclose(newton(h, g), np.linalg.solve(h, g), rtol=1e-9)
    # In other units it is the same direction.
    units = 10.0 ** np.arange(-9, 9, 3)
    scaled = newton(h * np.outer(units, units), g * units)
    np.testing.assert_allclose(scaled * units, np.linalg.solve(h, g), rtol=1e-6)


def test_with_negative_curvature_it_leads_away_from_the_saddle(rng):
    h, g = symmetric(rng, [-3.0, -0.5, 1.0, 2.0, 8.0]), rng.normal(size=5)
    d = np.sqrt(np.abs(np.diag(h)))
    values, v = np.linalg.eigh(h / np.outer(d, d))
    y = v.T @ (g / d) / np.abs(values)
    y[0] = np.copysign(max(abs(y[0]), np.linalg.norm(y[1:]) / 10), y[0])
    np.testing.assert_allclose(newton(h, g), v @ y / d, rtol=1e-9)
    # Even where the gradient does not see it.
    u = newton(np.diag([2.0, -1.0, 4.0]), np.array([2.0, 0.0, 4.0]))
    np.testing.assert_allclose(np.abs(u), [1, np.sqrt(2 + 4) / 10, 1], rtol=1e-9)
    for flat in (np.zeros((3, 3)), np.array([[0.0, 1], [1, 0]]), np.diag([1.0, 0.0])):
        u = newton(flat, np.ones(len(flat)))
        assert np.isfinite(u).all()
        assert u @ np.ones(len(flat)) > 0


def test_the_hessian_is_computed_at_accepted_points_only():
    transform, x = rv.ScaleByNewton(), jnp.ones(3)

    def update(accepted: Any) -> Any:
        return transform.update(x, transform.init(x), x, accepted=accepted, value_fn=jnp.sum)[0]

    assert not update(jnp.array(False)).any()
    outside = jax.make_jaxpr(update)(jnp.array(False)).jaxpr.eqns
    assert [e.primitive.name for e in outside].count("cond") == 1
    assert not any(e.primitive.name == "eigh" for e in outside)


def test_a_quadratic_takes_few_steps(rng):
    a = symmetric(rng, np.geomspace(1, 1e6, 8))
    for optimizer in (rv.Newton(), rv.NewtonCG(max_cg_steps=200, radius=1e3)):
        result = rv.minimize(
            lambda x: x @ jnp.asarray(a) @ x / 2,
            jnp.ones(8),
            optimizer,
            steps=20,
            stop=rv.GradNorm(1e-6),
        )
        assert result.converged
        assert result.steps <= 12
    assert result.value < 1e-12


@pytest.mark.parametrize("optimizer", [rv.Newton(), rv.NewtonCG()])
def test_saddles_are_left(optimizer):
    """By a line search also from where the gradient leads straight into them."""

    def loss(x: Any) -> Any:
        return x[0] ** 2 + x[1] ** 4 - x[1] ** 2

    start = [1.0, 0.0] if isinstance(optimizer, rv.Newton) else [1.0, 1e-3]
    result = rv.minimize(loss, jnp.array(start), optimizer, steps=100, stop=rv.GradNorm(1e-8))
    assert result.converged
    assert rv.classify(loss, result.params).kind == "minimum"
    np.testing.assert_allclose(np.abs(result.params), [0, 0.5**0.5], atol=1e-7)


def test_conjugate_gradients_in_a_ball(rng):
    h, g = symmetric(rng, np.geomspace(1, 20, 6)), rng.normal(size=6)
    run = jax.jit(lambda h, g, radius, n: steihaug(lambda v: h @ v, g, radius, n), static_argnums=3)
    small = 1e-8 * g  # the smaller the gradient, the more exact
    inside = run(h, small, jnp.inf, 50)
    np.testing.assert_allclose(inside.step, -np.linalg.solve(h, small), rtol=1e-3)
    assert inside.free
    np.testing.assert_allclose(inside.predicted, -(small + h @ inside.step / 2) @ inside.step)
    edge = run(h, g, 0.01, 50)
    assert not edge.free
    np.testing.assert_allclose(np.linalg.norm(edge.step), 0.01)
    np.testing.assert_allclose(edge.slope, g @ edge.step)
    down = run(h - 10 * np.eye(6), g, 3.0, 50)
    np.testing.assert_allclose([down.length, np.linalg.norm(down.step)], 3.0)
    assert down.predicted > 0
    # The first step alone is the one to the minimum along the gradient.
    first = run(h, g, jnp.inf, 1)
    np.testing.assert_allclose(first.step, -(g @ g) / (g @ h @ g) * g)


def transcribed(f: Any, grad: Any, hess: Any, x: Any, steps: int) -> Any:
    """The points that a trust-region method with Steihaug's steps tries, as in the books."""
    radius, out, base, accepted = np.linalg.norm(x), [x], x, True
    for _ in range(steps):
        g, h = grad(base), hess(base)
        if accepted:
            p, r, d, free = np.zeros_like(x), g.copy(), -g, True
        tol = min(0.5, np.sqrt(np.linalg.norm(g))) * np.linalg.norm(g)
        for _ in range(50 if accepted else 0):
            a = r @ r / (d @ h @ d)
            if d @ h @ d <= 0 or np.linalg.norm(p + a * d) >= radius:
                b, c = 2 * p @ d, p @ p - radius**2
                p = p + (-b + np.sqrt(b * b - 4 * d @ d * c)) / (2 * d @ d) * d
                free = False
                break
            p, new = p + a * d, r + a * h @ d
            d, r = new @ new / (r @ r) * d - new, new
            if np.linalg.norm(r) <= tol:
                break
        trial, length = base + p, np.linalg.norm(p)
        out.append(trial)
        fall, slope = f(base) - f(trial), g @ p
        rho = fall / -(slope + p @ h @ p / 2)
        share = 0.5 if fall >= 0 else max(0.1, min(0.5, slope / (2 * (slope + fall))))
        if rho <= 0.25:
            radius = share * min(radius, 10 * length)
        elif rho >= 0.75:
            radius = max(radius, 2 * length)
        assert free or length > 0
        accepted = rho >= 1e-4
        if accepted:
            base = trial
        else:
            p, radius = share * p, share * length
    return np.array(out)


def test_the_trust_region_is_that_of_the_books():
    x = np.array([-1.2, 1.0, 0.3])

    def f(x: Any) -> Any:
        return rosenbrock_loss(jnp.asarray(x))

    slopes = [jax.jit(d(f), compiler_options=FAST) for d in (jax.grad, jax.hessian)]
    theirs = transcribed(f, *(lambda x, d=d: np.asarray(d(x)) for d in slopes), x, 12)
    optimizer, ours, out = rv.NewtonCG(), jnp.asarray(x), []
    state = optimizer.init(ours)

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        value, g = jax.value_and_grad(f)(x)
        u, state = optimizer.update(g, state, x, value=value, value_fn=f)
        return x + u, state

    for _ in range(len(theirs)):
        out.append(ours)
        ours, state = step(ours, state)
    np.testing.assert_allclose(np.array(out), theirs, rtol=1e-7)
    accepted = int(state.trust_region.count)
    assert 5 < accepted < len(theirs)  # some were refused


OPTIMIZERS = [rv.Newton(), rv.Newton(rv.Backtracking()), rv.NewtonCG()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_lanes_take_as_many_evaluations_as_runs_alone(optimizer, rng):
    starts = rng.uniform(-2, 2, size=(12, 4))
    run = partial(
        rv.sweep, rosenbrock_loss, steps=500, stop=rv.GradNorm(1e-8), keep="all", record_every=0
    )
    lanes = run(rv.Starts(starts), optimizer, lanes=4)
    assert all(str(s) == "converged" for s in lanes.status)
    for i in (0, 11):
        alone = run(rv.Starts(starts[[i]]), optimizer, lanes=4)
        np.testing.assert_array_equal(lanes.steps[[i]], alone.steps)
        np.testing.assert_array_equal(lanes.params[[i]], alone.params)
    single = run(rv.Starts(starts), optimizer, lanes=1)
    np.testing.assert_array_equal(lanes.steps, single.steps)


@pytest.mark.parametrize("optimizer", [rv.Newton(), rv.NewtonCG()])
def test_statuses_are_honest(optimizer):
    def run(loss: Any, x: Any, **options: Any) -> Any:
        return rv.minimize(loss, jnp.asarray(x), optimizer, **{"steps": 200, **options})

    start = np.array([-1.2, 1.0])
    done = run(rosenbrock_loss, start, stop=rv.GradNorm(1e-7))
    assert done.converged
    assert np.linalg.norm(jax.grad(rosenbrock_loss)(done.params)) <= 1e-7
    assert str(run(rosenbrock_loss, start).status) == "stalled"
    assert str(run(rosenbrock_loss, start, steps=3).status) == "max_steps"
    assert str(run(lambda x: jnp.sum(jnp.log(x)), [-1.0]).status) == "diverged"
    walled = run(lambda x: jnp.sum(x - jnp.log(x)), [1e-3], stop=rv.GradNorm(1e-6))
    assert walled.converged
    np.testing.assert_allclose(walled.params, 1, rtol=1e-5)


@pytest.mark.parametrize("optimizer", [rv.Newton(), rv.NewtonCG()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tree_of_two_dtypes_and_complex_numbers(optimizer, dtype):
    def loss(p: Any) -> Any:
        z = p["z"] - jnp.complex64(1 + 2j)
        head = jnp.sum((p["x"].astype(dtype) - 3) ** 4 + p["x"].astype(dtype) ** 2)
        return head + jnp.sum(z.real**2 + 10 * z.imag**2).astype(dtype)

    start = {"x": jnp.zeros(2, dtype), "z": jnp.zeros((2, 1), jnp.complex64)}
    result = rv.minimize(loss, start, optimizer, steps=60, stop=rv.GradNorm(1e-3))
    assert result.converged
    assert (result.params["x"].dtype, result.params["z"].dtype) == (dtype, jnp.complex64)
    np.testing.assert_allclose(result.params["z"], 1 + 2j, rtol=1e-3)
    np.testing.assert_allclose(result.params["x"], 2.0, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [rv.Newton(), rv.NewtonCG()])
def test_derivatives_of_a_run_are_those_of_its_end(optimizer):
    """Unrolled, with the curvature taken for constant, the last steps have the right ones."""

    def end(target: Any, optimizer: Any) -> Any:
        def loss(x: Any) -> Any:
            return jnp.sum(jnp.cosh(x - target)) + jnp.sum(x**2) / 2

        def step(carry: Any, _: Any) -> Any:
            x, state = carry
            value, g = jax.value_and_grad(loss)(x)
            u, state = optimizer.update(g, state, x, value=value, value_fn=loss)
            return (x + u, state), None

        x = jnp.zeros(2)
        return jax.lax.scan(step, (x, optimizer.init(x)), length=8)[0][0]

    def run(target: Any) -> Any:
        return end(target, optimizer)

    target = jnp.array([1.0, -0.5])
    x, found = jax.jit(lambda t: (run(t), jax.jacrev(run)(t)), compiler_options=FAST)(target)
    # sinh(x - t) + x = 0
    slope = np.cosh(x - target) / (np.cosh(x - target) + 1)
    np.testing.assert_allclose(found, np.diag(slope), atol=1e-5)


def solved(function: str, optimizer: Any) -> float:
    """How far above the smallest value, or a known local one, a run on a test function ends."""
    problem = problems.mgh(function)

    @partial(jax.jit, compiler_options=FAST)
    def run(x: Any) -> Any:
        def step(carry: Any) -> Any:
            x, state, k = carry
            value, g = jax.value_and_grad(problem.loss)(x)
            u, state = optimizer.update(g, state, x, value=value, value_fn=problem.loss)
            return x + u, state, k + 1

        def going(carry: Any) -> Any:
            return (carry[2] < 1000) & ~carry[1][0].stalled

        x, state, _ = jax.lax.while_loop(going, step, (x, optimizer.init(x), 0))
        return problem.loss(optimizer.eval_params(state, x))

    value = float(run(problem.start()))
    known = (problem.minimum, *problems.MGH[function].others)
    return min(max(abs(value - m) - 1e-10, 0) / max(abs(m), 1e-300) for m in known)


HARD = ["powell_badly_scaled", "box_3d"]


@pytest.mark.parametrize("optimizer", [rv.Newton(), rv.NewtonCG()])
@pytest.mark.parametrize("function", HARD)
def test_hard_functions(function, optimizer):
    assert solved(function, optimizer) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [rv.Newton(), rv.NewtonCG()])
@pytest.mark.parametrize("function", [f for f in problems.MGH if f not in HARD])
def test_all_functions(function, optimizer):
    if function == "meyer" and isinstance(optimizer, rv.NewtonCG):
        pytest.skip("its units differ by a factor of 1e5, and the region is a ball")
    assert solved(function, optimizer) < 1e-6


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rv.Newton(0.1), TypeError, "Newton: linesearch must be a line search .* got 0.1"),
        (lambda: rv.NewtonCG(0), TypeError, "NewtonCG: max_cg_steps cannot be 0"),
        (lambda: rv.NewtonCG(radius=0.0), ValueError, "NewtonCG: radius must be greater than 0"),
        (lambda: rv.TrustRegion(rv.Identity()), TypeError, "TrustRegion: model must be a model"),
        (lambda: update(rv.Newton()), ValueError, "ScaleByNewton needs the loss as a function"),
        (lambda: update(rv.NewtonCG()), ValueError, "HessianModel needs the loss as a function"),
        (lambda: update(rv.LevenbergMarquardt()), ValueError, "ResidualModel needs the residuals"),
    ],
)
def test_a_wrong_call_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()


def update(optimizer: Any) -> Any:
    x = jnp.ones(2)
    return optimizer.update(x, optimizer.init(x), x, value=1.0)
