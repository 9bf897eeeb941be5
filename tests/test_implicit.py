"""Derivatives of solutions, against closed forms and finite differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv

pytestmark = pytest.mark.usefixtures("x64")

rng = np.random.default_rng(0)
A = rng.normal(size=(20, 5))
B = A @ np.array([2.0, -1.0, 0.0, 0.0, 0.5]) + 0.3 * rng.normal(size=20)
LABELS = (B > 0).astype(np.int32)
H, C = A.T @ A / 20, A.T @ B / 20
TIGHT = rv.GradNorm(1e-10)
# Compiled once, quickly, and run a few times.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def squares(x, given=None):
    return jnp.mean((jnp.asarray(A) @ x - jnp.asarray(B)) ** 2) / 2


def ridge(x, a):
    return squares(x) + a * jnp.sum(x * x) / 2


def ridge_closed(a):
    x = np.linalg.solve(H + a * np.eye(5), C)
    return x, -np.linalg.solve(H + a * np.eye(5), x)


def solve(loss, optimizer=None, *, steps=500, stop=TIGHT, start=None, **kwargs):
    start = jnp.zeros(5) if start is None else start
    optimizer = rv.SGD(0.5, momentum=0.5) if optimizer is None else optimizer
    return rv.solution(loss, start, optimizer, steps=steps, stop=stop, **kwargs)


class TestRidge:
    @pytest.mark.parametrize("solver", ["dense", "cg", "own"])
    def test_both_modes_are_the_closed_form(self, solver):
        def own(product, right):
            return jax.scipy.sparse.linalg.bicgstab(product, right, tol=1e-13)[0]

        def point(a):
            linear = own if solver == "own" else solver
            return solve(ridge, args=a, linear_solver=linear).params

        x, slope = ridge_closed(0.3)
        reverse = compiled(jax.grad(lambda a: point(a)[0]))(0.3)
        np.testing.assert_allclose(reverse, slope[0], rtol=1e-7)
        if solver == "dense":
            end, tangent = compiled(lambda a: jax.jvp(point, (a,), (1.0,)))(0.3)
            np.testing.assert_allclose(end, x, rtol=1e-8)
            np.testing.assert_allclose(tangent, slope, rtol=1e-7)

    def test_lanes(self):
        strengths = jnp.array([0.01, 0.1, 1.0, 2.0])

        def lane(a):
            end = solve(ridge, args=a)
            return jnp.sum(end.params**2), end

        slopes, ends = compiled(jax.vmap(jax.grad(lane, has_aux=True)))(strengths)
        for a, got, x in zip(strengths, slopes, ends.params, strict=True):
            want, slope = ridge_closed(a)
            np.testing.assert_allclose(x, want, atol=1e-9)
            np.testing.assert_allclose(got, 2 * want @ slope, rtol=1e-7)
        assert (ends.status == rv.Status.CONVERGED.code).all()
        assert (ends.grad_norm <= 1e-10).all()
        # Each lane stops when it is done, where minimize would.
        alone = [
            rv.minimize(
                ridge, jnp.zeros(5), rv.SGD(0.5, momentum=0.5), steps=500, stop=TIGHT, args=a
            ).steps
            for a in np.asarray(strengths)
        ]
        assert ends.steps.tolist() == alone

    @pytest.mark.slow
    def test_second_derivatives(self):
        def height(a):
            return jnp.sum(solve(ridge, args=a).params ** 2)

        def closed(a):
            x = jnp.linalg.solve(jnp.asarray(H) + a * jnp.eye(5), jnp.asarray(C))
            return jnp.sum(x**2)

        want = jax.grad(jax.grad(closed))(0.3)
        np.testing.assert_allclose(compiled(jax.grad(jax.grad(height)))(0.3), want, rtol=1e-6)

    def test_what_the_loss_closes_over_counts_too(self):
        def first(a):
            return solve(lambda x: ridge(x, a)).params[0]

        got = compiled(jax.grad(first))(0.3)
        np.testing.assert_allclose(got, ridge_closed(0.3)[1][0], rtol=1e-7)


class TestUnrolled:
    def test_it_is_the_derivative_of_the_steps(self):
        def after(a, rate, start):
            optimizer = rv.SGD(rate, momentum=0.5)
            end = solve(
                ridge, optimizer, args=a, start=start, steps=7, stop=None, derivative="unrolled"
            )
            return jnp.sum(end.params**2)

        point = (0.3, 0.2, jnp.ones(5))
        got = compiled(jax.grad(after, argnums=(0, 1, 2)))(*point)
        value, h = compiled(after), 1e-5
        for i in (0, 1):
            up, down = list(point), list(point)
            up[i], down[i] = point[i] + h, point[i] - h
            np.testing.assert_allclose(got[i], (value(*up) - value(*down)) / (2 * h), rtol=1e-7)
        push = h * jnp.eye(5)[2]
        by_start = (value(0.3, 0.2, point[2] + push) - value(0.3, 0.2, point[2] - push)) / (2 * h)
        np.testing.assert_allclose(got[2][2], by_start, rtol=1e-7)

    def test_at_the_end_both_derivatives_agree_and_stopped_lanes_stand(self):
        def first(a, kind):
            return solve(ridge, args=a, steps=200, derivative=kind).params[0]

        slope = ridge_closed(0.3)[1][0]
        got = compiled(jax.vmap(jax.grad(partial(first, kind="unrolled"))))(jnp.array([0.3, 3.0]))
        np.testing.assert_allclose(got[0], slope, rtol=1e-6)


def held_out(loss, a):
    x = solve(loss, args=a).params
    margins = jnp.asarray(A[:10]) @ x
    return jnp.mean(jnp.logaddexp(0.0, margins) - jnp.asarray(LABELS[:10] * 1.0) * margins)


def test_regularization_by_held_out_loss():
    def loss(w, args):
        strength, x, y = args
        margins = x @ w
        fit = jnp.mean(jnp.logaddexp(0.0, margins) - y.astype(float) * margins)
        return fit + jnp.exp(strength) * jnp.sum(w * w)

    def validation(s):
        # Whole numbers among the arguments have no derivative, and do no harm.
        return held_out(loss, (s, jnp.asarray(A[10:]), jnp.asarray(LABELS[10:])))

    value, h = compiled(validation), 1e-4
    got = compiled(jax.grad(validation))(-2.0)
    np.testing.assert_allclose(got, (value(-2 + h) - value(-2 - h)) / (2 * h), rtol=1e-6)
    assert abs(got) > 1e-3


class TestNotSmooth:
    def test_the_lasso_s_strength(self):
        def point(strength):
            optimizer = rv.ProximalGradient(0.4, rv.prox.L1(strength))
            return solve(squares, optimizer).params

        x, slope = compiled(lambda s: jax.jvp(point, (s,), (1.0,)))(0.3)
        on = np.flatnonzero(x)
        assert 0 < on.size < 5
        want = np.zeros(5)
        want[on] = -np.linalg.solve(H[np.ix_(on, on)], np.sign(np.asarray(x)[on]))
        np.testing.assert_allclose(slope, want, rtol=1e-7, atol=1e-10)
        back = compiled(jax.grad(lambda s: point(s)[0]))(0.3)
        np.testing.assert_allclose(back, want[0], rtol=1e-7)

    @pytest.mark.slow
    def test_bounds_that_bind(self):
        def point(upper):
            return solve(squares, rv.LBFGSB(-5.0, upper), linear_solver="gmres").params

        x, slope = compiled(lambda b: jax.jvp(point, (b,), (1.0,)))(1.0)
        on, off = x >= 1.0, x < 1.0
        assert on.sum() == 1
        want = np.where(on, 1.0, 0.0)
        want[off] = -np.linalg.solve(H[np.ix_(off, off)], H[np.ix_(off, on)][:, 0])
        np.testing.assert_allclose(slope, want, rtol=1e-6)

    def test_the_simplex(self):
        def point(scale):
            simplex = rv.projections.projection_simplex
            return solve(squares, rv.ProjectedGradient(0.4, simplex, (scale,))).params

        x, slope = compiled(lambda s: jax.jvp(point, (s,), (1.0,)))(1.0)
        on = np.flatnonzero(x)
        assert 1 < on.size < 5
        # H x' = m 1 on the support, where x' sums to 1.
        pull = np.linalg.solve(H[np.ix_(on, on)], np.ones(on.size))
        want = np.zeros(5)
        want[on] = pull / pull.sum()
        np.testing.assert_allclose(slope, want, rtol=1e-6, atol=1e-9)


def test_trees_of_several_dtypes_and_complex_parameters():
    # x = a and z = (a + 2ai) / 2 at the minimum.
    def loss(p, a):
        z = p["z"] - jax.lax.complex(a, 2 * a)
        far = z.real**2 + z.imag**2 + p["z"].real ** 2 + p["z"].imag ** 2
        return jnp.sum(far) + jnp.sum((p["x"].astype(float) - a) ** 2)

    start = {"x": jnp.zeros(2, jnp.float32), "z": jnp.zeros(1, complex)}

    def point(a):
        return solve(loss, rv.SGD(0.25), start=start, stop=rv.GradNorm(1e-7), args=a).params

    end, slope = compiled(lambda a: jax.jvp(point, (a,), (1.0,)))(2.0)
    np.testing.assert_allclose(end["z"], [1 + 2j], rtol=1e-6)
    np.testing.assert_allclose(slope["z"], [0.5 + 1j], rtol=1e-6)
    np.testing.assert_allclose(slope["x"], [1.0, 1.0], rtol=1e-6)
    assert slope["x"].dtype == jnp.float32


def test_least_squares_keep_their_residuals():
    loss = rv.LeastSquares(lambda x, a: jnp.asarray(A) @ x - a * jnp.asarray(B))

    def first(a):
        return solve(loss, rv.GaussNewton(), steps=20, args=a).params[0]

    want = np.linalg.lstsq(A, B, rcond=None)[0][0]
    np.testing.assert_allclose(compiled(jax.grad(first))(2.0), want, rtol=1e-8)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: solve(ridge), TypeError, "yours does not take that"),
        (lambda: solve(squares, rv.SGD(rv.Uniform(0.1, 0.2))), TypeError, "is a space"),
        (lambda: solve(squares, rv.AdamW(0.1)), ValueError, "with weight decay the optimizer"),
        (lambda: solve(squares, rv.Frozen(rv.SGD(0.1), "*")), ValueError, "Frozen leaves are"),
        (lambda: solve(squares, derivative="forward"), ValueError, "derivative must be"),
        (lambda: solve(squares, linear_solver="lu"), ValueError, "linear_solver must be"),
        (lambda: solve(lambda x: x), TypeError, "must return a real scalar"),
        (lambda: solve(squares, start=jnp.zeros(5, int)), TypeError, "a gradient needs floats"),
    ],
)
def test_a_wrong_call_names_the_argument(call, error, words):
    with pytest.raises(error, match=words):
        call()
