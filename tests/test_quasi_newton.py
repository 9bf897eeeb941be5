"""Quasi-Newton, conjugate-gradient and two-point methods against plain transcriptions."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import ravine as rv
from ravine.problems.functions import rosenbrock_loss

pytestmark = pytest.mark.usefixtures("x64")

METHODS = ["polak-ribiere+", "fletcher-reeves", "hestenes-stiefel", "dai-yuan", "hager-zhang"]


def hessian(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    """A random symmetric matrix with eigenvalues from 1 to the condition number."""
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return q * np.geomspace(1, condition, n) @ q.T


def two_loop(g: Any, pairs: list[Any], gamma: float) -> np.ndarray:
    """The two-loop recursion, as in the book."""
    q, alphas = g.copy(), []
    for s, y in reversed(pairs):
        alphas.append(s @ q / (s @ y))
        q -= alphas[-1] * y
    r = gamma * q
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        r += s * (alpha - y @ r / (s @ y))
    return r


def directions(transform: Any, points: Any, gradients: Any, **flags: Any) -> tuple[Any, Any]:
    """What a transform makes of gradients at these points, and its last state."""

    @jax.jit
    def scan(points: Any, gradients: Any) -> Any:
        def step(state: Any, inputs: Any) -> Any:
            x, g, flag = inputs
            u, state = transform.update(g, state, x, **flag)
            return state, u

        state = transform.init(jax.tree.map(lambda x: x[0], points))
        return jax.lax.scan(step, state, (points, gradients, flags))

    state, out = scan(points, gradients)
    return out, state


@pytest.mark.parametrize("m", [1, 3, 4, 7, 50])
@pytest.mark.parametrize("scaled", [True, False])
def test_lbfgs_is_the_two_loop_recursion(m, scaled, rng):
    """Around the ring of pairs, and past pairs without curvature, which are left out."""
    x = np.cumsum(rng.normal(size=(30, 6)), axis=0)
    g = x @ hessian(rng, 6, 10.0) + 20 * np.sin(3 * x)
    found, _ = directions(rv.ScaleByLBFGS(m, scaled), x, g)
    pairs: list[Any] = []
    gamma = min(1.0, 1 / np.linalg.norm(g[0])) if scaled else 1.0
    refused = 0
    for k in range(30):
        if k:
            s, y = x[k] - x[k - 1], g[k] - g[k - 1]
            refused += s @ y <= 0
            if s @ y > 0:
                pairs = [*pairs, (s, y)][-m:]
                gamma = s @ y / (y @ y) if scaled else 1.0
            elif not pairs and scaled:
                gamma = min(1.0, 1 / np.linalg.norm(g[k]))
        np.testing.assert_allclose(found[k], two_loop(g[k], pairs, gamma), rtol=1e-9, atol=1e-12)
    assert 0 < refused < 15


@pytest.mark.parametrize("scaled", [True, False])
def test_bfgs_is_the_update_of_the_book(scaled, rng):
    x = np.cumsum(rng.normal(size=(14, 6)), axis=0)
    g = x @ hessian(rng, 6, 10.0) + 20 * np.sin(3 * x)
    found, state = directions(rv.ScaleByBFGS(scaled), x, g)
    h, eye, known = np.eye(6), np.eye(6), False
    for k in range(1, 14):
        s, y = x[k] - x[k - 1], g[k] - g[k - 1]
        if s @ y > 0:
            if scaled and not known:
                tau = s @ y / (y @ y)
                h = max(tau, np.sqrt(tau)) * eye
            v = eye - np.outer(y, s) / (s @ y)
            h, known = v.T @ h @ v + np.outer(s, s) / (s @ y), True
            # The secant equation
            np.testing.assert_allclose(h @ y, s, rtol=1e-4)
        scale = 1.0 if known or not scaled else min(1.0, 1 / np.linalg.norm(g[k]))
        np.testing.assert_allclose(found[k], scale * h @ g[k], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(state.inverse, h, rtol=1e-6, atol=1e-9)


def test_with_a_long_memory_lbfgs_is_bfgs(rng):
    x = np.cumsum(rng.normal(size=(12, 5)), axis=0)
    g = x @ hessian(rng, 5, 50.0)
    dense, _ = directions(rv.ScaleByBFGS(False), x, g)
    compact, _ = directions(rv.ScaleByLBFGS(12, False), x, g)
    np.testing.assert_allclose(compact, dense, rtol=1e-9)


@pytest.mark.parametrize(
    "transform",
    [
        rv.ScaleByLBFGS(3),
        rv.ScaleByBFGS(),
        rv.ScaleByBarzilaiBorwein("alternate"),
        rv.ScaleByLBFGSB(rv.Box(-np.inf, np.inf), 3),
    ],
    ids=lambda t: type(t).__name__,
)
def test_the_last_point_may_be_kept_by_a_line_search(transform, rng):
    x = np.cumsum(rng.normal(size=(6, 4)), axis=0)
    g = x @ hessian(rng, 4, 20.0)
    own, _ = directions(transform, x, g)
    lean = transform.init(x[0])._replace(last=None)
    last = type(transform.init(x[0]).last).none(jnp.asarray(x[0]))
    for k in range(6):
        u, lean = transform.update(g[k], lean, x[k], last=last)
        assert lean.last is None
        last = last.moved(x[k], g[k], True)
        np.testing.assert_allclose(u, own[k], rtol=1e-9)
    with pytest.raises(TypeError, match="last="):
        transform.update(g[0], lean, x[0])


@pytest.mark.parametrize(
    "transform",
    [
        rv.ScaleByLBFGS(3),
        rv.ScaleByBFGS(),
        rv.ScaleByConjugateGradient(),
        rv.ScaleByBarzilaiBorwein(),
        rv.ScaleByLBFGSB(rv.Box(-np.inf, np.inf), 3),
    ],
    ids=lambda t: type(t).__name__,
)
def test_a_trial_leaves_no_trace_and_a_restart_forgets(transform, rng):
    x = np.cumsum(rng.normal(size=(9, 4)), axis=0)
    g = x @ hessian(rng, 4, 20.0)
    accepted = np.array([True, True, False, True, False, False, True, False, True])
    run = partial(directions, transform)
    some, _ = run(x, g, accepted=accepted, restart=~accepted & False)
    only, _ = run(x[accepted], g[accepted])
    np.testing.assert_allclose(some[accepted], only, rtol=1e-12)
    # A restart comes with a trial that failed; the step after it knows the last point alone.
    restart = np.arange(9) == 5
    forgot, _ = run(x, g, accepted=accepted, restart=restart)
    np.testing.assert_allclose(forgot[:5], some[:5], rtol=1e-12)
    if not isinstance(transform, rv.ScaleByBarzilaiBorwein):
        anew, _ = run(x[3:], g[3:], accepted=accepted[3:], restart=restart[3:])
        np.testing.assert_allclose(forgot[6], anew[3], rtol=1e-9)


def test_many_leaves_and_complex_numbers_are_one_vector(rng):
    x = np.cumsum(rng.normal(size=(10, 6)), axis=0)
    g = x @ hessian(rng, 6, 30.0)

    def tree(v: Any) -> Any:
        v = np.asarray(v)
        return {"a": v[:, :2].reshape(-1, 1, 2), "b": v[:, 2] + 1j * v[:, 3], "c": v[:, 4:]}

    for transform in (rv.ScaleByLBFGS(4), rv.ScaleByBFGS(), rv.ScaleByConjugateGradient()):
        whole, _ = directions(transform, x, g)
        parts, _ = directions(transform, tree(x), tree(g))
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9), parts, tree(whole))


def conjugate(method: str, gradients: Any) -> list[Any]:
    """Directions of descent, as in the survey's table, without restarts."""
    out: list[Any] = []
    for k, g in enumerate(gradients):
        if not k:
            out.append(-g)
            continue
        last, d = gradients[k - 1], out[-1]
        y, dy = g - last, d @ (g - last)
        beta = {
            "polak-ribiere+": max(0.0, g @ y / (last @ last)),
            "fletcher-reeves": g @ g / (last @ last),
            "hestenes-stiefel": max(0.0, g @ y / dy),
            "dai-yuan": g @ g / dy,
            "hager-zhang": max(
                (y - 2 * d * (y @ y) / dy) @ g / dy,
                -1 / (np.linalg.norm(d) * min(0.01, np.linalg.norm(last))),
            ),
        }[method]
        d = -g + beta * d
        powell = method in ("fletcher-reeves", "dai-yuan") and abs(g @ last) >= 0.2 * (g @ g)
        out.append(-g if powell or d @ g >= 0 else d)
    return out


@pytest.mark.parametrize("method", METHODS)
def test_conjugate_directions_are_those_of_the_survey(method, rng):
    x = rng.normal(size=(40, 5))
    g = x @ hessian(rng, 5, 10.0)
    found, _ = directions(rv.ScaleByConjugateGradient(method), x, g)
    np.testing.assert_allclose(found, -np.array(conjugate(method, g)), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_conjugate_gradients_finish_a_quadratic_in_as_many_directions_as_it_has(method, rng):
    a, n = hessian(rng, 6, 10.0), 6
    search = rv.StrongWolfe(curv_rtol=1e-9, max_linesearch_steps=60)
    transform = rv.NonlinearCG(method, search).as_chain()

    @jax.jit
    def step(x: Any, state: Any) -> Any:
        u, state = transform.update(a @ x, state, x, value=x @ a @ x / 2)
        return x + u, state

    x = jnp.asarray(rng.normal(size=n))
    size, state = float(x @ a @ x), transform.init(x)
    while (search := state.line_search).count <= n:
        x, state = step(x, state)
    assert search.value < 1e-12 * size


@pytest.mark.parametrize("method", ["long", "short", "alternate"])
def test_two_point_steps_on_a_quadratic(method, rng):
    a, x = hessian(rng, 5, 30.0), rng.normal(size=5)
    optimizer = rv.BarzilaiBorwein(method)
    state, ours = optimizer.init(x), jnp.asarray(x)
    update = jax.jit(optimizer.update)
    alpha, last = min(1.0, 1 / np.linalg.norm(a @ x)), None
    for k in range(60):
        g = a @ x
        if last is not None:
            s, y = x - last, g - a @ last
            long = method == "long" or (method == "alternate" and k % 2 == 0)
            alpha = s @ s / (s @ y) if long else s @ y / (y @ y)
        last, x = x, x - alpha * g
        u, state = update(a @ ours, state, ours)
        ours = ours + u
        if k < 15:
            np.testing.assert_allclose(ours, x, rtol=1e-6, atol=1e-9)
    assert np.linalg.norm(ours) < 1e-6


def test_a_two_point_step_without_curvature_is_positive():
    x = np.array([[0.0, 0.0], [1.0, 2.0]])
    found, state = directions(rv.ScaleByBarzilaiBorwein(), x, -2 * x + 1)
    np.testing.assert_allclose(state.step_size, 0.5)
    np.testing.assert_allclose(found[1], 0.5 * (-2 * x[1] + 1))


# Whole runs.

START = np.array([-1.2, 1.0])


def solve(optimizer: Any, loss: Any, x: Any, tol: float = 1e-6, steps: int = 3000) -> Any:
    return rv.minimize(loss, jnp.asarray(x), optimizer, steps=steps, stop=rv.GradNorm(tol))


@pytest.mark.parametrize("n", [2, 10])
def test_rosenbrock_takes_no_more_evaluations_than_in_scipy(n, rng):
    """In sum over starts: from a single one, chance decides between the two minima."""
    f = jax.jit(jax.value_and_grad(rosenbrock_loss))
    starts = rng.uniform(-2, 2, size=(24, n))

    def evaluated(x: Any) -> Any:
        return tuple(map(np.asarray, f(x)))

    def theirs(method: str, **options: Any) -> int:
        options = {"gtol": 1e-6, **options}
        run = partial(optimize.minimize, evaluated, jac=True, method=method, options=options)
        return sum(int(run(start).nfev) for start in starts)

    most = {
        rv.BFGS(): theirs("BFGS"),
        rv.LBFGS(): theirs("L-BFGS-B", ftol=0),
        rv.LBFGS(linesearch=rv.Backtracking()): theirs("L-BFGS-B", ftol=0),
        rv.NonlinearCG("hestenes-stiefel"): theirs("CG"),
    }
    for optimizer, evaluations in most.items():
        result = rv.sweep(
            rosenbrock_loss, rv.Starts(starts), optimizer, steps=3000, stop=rv.GradNorm(1e-6),
            keep="all", record_every=0, lanes=len(starts),
        )  # fmt: skip
        assert all(str(s) == "converged" for s in result.status)
        assert sum(result.steps + 1) <= 1.1 * evaluations


HIDING = [
    rv.BFGS(),
    rv.LBFGS(linesearch=rv.HagerZhang()),
    rv.LBFGS(linesearch=rv.Backtracking()),
    rv.Newton(),
    rv.NewtonCG(),
    rv.NonlinearCG("hestenes-stiefel"),
]


@pytest.mark.parametrize("optimizer", HIDING)
def test_rounding_of_the_value_hides_no_minimum(optimizer):
    """Noise of 1e-10 hides changes of the parameters of 1e-5: the gradient tells more."""

    def noisy(x: Any) -> Any:
        noise = 1e-10 * jnp.sum(jnp.sin(1e12 * x))
        return 1 + rosenbrock_loss(x) + jax.lax.stop_gradient(noise)

    result = solve(optimizer, noisy, START, tol=1e-10)
    assert result.converged
    np.testing.assert_allclose(result.params, 1, rtol=1e-9)


def badly_scaled(x: Any) -> Any:
    """Brown's function, whose parameters differ by twelve orders of magnitude."""
    return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2


@pytest.mark.parametrize("optimizer", [rv.BFGS(), rv.LBFGS(), rv.LBFGS(linesearch=rv.HagerZhang())])
def test_a_badly_scaled_problem(optimizer):
    result = solve(optimizer, badly_scaled, [1.0, 1.0], tol=1e-5)
    assert result.converged
    np.testing.assert_allclose(result.params, [1e6, 2e-6], rtol=1e-6)


OPTIMIZERS = [
    rv.LBFGS(),
    rv.LBFGS(3, linesearch=rv.HagerZhang()),
    rv.BFGS(),
    rv.NonlinearCG("hager-zhang", rv.HagerZhang()),
    rv.BarzilaiBorwein(linesearch=rv.Backtracking(nonmonotone=0.85)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_lanes_take_as_many_evaluations_as_runs_alone(optimizer, rng):
    starts = rng.uniform(-2, 2, size=(24, 4))
    run = partial(
        rv.sweep, rosenbrock_loss, steps=2000, stop=rv.GradNorm(1e-5), keep="all", record_every=0
    )
    lanes = run(rv.Starts(starts), optimizer, lanes=8)
    assert all(str(s) == "converged" for s in lanes.status)
    for i in (0, 7, 23):
        alone = run(rv.Starts(starts[[i]]), optimizer, lanes=8)
        np.testing.assert_array_equal(lanes.steps[[i]], alone.steps)
        np.testing.assert_array_equal(lanes.params[[i]], alone.params)
    if isinstance(optimizer, rv.LBFGS | rv.BFGS):  # whose paths are short, so rounding stays small
        single = run(rv.Starts(starts), optimizer, lanes=1)
        np.testing.assert_array_equal(lanes.steps, single.steps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tree_of_two_dtypes_and_complex_numbers(dtype):
    def loss(p: Any) -> Any:
        z = p["z"] - jnp.complex64(1 + 2j)
        head = jnp.sum((p["x"].astype(dtype) - 3) ** 4 + p["x"].astype(dtype) ** 2)
        return head + jnp.sum(z.real**2 + 10 * z.imag**2).astype(dtype)

    start = {"x": jnp.zeros(2, dtype), "z": jnp.zeros((2, 1), jnp.complex64)}
    result = rv.minimize(loss, start, rv.LBFGS(), steps=100, stop=rv.GradNorm(1e-3))
    assert result.converged
    assert result.params["x"].dtype == dtype
    assert result.params["z"].dtype == jnp.complex64
    np.testing.assert_allclose(result.params["z"], 1 + 2j, rtol=1e-3)
    np.testing.assert_allclose(result.params["x"], 2.0, rtol=1e-3)


def test_memory_is_structure_and_tolerances_are_lanes():
    assert len(jax.tree.leaves(rv.LBFGS())) == len(jax.tree.leaves(rv.LBFGS(5)))
    assert jax.tree.structure(rv.LBFGS()) != jax.tree.structure(rv.LBFGS(5))
    search = rv.StrongWolfe(curv_rtol=rv.Grid([0.1, 0.4]))
    results = rv.sweep(
        rosenbrock_loss, START, {"cg": rv.NonlinearCG(linesearch=search), "sgd": rv.SGD(1e-3)},
        steps=200, stop=rv.GradNorm(1e-6),
    )  # fmt: skip
    assert [str(s) for s in results.status] == ["converged", "converged", "max_steps"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rv.LBFGS(0), "LBFGS: memory_size cannot be 0: it must be at least 1"),
        (lambda: rv.LBFGS(linesearch=0.1), r"LBFGS: linesearch must be a line search .* got 0.1"),
        (lambda: rv.BFGS(linesearch=rv.Identity()), "BFGS: linesearch must be a line search"),
        (lambda: rv.NonlinearCG("fr"), "NonlinearCG: method cannot be 'fr': it must be one of"),
        (lambda: rv.BarzilaiBorwein("both"), "BarzilaiBorwein: method cannot be 'both'"),
        (lambda: rv.BarzilaiBorwein(linesearch=1.0), "BarzilaiBorwein: linesearch must be a line"),
        (lambda: rv.LBFGSB(lower="a"), "LBFGSB: lower must be a number, or a tree of numbers"),
        (lambda: rv.LBFGSB(upper=np.nan), "LBFGSB: upper must be a number, .* NaN, got nan"),
    ],
)
def test_a_wrong_call_names_the_argument(call, words):
    with pytest.raises(TypeError, match=words):
        call()
