"""Every problem against an independent transcription, its minima, its data and its errors."""

import dataclasses
import math
import pickle
import subprocess
import sys
import types
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import problems
from ravine.problems import Problem
from ravine.problems import functions as vectors
from ravine.problems.digits import accuracy, cross_entropy, logits, split
from ravine.problems.regression import logistic_loss

E = math.e
PI = math.pi

# The formulas as the literature prints them, in plain NumPy.
PLANE = {
    "beale": lambda x, y: (
        (1.5 - x * (1 - y)) ** 2 + (2.25 - x * (1 - y**2)) ** 2 + (2.625 - x * (1 - y**3)) ** 2
    ),
    "booth": lambda x, y: 5 * x**2 + 5 * y**2 + 8 * x * y - 34 * x - 38 * y + 74,
    "matyas": lambda x, y: 0.26 * (x**2 + y**2) - 0.48 * x * y,
    "himmelblau": lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2,
    "saddle": lambda x, y: y**2 - x**2,
    "goldstein_price": lambda x, y: (
        (1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2))
        * (30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2))
    ),
    "six_hump_camel": lambda x, y: 4 * x**2 - 2.1 * x**4 + x**6 / 3 + x * y - 4 * y**2 + 4 * y**4,
}
VECTOR = {
    "quadratic": lambda x: (x[0] ** 2 + 100 * x[1] ** 2) / 2,
    "rosenbrock": lambda x: sum(
        100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(len(x) - 1)
    ),
    "ackley": lambda x: (
        -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2))) - np.exp(np.mean(np.cos(2 * PI * x))) + 20 + E
    ),
    "rastrigin": lambda x: 10 * len(x) + np.sum(x**2 - 10 * np.cos(2 * PI * x)),
    "styblinski_tang": lambda x: np.sum(x**4 - 16 * x**2 + 5 * x) / 2,
}
REFERENCE = {name: lambda v, f=f: f(*v) for name, f in PLANE.items()} | VECTOR
OF_ANY_DIMENSION = ("rosenbrock", "ackley", "rastrigin", "styblinski_tang")


ROWS = 256


def draws(problem, count, seed=0):
    lower, upper = problem.domain
    return np.random.default_rng(seed).uniform(lower, upper, (count, len(lower)))


def derivatives(problem, points):
    """Values, gradients and Hessians at every point, in one call that compiles once a problem."""
    points = np.asarray(points)
    padded = np.concatenate([points, np.repeat(points[-1:], ROWS - len(points), axis=0)])
    return jax.tree.map(lambda a: np.asarray(a)[: len(points)], _compiled(problem.loss)(padded))


@cache
def _compiled(loss):
    return jax.jit(jax.vmap(lambda x: (loss(x), jax.grad(loss)(x), jax.hessian(loss)(x))))


# Test functions


@pytest.mark.parametrize("name", REFERENCE)
def test_values_and_slopes_are_those_of_the_literature(name, x64):
    problem, reference = problems.get(name), REFERENCE[name]
    points = draws(problem, 200)
    values, grads, _ = derivatives(problem, points)
    assert values.dtype == grads.dtype == np.float64
    np.testing.assert_allclose(values, [reference(v) for v in points], rtol=1e-11, atol=1e-11)
    h = 1e-6
    for axis, e in enumerate(h * np.eye(2)):
        slopes = [(reference(v + e) - reference(v - e)) / (2 * h) for v in points]
        np.testing.assert_allclose(grads[:, axis], slopes, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("name", OF_ANY_DIMENSION)
def test_values_in_five_dimensions(name, x64):
    problem = problems.get(name, n=5)
    points = draws(problem, 50)
    values = jax.jit(jax.vmap(problem))(np.concatenate([points, problem.minima]))
    np.testing.assert_allclose(
        values[:-1], [VECTOR[name](v) for v in points], rtol=1e-11, atol=1e-11
    )
    np.testing.assert_allclose(values[-1], problem.minimum, atol=1e-12)
    assert problem.name == f"{name}_5"
    assert problem.start().shape == problem.minima[0].shape == (5,)


@pytest.mark.parametrize("name", REFERENCE)
def test_single_precision_agrees_with_double(name):
    problem = problems.get(name)
    points = draws(problem, 100).astype(np.float32)
    values, grads, hessians = derivatives(problem, points)
    assert values.dtype == grads.dtype == hessians.dtype == np.float32
    expected = [REFERENCE[name](v.astype(np.float64)) for v in points]
    np.testing.assert_allclose(values, expected, rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize("name", [n for n in REFERENCE if n != "saddle"])
def test_minima_are_stationary_and_curve_up(name, x64):
    problem = problems.get(name)
    values, grads, hessians = derivatives(problem, problem.minima)
    np.testing.assert_allclose(values, problem.minimum, rtol=1e-15, atol=1e-14)
    np.testing.assert_allclose(grads, 0, atol=5e-14)
    assert np.linalg.eigvalsh(hessians).min() > 0.03
    for x in problem.minima:
        assert x.dtype == np.float64
        around = x + 0.1 * np.random.default_rng(0).standard_normal((100, x.size))
        assert derivatives(problem, around)[0].min() > problem.minimum
    assert derivatives(problem, draws(problem, ROWS, seed=1))[0].min() > problem.minimum


def test_how_many_minima_and_that_they_are_distinct():
    count = {name: len(problems.get(name).minima) for name in REFERENCE}
    assert count.pop("himmelblau") == 4
    assert count.pop("six_hump_camel") == 2
    assert count.pop("saddle") == 0
    assert set(count.values()) == {1}
    for name in ("himmelblau", "six_hump_camel"):
        points = np.array(problems.get(name).minima)
        gaps = np.linalg.norm(points[:, None] - points, axis=-1)[~np.eye(len(points), dtype=bool)]
        assert gaps.min() > 1.0


def test_the_saddle_has_no_minimum():
    problem = problems.saddle()
    _, grads, hessians = derivatives(problem, np.zeros((1, 2), np.float32))
    assert problem.minimum == -math.inf
    np.testing.assert_array_equal(grads, 0)
    np.testing.assert_array_equal(np.linalg.eigvalsh(hessians[0]), [-2, 2])
    assert problem.start()[0] != 0  # on the ridge itself no gradient would lead away


def test_rosenbrock_squares_inside():
    # Without the inner square, 100 (y - x)^2 + (1 - x)^2, these would be 904, 900 and 404.
    values, _, _ = derivatives(problems.rosenbrock(), np.float32([[-1, 2], [1, 4], [-1, 1]]))
    np.testing.assert_array_equal(values, [104, 900, 4])
    start = problems.rosenbrock().start()
    np.testing.assert_allclose(problems.rosenbrock()(start), 24.2, rtol=1e-6)


def test_rosenbrock_has_the_second_minimum_it_speaks_of(x64):
    problem, x = problems.rosenbrock(4), np.array([-1.0, 1.0, 1.0, 1.0])
    for _ in range(20):
        values, grads, hessians = derivatives(problem, [x])
        x = x - np.linalg.solve(hessians[0], grads[0])
    np.testing.assert_allclose([x[0], values[0]], [-0.7757, 3.7014], atol=1e-4)
    assert np.linalg.eigvalsh(hessians[0])[0] > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REFERENCE)
def test_derivatives_are_finite_at_the_minima_and_the_edges(name, dtype, x64):
    problem = problems.get(name)
    corners = np.array(np.meshgrid(*zip(*problem.domain, strict=True))).reshape(2, -1).T
    special = np.concatenate([corners, np.zeros((1, 2)), *[[x] for x in problem.minima]])
    for array in derivatives(problem, special.astype(dtype)):
        assert array.dtype == dtype
        assert np.isfinite(array).all()


@pytest.mark.parametrize("name", REFERENCE)
def test_side_by_side_as_alone(name, x64):
    problem = problems.get(name)
    points = draws(problem, 5)
    alone = jax.jit(problem)
    values = [alone(v) for v in points]
    assert {v.shape for v in values} == {()}
    np.testing.assert_allclose(derivatives(problem, points)[0], values, rtol=1e-12)


@pytest.mark.parametrize("name", ["ackley", "rastrigin"])
def test_small_distances_keep_their_digits_in_single_precision(name):
    points = np.float32([[1e-4, -2e-4], [0, 0]])
    values, grads, _ = derivatives(problems.get(name), points)
    expected = {
        "ackley": 4 * np.sqrt(2.5e-8) + 2 * E * PI**2 * 2.5e-8,
        "rastrigin": (1 + 20 * PI**2) * 5e-8,
    }
    np.testing.assert_allclose(values[0], expected[name], rtol=1e-3)
    assert values[1] == 0
    np.testing.assert_array_equal(grads[1], 0)


@pytest.mark.parametrize("name", REFERENCE)
def test_start_and_minima_lie_in_the_domain(name):
    problem = problems.get(name)
    lower, upper = problem.domain
    assert lower.shape == upper.shape == problem.start().shape == (2,)
    assert problem.start().dtype == jnp.float32
    for x in (np.asarray(problem.start()), *problem.minima):
        assert np.all((lower <= x) & (x <= upper))
    assert problem.description
    assert problem.citation or name in ("quadratic", "saddle")


@pytest.mark.parametrize("rotation", [None, 0, 1])
def test_quadratic_has_its_spectrum(rotation, x64):
    eigenvalues = [0.5, 3.0, 40.0]
    problem = problems.quadratic(eigenvalues, rotation=rotation)
    np.testing.assert_array_equal(problem.start(), 1)
    _, _, hessians = derivatives(problem, [problem.start()])
    np.testing.assert_allclose(np.linalg.eigvalsh(hessians[0]), eigenvalues, rtol=1e-12)
    assert (abs(hessians[0, 0, 1]) > 1e-3) == (rotation is not None)


def test_rotated_quadratic_stays_convex_in_single_precision():
    problem = problems.quadratic(np.logspace(-8, 0, 20), rotation=3)
    points = np.random.default_rng(0).standard_normal((500, 20), np.float32)
    assert float(jax.jit(jax.vmap(problem))(points).min()) > 0
    # Along the flattest axis the value is tiny, and still the right one.
    flattest = np.float32(problem.loss.keywords["basis"][:, 0])
    assert 0 < float(problem(flattest)) < 1e-7


def test_equal_arguments_share_one_function():
    quadratic, logistic = problems.quadratic, problems.logistic_regression
    assert quadratic([1.0, 2.0], 3).loss is quadratic((1, 2), 3).loss
    assert quadratic([1.0, 2.0], 3).loss is not quadratic((1, 2), 4).loss
    assert problems.rosenbrock(3).loss is problems.rosenbrock(5).loss
    assert logistic(l2=0.1).loss is logistic(key=1, l2=0.1).loss
    assert problems.digits().init is problems.digits(seed=1).init


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: problems.rosenbrock(1), "rosenbrock: n is the number of dimensions, an int >= 2"),
        (lambda: problems.get("ackley", n=2.0), "ackley: n .* got 2.0"),
        (lambda: problems.quadratic([]), "eigenvalues must be a list of numbers"),
        (lambda: problems.quadratic([1.0, -1.0]), "finite and at least 0"),
        (lambda: problems.quadratic([1.0, math.nan]), "finite and at least 0"),
        (lambda: problems.beale()(jnp.ones(3)), r"shape \(2,\), got shape \(3,\).*jax.vmap"),
        (lambda: problems.linear_regression(noise=-1.0), "noise must be at least 0"),
        (
            lambda: problems.linear_regression(n=2),
            "greater than the number of parameters, 2; got 2",
        ),
        (lambda: problems.linear_regression(slope=[1, 2], dimension=3), "slope of shape .2,. and"),
        (lambda: problems.logistic_regression(l2=-1.0), "l2 must be at least 0"),
        (lambda: problems.logistic_regression(dimension=0), "dimension is the number of features"),
        (lambda: problems.logistic_regression(n=4, l2=0.0), "the loss has no minimum.*l2 > 0"),
        (lambda: problems.digits("cnn"), "model must be 'mlp' or 'softmax', got 'cnn'"),
        (lambda: problems.digits(hidden=(32, 0)), "hidden must be widths"),
    ],
)
def test_errors_name_the_argument(make, text):
    with pytest.raises(ValueError, match=text):
        make()


# Regressions


@pytest.mark.parametrize("options", [{}, {"dimension": 3}, {"slope": [1.0, -2.0], "key": 7}])
def test_least_squares_solution_is_stationary(options, x64):
    problem = problems.linear_regression(**options)
    (x,) = problem.minima
    value, grads = jax.jit(jax.value_and_grad(problem))(x)
    for g in jax.tree.leaves(grads):
        np.testing.assert_allclose(g, 0, atol=1e-13)
    np.testing.assert_allclose(value, problem.minimum, rtol=1e-13)
    a, b = problem.data
    by_hand = np.mean(
        (x["intercept"] + np.asarray(a) @ x["slope"] - b) ** 2
        if a.ndim > 1
        else (x["intercept"] + np.asarray(a) * x["slope"] - b) ** 2
    )
    np.testing.assert_allclose(problem.minimum, by_hand, rtol=1e-13)
    worse = jax.tree.map(lambda v: v + 0.01, x)
    assert float(problem(worse)) > problem.minimum


def test_the_classical_line():
    problem = problems.linear_regression(n=4000, noise=0.1)
    (x,) = problem.minima
    assert x["intercept"].shape == x["slope"].shape == ()
    assert float(x["intercept"]) == pytest.approx(5.0, abs=0.01)
    assert float(x["slope"]) == pytest.approx(2.0, abs=0.01)
    assert problem.minimum == pytest.approx(0.01, rel=0.1)  # the mean itself, not half of it
    assert {a.dtype for a in problem.data} == {jnp.dtype("float32")}
    # At the zero start E (5 + 2x + z)^2 = 25 + 4 + 0.01.
    assert float(problem(problem.start())) == pytest.approx(29.0, abs=2.0)


def test_without_noise_the_truth_is_the_solution(x64):
    problem = problems.linear_regression(slope=[1.0, -3.0], intercept=0.5, noise=0.0)
    np.testing.assert_allclose(problem.minima[0]["slope"], [1, -3], atol=1e-12)
    assert problem.minimum < 1e-24


@pytest.mark.parametrize(
    "options", [{}, {"l2": 0.0}, {"dimension": 5, "key": 3, "l2": 1e-6}, {"dimension": None}]
)
def test_logistic_minimum_is_stationary(options, x64):
    problem = problems.logistic_regression(**options)
    (x,) = problem.minima
    value, grads = jax.jit(jax.value_and_grad(problem))(x)
    for g in jax.tree.leaves(grads):
        np.testing.assert_allclose(g, 0, atol=1e-13)
    np.testing.assert_allclose(value, problem.minimum, rtol=1e-13)
    np.testing.assert_allclose(problem(problem.start()), math.log(2), rtol=1e-13)
    assert problem.minimum < math.log(2)
    assert set(np.unique(problem.data[1])) == {0.0, 1.0}


def test_logistic_loss_by_hand_and_far_out():
    x, y = jnp.array([[1.0], [-2.0]]), jnp.array([1.0, 0.0])
    params = {"intercept": jnp.array(0.5), "slope": jnp.array([2.0])}
    p = 1 / (1 + np.exp(-np.array([2.5, -3.5])))
    expected = -(np.log(p[0]) + np.log(1 - p[1])) / 2 + 0.5 * 0.1 * 4
    np.testing.assert_allclose(logistic_loss(params, (x, y), l2=0.1), expected, rtol=1e-6)
    far = jax.tree.map(lambda v: -1e4 * v, params)
    assert bool(jnp.isfinite(logistic_loss(far, (x, y))))


@pytest.mark.parametrize("name", ["linear_regression", "logistic_regression"])
def test_regression_data_come_from_the_key(name):
    first, again, other = (problems.get(name, key=k) for k in (1, jax.random.key(1), 2))
    jax.tree.map(np.testing.assert_array_equal, first.data, again.data)
    assert not np.array_equal(first.data[0], other.data[0])
    batch = jax.tree.map(lambda a: a[:10], first.data)
    assert first.loss(first.start(), batch).shape == ()
    np.testing.assert_array_equal(first(first.start()), first.loss(first.start(), first.data))


@pytest.mark.parametrize("name", ["linear_regression", "logistic_regression", "digits"])
def test_data_take_the_default_float_dtype(name, x64):
    problem = problems.get(name)
    assert problem.data[0].dtype == jnp.float64
    start = jax.eval_shape(problem.start)
    assert {p.dtype for p in jax.tree.leaves(start)} == {jnp.dtype("float64")}
    assert jax.eval_shape(problem, start).dtype == jnp.float64


# Digits


@pytest.fixture(scope="module")
def digits():
    return problems.digits()


def test_the_split_is_fixed_disjoint_and_balanced():
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    labels = np.random.default_rng(5).permutation(np.repeat(np.arange(10), counts))
    parts = split(labels, 0)
    assert [len(part) for part in parts] == [1078, 359, 360]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    for part in parts:
        share = np.bincount(labels[part]) / counts
        np.testing.assert_allclose(share * counts, len(part) / 1797 * np.array(counts), atol=1.0)
        assert np.count_nonzero(np.diff(labels[part])) > 0.8 * len(part)  # mixed, not sorted
    for part, again, other in zip(parts, split(labels, 0), split(labels, 1), strict=True):
        np.testing.assert_array_equal(part, again)
        assert not np.array_equal(np.sort(part), np.sort(other))


def test_the_images_are_the_real_ones(digits):
    x, y = digits.data
    assert x.shape == (1078, 64)
    assert y.shape == (1078,)
    assert (x.dtype, y.dtype) == (jnp.float32, jnp.int32)
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)
    held_out = [digits.metrics[m].keywords["batch"] for m in ("validation_loss", "test_accuracy")]
    assert [len(b[1]) for b in held_out] == [359, 360]
    # Sums over the whole file: nothing lost, nothing twice, and labels beside their images.
    parts = [digits.data, *held_out]
    assert sum(float(np.sum(np.asarray(b[0], np.float64))) for b in parts) * 16 == 561718
    counts = np.sum([np.bincount(b[1], minlength=10) for b in parts], axis=0)
    np.testing.assert_array_equal(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    rows = np.concatenate([np.asarray(b[0]) for b in parts])
    assert len(np.unique(rows, axis=0)) == 1797


def test_the_network_is_64_32_32_10(digits):
    assert jax.tree.map(lambda p: p.shape, jax.eval_shape(digits.start)) == {
        "dense_0": {"kernel": (64, 32), "bias": (32,)},
        "dense_1": {"kernel": (32, 32), "bias": (32,)},
        "dense_2": {"kernel": (32, 10), "bias": (10,)},
    }
    wide = problems.digits(hidden=(500, 300)).start()
    assert float(jnp.std(wide["dense_1"]["kernel"])) == pytest.approx((2 / 500) ** 0.5, rel=0.01)
    np.testing.assert_array_equal(wide["dense_1"]["bias"], 0)
    first, other = digits.start(1), digits.start(2)
    assert not np.array_equal(first["dense_0"]["kernel"], other["dense_0"]["kernel"])
    assert list(jax.eval_shape(problems.digits("softmax").start)) == ["dense_0"]


def test_the_network_by_hand(digits):
    params, (x, y) = digits.start(), digits.data
    h = np.asarray(x, np.float64)
    for name in ("dense_0", "dense_1"):
        h = np.maximum(h @ np.asarray(params[name]["kernel"], np.float64), 0)
    s = h @ np.asarray(params["dense_2"]["kernel"], np.float64)
    np.testing.assert_allclose(logits(params, x), s, rtol=1e-3, atol=1e-4)
    losses = np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(s)), y]
    np.testing.assert_allclose(digits(params), losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(accuracy(params, (x, y)), np.mean(s.argmax(1) == y), atol=2e-3)


@pytest.mark.parametrize("model", ["mlp", "softmax"])
def test_many_networks_side_by_side(model):
    problem = problems.digits(model)
    rows = np.random.default_rng(0).integers(0, problem.examples, (8, 128))
    batches = jax.tree.map(lambda a: np.asarray(a)[rows], problem.data)

    @jax.jit
    def lanes(keys, batches):
        params = jax.vmap(problem.init)(keys)
        measures = {name: jax.vmap(metric)(params) for name, metric in problem.metrics.items()}
        return jax.vmap(jax.value_and_grad(problem.loss))(params, batches), measures

    (losses, grads), measures = lanes(jax.random.split(jax.random.key(0), 8), batches)
    assert losses.shape == (8,)
    assert len(set(np.asarray(losses))) == 8
    assert np.all((0.7 * math.log(10) < losses) & (losses < 1.5 * math.log(10)))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert set(measures) == {"validation_loss", "validation_accuracy", "test_accuracy"}
    for name, values in measures.items():
        assert (values.shape, values.dtype) == ((8,), jnp.float32), name
        low, high = (0.0, 0.4) if name.endswith("accuracy") else (1.6, 3.5)
        assert np.all((low <= values) & (values < high)), name


def test_digits_can_be_learned():
    problem = problems.digits("softmax")

    def step(params, _):
        g = jax.grad(problem)(params)
        return jax.tree.map(lambda p, d: p - 1.0 * d, params, g), None

    train = jax.jit(lambda params: jax.lax.scan(step, params, None, length=200)[0])
    params = train(problem.start())
    assert float(problem(params)) < 0.25
    assert float(problem.metrics["validation_loss"](params)) < 0.3
    assert float(problem.metrics["validation_accuracy"](params)) > 0.9
    assert float(problem.metrics["test_accuracy"](params)) > 0.9


def test_stable_far_out_and_honest_about_nan():
    params = {"dense_0": {"kernel": jnp.zeros((2, 10)), "bias": jnp.linspace(0, 1e6, 10)}}
    x, y = jnp.ones((3, 2)), jnp.array([0, 9, 0], jnp.int32)
    np.testing.assert_allclose(cross_entropy(params, (x, y)), 2e6 / 3, rtol=1e-6)
    np.testing.assert_allclose(accuracy(params, (x, y)), 1 / 3, rtol=1e-6)
    broken = jax.tree.map(lambda p: p * jnp.nan, params)
    assert math.isnan(cross_entropy(broken, (x, y)))
    np.testing.assert_array_equal(accuracy(broken, (x, y)), 0)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r'pip install "ravine\[demo\]"'):
        problems.digits()


def test_a_moved_file_is_read_through_scikit_learn(monkeypatch, tmp_path, digits):
    x, y = np.random.default_rng(0).integers(0, 17, (1797, 64)), np.arange(1797) % 10
    fake = types.ModuleType("sklearn")
    fake.__spec__ = types.SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    data = types.ModuleType("sklearn.datasets")
    data.load_digits = lambda return_X_y: (x, y)
    monkeypatch.setitem(sys.modules, "sklearn", fake)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", data)
    mine = problems.digits()
    assert mine.data[0].shape == digits.data[0].shape
    assert not np.array_equal(mine.data[0], digits.data[0])


# The problem itself


def bowl(x):
    return jnp.sum(x**2)


def fit(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


DATA = (jnp.ones((6, 2)), jnp.arange(6.0))


def test_two_arguments_are_enough():
    problem = Problem(bowl, jnp.ones(3))
    assert problem.name == "bowl"
    assert float(problem(problem.start())) == 3.0
    assert problem.examples is None
    assert repr(problem) == "Problem(name='bowl', batch_size=None, minimum=None)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.name = "other"
    assert dataclasses.replace(problem, name="other").name == "other"
    assert len({problem, Problem(bowl, jnp.ones(3))}) == 2


def test_data_are_given_to_the_loss():
    problem = Problem(fit, jnp.zeros(2), data=DATA, batch_size=2)
    assert problem.examples == 6
    assert float(problem(jnp.zeros(2))) == pytest.approx(55 / 6)


def test_a_start_can_be_drawn():
    problem = Problem(bowl, lambda key: {"w": jax.random.normal(key, (2,))}["w"])
    assert problem.has_init_function
    np.testing.assert_array_equal(problem.start(3), problem.start(jax.random.key(3)))
    assert not np.array_equal(problem.start(3), problem.start(4))
    with pytest.raises(TypeError, match=r"what init\(key\) returns must hold floats"):
        Problem(bowl, lambda key: jnp.arange(2)).start()


@jax.tree_util.register_pytree_node_class
class Layer:
    """A model that is a tree of its weights and can be called, as some libraries write them."""

    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return self.w @ x

    def tree_flatten(self):
        return (self.w,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def test_a_callable_model_is_a_start_not_a_function():
    problem = Problem(lambda m: jnp.sum(m(jnp.ones(2))), Layer(jnp.ones(2)))
    assert not problem.has_init_function
    assert float(problem(problem.start(7))) == 2.0


def test_known_facts_are_kept():
    problem = Problem(
        bowl, jnp.ones(2), minima=[np.zeros(2)], minimum=jnp.array(0.0), domain=[-1, np.ones(2)],
        metrics={"norm": jnp.linalg.norm},
    )  # fmt: skip
    assert type(problem.minima) is tuple
    assert type(problem.domain) is tuple
    assert type(problem.minimum) is float
    assert float(problem.metrics["norm"](jnp.array([3.0, 4.0]))) == 5.0


@pytest.mark.parametrize(
    ("error", "text", "fields"),
    [
        (TypeError, "loss must be a function", {"loss": 3.0}),
        (TypeError, "name must be a text", {"name": 3}),
        (TypeError, r"init must hold floats, got int32.*Write 1.0", {"init": jnp.arange(2)}),
        (TypeError, "init must hold floats, got int 1 at 'w'", {"init": {"w": 1}}),
        (TypeError, "init must hold floats, got str 'x'", {"init": "x"}),
        (ValueError, "init holds no array", {"init": None}),
        (ValueError, "one common, nonempty leading axis", {"data": (np.ones(3), np.ones(4))}),
        (ValueError, "one common, nonempty leading axis", {"data": np.ones((0, 3))}),
        (ValueError, "data at '0' is a single number", {"data": (np.ones(3), 1.0)[::-1]}),
        (ValueError, "batch_size is given without data", {"batch_size": 8}),
        (ValueError, r"batch_size must be in \[1, 6\]", {"batch_size": 7, "data": DATA}),
        (TypeError, "batch_size must be an int", {"batch_size": 2.0, "data": DATA}),
        (TypeError, "metrics must be a dict", {"metrics": [bowl]}),
        (TypeError, "metrics must map a name to a function", {"metrics": {"loss": 1.0}}),
        (TypeError, r"Write minima=\(x,\) for one", {"minima": np.zeros(2)}),
        (ValueError, r"minima\[0\] and init differ", {"minima": (0.0, 0.0)}),
        (TypeError, "minimum must be a number", {"minimum": "low"}),
        (ValueError, "minimum is NaN", {"minimum": math.nan}),
        (TypeError, "domain must be a pair", {"domain": 3.0}),
        (ValueError, "domain needs lower < upper", {"domain": (np.zeros(2), np.array([1.0, 0.0]))}),
    ],
)
def test_a_wrong_field_is_named(error, text, fields):
    with pytest.raises(error, match=text):
        Problem(**({"loss": bowl, "init": jnp.ones(2)} | fields))


# The registry


@pytest.mark.parametrize("name", problems.ALL)
def test_every_problem_can_be_got_and_used_and_sent(name):
    problem = problems.get(name)
    assert problem.name == name or name in ("mgh", "nist")  # the two are collections
    params = problem.start()
    value, grads = jax.jit(jax.value_and_grad(problem))(params)
    assert value.shape == ()
    assert bool(jnp.isfinite(value))
    assert jax.tree.structure(grads) == jax.tree.structure(params)
    copy = pickle.loads(pickle.dumps(problem))
    np.testing.assert_allclose(jax.jit(copy)(params), value, rtol=1e-5)


def test_options_reach_the_factory():
    assert problems.get("rosenbrock", n=7).start().shape == (7,)
    with pytest.raises(TypeError, match=r"'ackley' has no option 'dim'. Its options are n."):
        problems.get("ackley", dim=3)
    with pytest.raises(TypeError, match=r"'booth' has no option 'n'. It has none."):
        problems.get("booth", n=3)


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(ValueError, match=r"'rosenbrook'.*mean 'rosenbrock'.*quadratic, .*digits"):
        problems.get("rosenbrook")
    with pytest.raises(ValueError, match="mean 'six_hump_camel'"):
        problems.get("SIX-HUMP-CAMEL")
    with pytest.raises(ValueError, match=r"no problem 'zzz'. The problems are"):
        problems.get("zzz")


def test_importing_is_cheap():
    code = (
        "import sys, ravine.problems\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge._backends, 'a computation ran at import'\n"
        "assert not any(m.split('.')[0] in ('sklearn', 'scipy') and 'sklearn' in m "
        "for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_modules_hold_no_arrays():
    for module in [m for n, m in sys.modules.items() if n.startswith("ravine.problems")]:
        assert not [n for n, v in vars(module).items() if isinstance(v, jax.Array)]
    assert vectors.rosenbrock is problems.rosenbrock
