"""Proximal and projected gradient, and mirror descent, against formulas and other libraries."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core.apply import apply_updates
from ravine.core.types import Standing

pytestmark = pytest.mark.usefixtures("x64")

rng = np.random.default_rng(0)
A = rng.normal(size=(40, 8))
TRUTH = np.array([3.0, -2.0, 0.0, 0.0, 1.0, 0.0, -0.5, 0.0])
B = A @ TRUTH + 0.3 * rng.normal(size=40)
LABELS = (A @ TRUTH + rng.normal(size=40) > 0).astype(float)
CURVATURE = np.linalg.norm(A, 2) ** 2 / 40
TIGHT = rv.GradNorm(1e-9)
# Compiled quickly, and run once.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def squares(x):
    return jnp.mean((jnp.asarray(A) @ x - B) ** 2) / 2


def logistic(x):
    margins = jnp.asarray(A) @ x
    return jnp.mean(jnp.logaddexp(0.0, margins) - LABELS * margins)


def soft(x, t):
    return np.sign(x) * np.maximum(np.abs(x) - t, 0)


@partial(compiled, static_argnames=("loss", "steps"))
def run(optimizer, loss, start, steps):
    """The points handed to the loss, the answers, and the mapping's norm, step by step."""

    def step(carry, _):
        x, state = carry
        value, g = jax.value_and_grad(loss)(x)
        updates, state = optimizer.update(g, state, x, value=value)
        new = apply_updates(x, updates)
        at = optimizer.standing(state, Standing(x, value, g, updates))
        return (new, state), (new, optimizer.eval_params(state, new), jnp.linalg.norm(at.grads))

    return jax.lax.scan(step, (start, optimizer.init(start)), length=steps)[1]


def solved(loss, optimizer, start=None, steps=1000):
    _, answers, norms = run(optimizer, loss, jnp.zeros(8) if start is None else start, steps)
    assert norms[-1] < 1e-8, optimizer
    return np.asarray(answers[-1])


PENALTIES = [
    rv.prox.L1(0.7),
    rv.prox.L1(np.linspace(0.1, 1.2, 6).reshape(3, 2)),
    rv.prox.L1(0.7, positive=True),
    rv.prox.ElasticNet(0.8, 0.3),
    rv.prox.ElasticNet(0.8, 0.3, positive=True),
    rv.prox.Ridge(2.0),
    rv.prox.GroupLasso(0.9),
    rv.prox.GroupLasso(0.9, axis=-1),
    rv.prox.GroupLasso(np.array([0.2, 1.5, 0.9]), axis=-1),
]
CONSTRAINTS = [
    rv.prox.NonNegative(),
    rv.prox.Box(-0.3, 0.2),
    rv.prox.Simplex(2.0),
    rv.prox.L1Ball(0.5),
    rv.prox.L2Ball(0.5),
    rv.prox.Projection(rv.projections.projection_linf_ball, (0.4,)),
]


class TestOperators:
    def test_a_penalty_leads_where_no_point_near_is_better(self, rng):
        x, step = jnp.asarray(rng.normal(size=(3, 2))), 0.6
        moves = rng.normal(size=(200, 3, 2)) * 10.0 ** rng.uniform(-6, 0, size=(200, 1, 1))

        def all_heights(prox, moves):
            def height(z):
                return step * prox.value(z) + jnp.sum((z - x) ** 2) / 2

            best = prox(x, step)
            moves = jnp.abs(moves) if getattr(prox, "positive", False) else moves
            return best, height(best), jax.vmap(lambda move: height(best + move))(moves)

        found = compiled(lambda moves: [all_heights(prox, moves) for prox in PENALTIES])(
            jnp.asarray(moves)
        )
        for prox, (best, lowest, others) in zip(PENALTIES, found, strict=True):
            assert lowest <= others.min(), prox
            assert not getattr(prox, "positive", False) or (best >= 0).all()

    def test_a_constraint_is_the_projection_whatever_the_step(self, rng):
        x = rng.normal(size=6)
        points = jnp.asarray([x, x, *rng.normal(size=(50, 6))])
        sizes = jnp.geomspace(0.1, 10.0, 52)
        found = compiled(lambda: [jax.vmap(prox)(points, sizes) for prox in CONSTRAINTS])()
        for prox, ends in zip(CONSTRAINTS, found, strict=True):
            near, again, *others = np.asarray(ends)
            np.testing.assert_array_equal(near, again)
            # <x - P(x), z - P(x)> <= 0 for all z of the set
            assert all((x - near) @ (z - near) < 1e-12 for z in others), prox
            assert prox.value(points) == 0

    def test_groups_by_number(self, rng):
        x = jnp.asarray(rng.normal(size=5))
        by_number = rv.prox.GroupLasso(jnp.array([0.3, 0.5]), groups=[0, 1, 0, 1, 1])
        for group, strength in (([0, 2], 0.3), ([1, 3, 4], 0.5)):
            place = np.array(group)
            alone = rv.prox.GroupLasso(strength)(x[place], 0.7)
            np.testing.assert_allclose(by_number(x, 0.7)[place], alone, rtol=1e-14)

    def test_on_some_leaves_on_each_and_on_several(self):
        x = {"a": {"kernel": jnp.array([2.0, 0.2])}, "bias": jnp.array([-3.0])}
        kernels, biases = rv.prox.Masked(rv.prox.L1(1.0), "*kernel"), rv.prox.NonNegative()
        both = rv.prox.SeparableSum((kernels, rv.prox.Masked(biases, "bias")))
        out = both(x)
        np.testing.assert_array_equal(out["a"]["kernel"], [1.0, 0.0])
        np.testing.assert_array_equal(out["bias"], [0.0])
        assert both.value(x) == pytest.approx(2.2)
        each = rv.prox.EachLeaf(rv.prox.Simplex())(x)
        assert [float(jnp.sum(a)) for a in jax.tree.leaves(each)] == pytest.approx([1.0, 1.0])

    def test_complex_numbers_shrink_by_magnitude(self):
        z = jnp.array([3 + 4j, 0.1j])
        for prox in (rv.prox.L1(1.0), rv.prox.EachLeaf(rv.prox.L1(1.0))):
            np.testing.assert_allclose(prox(z), [2.4 + 3.2j, 0.0], rtol=1e-12)


class TestStepByStep:
    """The algorithms as the papers have them, in NumPy."""

    start = rng.normal(size=8)

    @staticmethod
    def value(x):
        return 0.5 * np.mean((A @ x - B) ** 2)

    @staticmethod
    def grad(x):
        return A.T @ (A @ x - B) / 40

    def test_ista(self):
        points, answers, _ = run(
            rv.ProximalGradient(0.1, rv.prox.L1(0.3), acceleration=False), squares, self.start, 50
        )
        x = self.start
        for point in points:
            x = soft(x - 0.1 * self.grad(x), 0.03)
            np.testing.assert_allclose(point, x, rtol=1e-11, atol=1e-13)
        np.testing.assert_array_equal(points, answers)

    def test_fista_with_adaptive_restart(self):
        optimizer = rv.ProximalGradient(0.1, rv.prox.L1(0.3))
        points, answers, _ = run(optimizer, squares, self.start, 80)
        x = y = self.start
        t, restarts = 1.0, 0
        for point, answer in zip(points, answers, strict=True):
            old, x = x, soft(y - 0.1 * self.grad(y), 0.03)
            new_t = (1 + np.sqrt(1 + 4 * t * t)) / 2
            if (y - x) @ (x - old) > 0:
                y, t, restarts = x, 1.0, restarts + 1
            else:
                y, t = x + (t - 1) / new_t * (x - old), new_t
            np.testing.assert_allclose(point, y, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(answer, x, rtol=1e-9, atol=1e-12)
        assert restarts

    @pytest.mark.parametrize("acceleration", [True, False])
    def test_backtracking(self, acceleration):
        optimizer = rv.ProximalGradient(None, rv.prox.L1(0.3), acceleration=acceleration)
        points, answers, _ = run(optimizer, squares, self.start, 14)
        seen, x, y, t, eta, growing = [], self.start, self.start, 1.0, 1.0, True
        while len(seen) < 14:
            while True:
                trial = soft(y - eta * self.grad(y), eta * 0.3)
                seen.append((trial, x))
                d = trial - y
                parabola = self.value(y) + self.grad(y) @ d + d @ d / (2 * eta)
                if self.value(trial) <= parabola:
                    break
                eta, growing = eta / 2, not acceleration
            drop = (y - trial) @ (trial - x) > 0
            growing = growing or drop
            flat = (self.grad(trial) - self.grad(y)) @ d <= d @ d / (2 * eta)
            new_eta = 2 * eta if growing and flat else eta
            old, x = x, trial
            new_t = (1 + np.sqrt(1 + 4 * eta / new_eta * t * t)) / 2
            beta = 0.0 if drop or not acceleration else (t - 1) / new_t
            t, eta = 1.0 if drop or not acceleration else new_t, new_eta
            y = x + beta * (x - old)
            if beta > 0:
                seen.append((y, x))
        for point, answer, (want, best) in zip(points, answers, seen, strict=False):
            np.testing.assert_allclose(point, want, rtol=1e-8, atol=1e-10)
            np.testing.assert_allclose(answer, best, rtol=1e-8, atol=1e-10)

    def test_mirror_descent_multiplies(self):
        start = np.full(8, 0.125)
        points, *_ = run(rv.MirrorDescent(0.2, rv.mirror.SimplexEntropy()), squares, start, 20)
        x = start
        for point in points:
            x = x * np.exp(-0.2 * self.grad(x))
            x /= x.sum()
            np.testing.assert_allclose(point, x, rtol=1e-11)
        points, *_ = run(rv.MirrorDescent(0.05, rv.mirror.OrthantEntropy()), squares, start, 20)
        x = start
        for point in points:
            x = x * np.exp(-0.05 * self.grad(x))
            np.testing.assert_allclose(point, x, rtol=1e-11)
        points, *_ = run(rv.MirrorDescent(0.05, rv.mirror.Hypentropy(0.5)), squares, start, 20)
        x = start
        for point in points:
            x = 0.5 * np.sinh(np.arcsinh(x / 0.5) - 0.05 * self.grad(x))
            np.testing.assert_allclose(point, x, rtol=1e-11)


class TestSolutions:
    """The same answers as other libraries."""

    @pytest.mark.parametrize(
        ("rate", "positive"), [(1 / CURVATURE, False), (1 / CURVATURE, True), (None, False)]
    )
    def test_lasso(self, rate, positive):
        lm = pytest.importorskip("sklearn.linear_model")
        settings = dict(fit_intercept=False, tol=1e-15, max_iter=10**5, positive=positive)
        want = lm.Lasso(alpha=0.3, **settings).fit(A, B).coef_
        got = solved(squares, rv.ProximalGradient(rate, rv.prox.L1(0.3, positive=positive)))
        np.testing.assert_allclose(got, want, atol=1e-8)
        np.testing.assert_array_equal(got == 0, want == 0)

    def test_elastic_net(self):
        lm = pytest.importorskip("sklearn.linear_model")
        model = lm.ElasticNet(0.5, l1_ratio=0.4, fit_intercept=False, tol=1e-15, max_iter=10**5)
        got = solved(squares, rv.ProximalGradient(1 / CURVATURE, rv.prox.ElasticNet(0.5, 0.4)))
        np.testing.assert_allclose(got, model.fit(A, B).coef_, atol=1e-8)

    def test_logistic_regression_with_an_l1_penalty(self):
        lm = pytest.importorskip("sklearn.linear_model")
        # Releases differ in how one asks for a penalty of l1 alone, and warn of the other way.
        asked = {"l1_ratio": 1.0}
        if lm.LogisticRegression().penalty == "l2":
            asked = {"penalty": "l1"}
        model = lm.LogisticRegression(
            C=0.5, solver="saga", fit_intercept=False, tol=1e-12, max_iter=10**5, **asked
        )
        got = solved(logistic, rv.ProximalGradient(None, rv.prox.L1(1 / (0.5 * 40))))
        np.testing.assert_allclose(got, model.fit(A, LABELS).coef_[0], atol=1e-6)

    def test_non_negative_least_squares(self):
        nnls = pytest.importorskip("scipy.optimize").nnls
        want, _ = nnls(A, B)
        projection = rv.projections.projection_non_negative
        for optimizer in (
            rv.ProjectedGradient(1 / CURVATURE, projection),
            rv.ProjectedGradient(1 / CURVATURE, projection, acceleration=False),
        ):
            np.testing.assert_allclose(solved(squares, optimizer), want, atol=1e-8)

    def test_group_lasso_meets_its_conditions(self):
        prox = rv.prox.GroupLasso(0.8, groups=[0, 0, 1, 1, 2, 2, 3, 3])
        got = solved(squares, rv.ProximalGradient(1 / CURVATURE, prox)).reshape(4, 2)
        g = np.asarray(jax.grad(squares)(jnp.asarray(got.ravel()))).reshape(4, 2)
        norms = np.linalg.norm(got, axis=1)
        assert 0 < (norms == 0).sum() < 4
        for x, slope, norm in zip(got, g, norms, strict=True):
            if norm:
                np.testing.assert_allclose(slope, -0.8 * x / norm, atol=1e-7)
            else:
                assert np.linalg.norm(slope) <= 0.8

    def test_simplex_two_ways(self):
        start = jnp.full(8, 0.125)
        simplex = rv.projections.projection_simplex
        want = solved(squares, rv.ProjectedGradient(1 / CURVATURE, simplex), start)
        g = np.asarray(jax.grad(squares)(jnp.asarray(want)))
        assert (g >= g[want > 0].max() - 1e-7).all()
        mirror = rv.MirrorDescent(2.0, rv.mirror.SimplexEntropy())
        np.testing.assert_allclose(solved(squares, mirror, start), want, atol=1e-6)

    def test_a_ball_that_binds(self):
        ball = rv.projections.projection_l1_ball
        got = jnp.asarray(solved(squares, rv.ProjectedGradient(1 / CURVATURE, ball, (2.0,))))
        assert jnp.sum(jnp.abs(got)) == pytest.approx(2.0)
        np.testing.assert_allclose(ball(got - 3 * jax.grad(squares)(got), 2.0), got, atol=1e-7)


class TestInSweeps:
    def test_a_lasso_path_is_one_sweep(self):
        lm = pytest.importorskip("sklearn.linear_model")
        alphas, want, _ = lm.lasso_path(A, B, alphas=np.geomspace(3.0, 0.03, 6), tol=1e-14)
        optimizer = rv.ProximalGradient(1 / CURVATURE, rv.prox.L1(rv.Grid(alphas)))
        path = rv.sweep(squares, jnp.zeros(8), optimizer, steps=2000, stop=TIGHT, keep="all")
        assert set(path.status) == {rv.Status.CONVERGED}
        np.testing.assert_allclose(path.params, want.T, atol=1e-7)
        counts = (np.asarray(path.params) != 0).sum(axis=1)
        assert all(a <= b for a, b in pairwise(counts))
        # What is reported has the penalty in it.
        heights = jax.vmap(squares)(path.params) + alphas * np.abs(path.params).sum(axis=1)
        np.testing.assert_allclose(path.values, heights, rtol=1e-9)

    @pytest.mark.parametrize("rate", [0.1, pytest.param(None, marks=pytest.mark.slow)])
    def test_what_is_handed_out_is_where_the_last_gradient_leads(self, rate):
        optimizer = rv.ProximalGradient(rate, rv.prox.L1(0.3))
        end = rv.minimize(squares, jnp.zeros(8), optimizer, steps=200, stop=rv.GradNorm(1e-3))
        assert end.converged
        # Well before a segment's end: what the lane does after it has stopped changes nothing.
        _, answers, norms = run(optimizer, squares, np.zeros(8), 200)
        assert end.steps == np.flatnonzero(norms <= 1e-3)[0]
        np.testing.assert_allclose(end.params, answers[end.steps], rtol=1e-9, atol=1e-12)

    def test_answers_obey_where_evaluations_do_not(self):
        projection = rv.projections.projection_non_negative
        optimizer = rv.ProjectedGradient(0.3, projection)
        points, answers, _ = run(optimizer, squares, np.ones(8), 30)
        assert (points < 0).any()
        assert (answers >= 0).all()

    def test_a_rate_is_found_whatever_the_scale(self):
        want = solved(squares, rv.ProximalGradient(1 / CURVATURE, rv.prox.L1(0.3)))
        for scale, loss in ((1e-4, small), (1e4, large)):
            optimizer = rv.ProximalGradient(None, rv.prox.L1(0.3 * scale))
            _, answers, _ = run(optimizer, loss, jnp.zeros(8), 200)
            np.testing.assert_allclose(answers[-1], want, atol=1e-6)

    def test_leaving_the_domain_costs_a_trial_only(self):
        def loss(x):
            return jnp.sum(x - jnp.log(x))

        optimizer = rv.ProximalGradient(None, rv.prox.L1(0.5), acceleration=False)
        _, answers, norms = run(optimizer, loss, jnp.full(2, 0.01), 100)
        assert norms[-1] < 1e-8
        np.testing.assert_allclose(answers[-1], 1 / 1.5, rtol=1e-6)


def small(x):
    return 1e-4 * squares(x)


def large(x):
    return 1e4 * squares(x)


class TestDoors:
    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda: rv.ProximalGradient(0.1, 0.3), "prox must be a penalty or a constraint"),
            (lambda: rv.ProximalGradient(0.1, rv.prox.L1), "prox must be a penalty"),
            (lambda: rv.ProjectedGradient(0.1, 3), "projection must be a function"),
            (lambda: rv.MirrorDescent(0.1, None), "mirror_map must be one of rv.mirror"),
            (lambda: rv.prox.Masked(0.1, "*"), "prox.Masked: inner must be a penalty"),
            (lambda: rv.prox.GroupLasso(0.1, groups=[-1]), "list of group numbers"),
        ],
    )
    def test_a_wrong_field_is_named(self, make, words):
        with pytest.raises(TypeError, match=words):
            make()

    def test_wrong_groups_and_missing_values_are_named(self):
        with pytest.raises(ValueError, match="give axis or groups"):
            rv.prox.GroupLasso(0.1, axis=0, groups=[0])
        with pytest.raises(ValueError, match="groups has 2 elements, and a leaf has the shape"):
            rv.prox.GroupLasso(0.1, groups=[0, 1])(jnp.ones(3))
        optimizer, x = rv.ProximalGradient(None, rv.prox.L1(0.1)), jnp.ones(2)
        with pytest.raises(ValueError, match="BacktrackedProximalStep needs the loss"):
            optimizer.update(x, optimizer.init(x), x)
        with pytest.raises(TypeError, match="Entropies take real numbers"):
            rv.MirrorDescent(0.1, rv.mirror.OrthantEntropy()).init(jnp.ones(2, complex))
