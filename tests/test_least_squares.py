"""Gauss and Newton, Levenberg and Marquardt: against transcriptions, and on NIST's fits."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import ravine as rv
from ravine import problems
from ravine.transforms.jacobi import decomposed
from ravine.transforms.trust.dense import damped

pytestmark = pytest.mark.usefixtures("x64")

FAST = {"xla_backend_optimization_level": 0}
T = np.linspace(0, 2, 9)
Y = 3 * np.exp(-1.5 * T) + 0.1 * np.sin(40 * T)


def decay(x: Any) -> Any:
    """A fit of three parameters, of which one hardly matters at first."""
    return x[0] * jnp.exp(-x[1] * T) + x[2] * 1e-3 - Y


FIT, START = rv.LeastSquares(decay), np.array([10.0, 0.01, 5.0])


def fit(optimizer: Any, loss: Any = FIT, x: Any = START, **options: Any) -> Any:
    return rv.minimize(loss, jnp.asarray(x), optimizer, **{"steps": 200, **options})


def test_factors_give_the_step_for_every_damping(rng):
    for m, n in ((7, 4), (4, 4), (2, 4)):
        J, r = rng.normal(size=(m, n)), rng.normal(size=m)
        s, Vt, c = map(np.asarray, decomposed(jnp.asarray(J), jnp.asarray(r)))
        k = min(m, n)
        np.testing.assert_allclose(
            np.sort(s)[::-1][:k], np.linalg.svd(J, compute_uv=False), rtol=1e-12
        )
        assert np.sum(s > 0) == k
        np.testing.assert_allclose(Vt.T @ (s * c), J.T @ r, rtol=1e-10, atol=1e-12)
    J[:, 1] = J[:, 0]
    assert np.sum(np.asarray(decomposed(jnp.asarray(J), jnp.asarray(r))[0]) > 0) <= 2


def test_the_damping_makes_the_step_as_long_as_the_radius(rng):
    s, c = np.array([10.0, 1.0, 1e-3, 1e-9, 0.0]), rng.normal(size=5)

    def length(damping: float) -> float:
        return float(np.linalg.norm(s * c / np.maximum(s**2 + damping, 1e-300)))

    for radius in (1e-6, 0.01, 1.0, 100.0, 1e7):
        found = float(damped(jnp.asarray(s), jnp.asarray(c), jnp.asarray(radius)))
        np.testing.assert_allclose(length(found), radius, rtol=1e-6)
    assert damped(jnp.asarray(s), jnp.asarray(c), jnp.asarray(1e12)) == 0


def transcribed(x: Any, steps: int) -> Any:
    """The points that Levenberg and Marquardt's method tries, as Moré writes it."""

    def r(x: Any) -> Any:
        return x[0] * np.exp(-x[1] * T) + x[2] * 1e-3 - Y

    def jacobian(x: Any) -> Any:
        e = np.exp(-x[1] * T)
        return np.stack([e, -x[0] * T * e, np.full_like(T, 1e-3)], axis=1)

    base, out = x, [x]
    D = np.linalg.norm(jacobian(x), axis=0)
    radius = np.linalg.norm(D * x)
    for _ in range(steps):
        J, f = jacobian(base), r(base) @ r(base) / 2
        D = np.maximum(D, np.linalg.norm(J, axis=0))

        def p(damping: float, J: Any = J, D: Any = D, base: Any = base) -> Any:
            A = np.vstack([J, np.sqrt(damping) * np.diag(D)])
            return np.linalg.lstsq(A, -np.append(r(base), np.zeros(3)), rcond=None)[0]

        def over(damping: float, p: Any = p, D: Any = D, radius: Any = radius) -> float:
            return float(np.linalg.norm(D * p(damping)) - radius)

        damping = 0.0 if over(0.0) <= 0 else brentq(over, 0, 1e12, xtol=1e-300, rtol=1e-14)
        step = p(damping)
        out.append(base + step)
        length, slope = np.linalg.norm(D * step), r(base) @ J @ step
        model = r(base) + J @ step
        fall = f - r(out[-1]) @ r(out[-1]) / 2
        rho = fall / (f - model @ model / 2)
        if rho <= 0.25:
            share = 0.5 if fall >= 0 else max(0.1, min(0.5, slope / (2 * (slope + fall))))
            radius = share * min(radius, 10 * length)
        elif rho >= 0.75:
            radius = max(radius, 2 * length)
        base = out[-1] if rho >= 1e-4 else base
    return np.array(out)


def tried(optimizer: Any, x: Any, steps: int) -> tuple[Any, Any]:
    """The points that an optimizer tries, and its last state."""
    x = jnp.asarray(x)

    @partial(jax.jit, compiler_options=FAST)
    def step(x: Any, state: Any) -> Any:
        value, g = jax.value_and_grad(FIT)(x)
        u, state = optimizer.update(g, state, x, value=value, residual_fn=decay)
        return x + u, state

    state, out = optimizer.init(x), [x]
    for _ in range(steps):
        x, state = step(x, state)
        out.append(x)
    return np.array(out), state


def test_levenberg_marquardt_is_moré_s():
    theirs = transcribed(START, 12)
    ours, state = tried(rv.LevenbergMarquardt(), START, 12)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert 4 < int(state.trust_region.count) < 12  # some were refused


def test_the_units_of_the_parameters_do_not_matter():
    units = np.array([2.0**20, 2.0**-30, 2.0**7])
    scaled = rv.LeastSquares(lambda x: decay(x * units))
    plain, other = fit(rv.LevenbergMarquardt()), fit(rv.LevenbergMarquardt(), scaled, START / units)
    np.testing.assert_allclose(other.params * units, plain.params, rtol=1e-7)
    np.testing.assert_allclose(other.history[:10], plain.history[:10], rtol=1e-6)


def test_gauss_newton_solves_linear_least_squares_in_one_step(rng):
    a, y = rng.normal(size=(20, 4)) * [1, 1e3, 1e-4, 1], rng.normal(size=20)
    loss = rv.LeastSquares(lambda x: jnp.asarray(a) @ x - y)
    known = np.linalg.lstsq(a, y, rcond=None)[0]
    result = fit(rv.GaussNewton(), loss, np.zeros(4), steps=1)
    np.testing.assert_allclose(result.params, known, rtol=1e-9)
    # Fewer residuals than parameters: the shortest solution, in units of their own
    short = rv.LeastSquares(lambda x: jnp.asarray(a[:2]) @ x - y[:2])
    d = np.linalg.norm(a[:2], axis=0)
    result = fit(rv.GaussNewton(), short, np.zeros(4), steps=1)
    np.testing.assert_allclose(result.params, np.linalg.pinv(a[:2] / d) @ y[:2] / d, rtol=1e-9)


@pytest.mark.parametrize(
    "optimizer",
    [
        rv.LevenbergMarquardt(),
        rv.LevenbergMarquardt("cg"),
        rv.GaussNewton(),
        rv.GaussNewton("cg", linesearch=rv.Backtracking()),
    ],
    ids=lambda o: f"{type(o).__name__}-{o.solver}",
)
def test_lanes_end_where_runs_alone_do(optimizer, rng):
    starts = np.array([3.0, 1.0, 0.0]) * rng.uniform(0.5, 1.5, size=(8, 3))
    run = partial(rv.sweep, FIT, steps=300, stop=rv.GradNorm(1e-6), keep="all", record_every=0)
    lanes = run(rv.Starts(starts), optimizer, lanes=4)
    assert all(str(s) == "converged" for s in lanes.status)
    alone = run(rv.Starts(starts[[5]]), optimizer, lanes=4)
    np.testing.assert_array_equal(lanes.steps[[5]], alone.steps)
    np.testing.assert_array_equal(lanes.params[[5]], alone.params)
    single = run(rv.Starts(starts), optimizer, lanes=1)
    np.testing.assert_array_equal(lanes.steps, single.steps)


def test_first_order_methods_stand_beside_it_in_one_sweep():
    radius = rv.Grid([0.1, 1.0])
    results = rv.sweep(
        FIT, jnp.asarray(START), {"lm": rv.LevenbergMarquardt(radius=radius), "adam": rv.Adam(0.1)},
        steps=100, stop=rv.GradNorm(1e-7),
    )  # fmt: skip
    assert [str(s) for s in results.status] == ["converged", "converged", "max_steps"]
    assert results.values[2] > results.values[0]


def test_residuals_take_what_losses_take(rng):
    x, true = rng.normal(size=(50, 3)), np.array([1.0, -2.0, 0.5])

    def residuals(params: Any, batch: Any, args: Any) -> Any:
        x, y = batch
        return {"data": x @ params["w"] - y, "ridge": jnp.sqrt(args) * params["w"]}

    loss = rv.LeastSquares(residuals)
    params, data, args = {"w": jnp.zeros(3)}, (x, x @ true), jnp.asarray(2.0)
    value = loss(params, data, args)
    np.testing.assert_allclose(value, np.sum((x @ true) ** 2) / 2)
    result = rv.minimize(
        loss, params, rv.LevenbergMarquardt(radius=10.0), steps=50, batches=rv.Batches(data),
        args=args, stop=rv.GradNorm(1e-8),
    )  # fmt: skip
    assert result.converged
    ridge = np.linalg.solve(x.T @ x + 2 * np.eye(3), x.T @ x @ true)
    np.testing.assert_allclose(result.params["w"], ridge, rtol=1e-8)


def test_a_loss_of_the_same_residuals_is_the_same():
    assert rv.LeastSquares(decay) == FIT
    assert hash(rv.LeastSquares(decay)) == hash(FIT)
    np.testing.assert_allclose(FIT(jnp.asarray(START)), np.sum(np.asarray(decay(START)) ** 2) / 2)
    with pytest.raises(TypeError, match="LeastSquares: residuals must be a function"):
        rv.LeastSquares(decay(START))
    with pytest.raises(TypeError, match=r"loss is called as loss\(params, batch\), and yours"):
        fit(rv.LevenbergMarquardt(), batches=rv.Batches(T))
    with pytest.raises(ValueError, match=r"ResidualModel needs the residuals .* LeastSquares"):
        fit(rv.LevenbergMarquardt(), loss=lambda x: jnp.sum(x**2))


def test_statuses_are_honest():
    for optimizer in (rv.LevenbergMarquardt(), rv.GaussNewton()):
        near = np.array([3.0, 1.0, 0.0])
        done = fit(optimizer, x=near, stop=rv.GradNorm(1e-7))
        assert done.converged
        assert np.linalg.norm(jax.grad(FIT)(done.params)) <= 1e-7
        assert str(fit(optimizer, x=near).status) == "stalled"
        assert str(fit(optimizer, x=near, steps=2).status) == "max_steps"
    root = rv.LeastSquares(lambda x: jnp.sqrt(x) - 1)  # no number below 0, no slope at 0
    assert str(fit(rv.LevenbergMarquardt(), root, [-1.0]).status) == "diverged"
    for start in (1e-6, 50.0):
        np.testing.assert_allclose(fit(rv.LevenbergMarquardt(), root, [start]).params, 1, rtol=1e-8)


@pytest.mark.parametrize("solver", ["dense", "cg"])
def test_rounding_of_the_residuals_hides_no_minimum(solver):
    """Noise of 1e-10 hides changes of the parameters of 1e-5: the gradient tells more."""

    def noisy(x: Any) -> Any:
        rest = jax.lax.stop_gradient(1 + 1e-10 * jnp.sum(jnp.sin(1e12 * x)))
        return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0], 0.1 * x[0] * x[1], rest])

    result = fit(rv.LevenbergMarquardt(solver), rv.LeastSquares(noisy), [-1.2, 1.0],
                 stop=rv.GradNorm(1e-11))  # fmt: skip
    assert result.converged


def test_many_parameters_without_a_matrix():
    """The state is a few vectors, where a Jacobian would have millions of elements."""
    n = 2000
    loss = rv.LeastSquares(lambda x: jnp.concatenate([x - 1, 10 * (x[1:] - x[:-1] ** 2)]))
    optimizer = rv.LevenbergMarquardt("cg")
    start = jnp.full(n, 0.9)
    assert sum(x.size for x in jax.tree.leaves(optimizer.init(start))) < 4 * n
    result = fit(optimizer, loss, start, steps=40, stop=rv.GradNorm(1e-5))
    assert result.converged
    np.testing.assert_allclose(result.params, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "dtype"),
    [(rv.LevenbergMarquardt(), np.float32), (rv.GaussNewton("cg"), np.float64)],
    ids=["float32", "float64"],
)
def test_trees_of_two_dtypes_and_complex_numbers(optimizer, dtype):
    def residuals(p: Any) -> Any:
        return {"x": (p["x"] - 3) ** 2 + p["x"], "z": (p["z"] - jnp.complex64(1 + 2j)) * 3}

    start = {"x": jnp.zeros(2, dtype), "z": jnp.zeros((2, 1), jnp.complex64)}
    loss = rv.LeastSquares(residuals)
    result = rv.minimize(loss, start, optimizer, steps=100, stop=rv.GradNorm(1e-3))
    assert result.converged
    assert (result.params["x"].dtype, result.params["z"].dtype) == (dtype, jnp.complex64)
    np.testing.assert_allclose(result.params["z"], 1 + 2j, rtol=1e-3)
    np.testing.assert_allclose(result.params["x"], 2.5, rtol=1e-2)


@partial(jax.jit, static_argnums=0, compiler_options=FAST)
def end(loss: Any, x: Any) -> tuple[Any, Any]:
    """Where Levenberg and Marquardt's method ends, and whether it has stalled there."""
    optimizer = rv.LevenbergMarquardt()

    def step(carry: Any) -> Any:
        x, state, k = carry
        value, g = jax.value_and_grad(loss)(x)
        u, state = optimizer.update(g, state, x, value=value, residual_fn=loss.residuals)
        return x + u, state, k + 1

    def going(carry: Any) -> Any:
        return (carry[2] < 3000) & ~carry[1][0].stalled

    x, state, _ = jax.lax.while_loop(going, step, (x, optimizer.init(x), 0))
    return optimizer.eval_params(state, x), state[0].stalled


def certified_digits(dataset: str) -> Any:
    """How far the fits from both starts end from the certified parameters, relatively."""
    known, loss = problems.certified(dataset), rv.LeastSquares(problems.nist(dataset).residuals)
    ends = [end(loss, jnp.asarray(start)) for start in known.starts]
    assert all(stalled for _, stalled in ends)
    return [np.abs(x / known.parameters - 1).max() for x, _ in ends]


SOME = ["BoxBOD", "MGH10", "Bennett5"]


@pytest.mark.parametrize("dataset", SOME)
def test_fits_have_the_certified_digits_from_both_starts(dataset):
    assert max(certified_digits(dataset)) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("dataset", [name for name in problems.NIST if name not in SOME])
def test_all_fits_have_the_certified_digits_from_both_starts(dataset):
    assert max(certified_digits(dataset)) < 1e-6


def least(function: str) -> bool:
    """Whether a run on a test function ends at its smallest value, or a known local one."""
    problem = problems.mgh(function)
    x, _ = end(rv.LeastSquares(problem.residuals), problem.start())
    known = (problem.minimum, *problems.MGH[function].others)
    return any(abs(problem(x) - m) <= 1e-6 * abs(m) + 1e-10 for m in known)


def test_a_hard_function():
    assert least("meyer")


@pytest.mark.slow
@pytest.mark.parametrize("function", problems.MGH)
def test_all_functions(function):
    assert least(function)
