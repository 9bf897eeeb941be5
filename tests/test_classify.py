"""What kind of point it is, against matrices whose eigenvalues are known."""

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import problems

EVERY = np.geomspace(1, 100, 8)


def matrix(rng, eigenvalues):
    q = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))[0]
    return q * eigenvalues @ q.T


def form(x, a):
    """A quadratic form that is stationary at 1."""
    return (x - 1) @ a @ (x - 1) / 2


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize(
    ("eigenvalues", "kind"),
    [
        (EVERY, "minimum"),
        (-EVERY, "maximum"),
        (np.array([-1e-3, 1, 2, 5]), "saddle"),
        (np.array([0, 1, 2, 5]), "flat"),
        (np.array([-7, -3, 0, 0]), "flat"),
        (np.zeros(3), "flat"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_the_kind_follows_from_the_eigenvalues(method, eigenvalues, kind, rng, x64):
    a = matrix(rng, eigenvalues)
    found = rv.classify(form, jnp.ones(len(a)), jnp.asarray(a), method=method)
    assert found.kind == kind
    assert (found.method, found.size, found.grad_norm) == (method, len(a), 0.0)
    np.testing.assert_allclose(found.smallest, eigenvalues.min(), atol=1e-12)
    np.testing.assert_allclose(found.largest, eigenvalues.max(), atol=1e-12)
    if method == "dense":
        np.testing.assert_allclose(found.eigenvalues, np.sort(eigenvalues), atol=1e-12)


def test_step_sizes_are_those_at_which_descent_is_fastest(rng, x64):
    a = matrix(rng, EVERY)
    found = rv.classify(form, jnp.ones(8), jnp.asarray(a))
    np.testing.assert_allclose(found.condition, 100)
    np.testing.assert_allclose(found.max_learning_rate, 2 / 100)
    np.testing.assert_allclose(found.learning_rate, 2 / 101)
    np.testing.assert_allclose(found.rate, 99 / 101)
    np.testing.assert_allclose(found.heavy_ball_momentum, (9 / 11) ** 2)
    np.testing.assert_allclose(found.heavy_ball_rate, 9 / 11)

    def spread(learning_rate, momentum):
        """What a step of heavy-ball descent leaves of the error in the end: a spectral radius."""
        eye, zero = np.eye(8), np.zeros((8, 8))
        step = [[(1 + momentum) * eye - learning_rate * a, -momentum * eye], [eye, zero]]
        return np.abs(np.linalg.eigvals(np.block(step))).max()

    best = found.heavy_ball_learning_rate, found.heavy_ball_momentum
    np.testing.assert_allclose(spread(found.learning_rate, 0), found.rate, rtol=1e-6)
    np.testing.assert_allclose(spread(*best), found.heavy_ball_rate, rtol=1e-6)
    for factor in (0.97, 1.03):
        assert spread(found.learning_rate * factor, 0) > found.rate
        assert spread(best[0] * factor, best[1]) > found.heavy_ball_rate
    assert (
        spread(found.max_learning_rate * 0.999, 0) < 1 < spread(found.max_learning_rate * 1.001, 0)
    )


def test_many_parameters_by_lanczos(rng, x64):
    """The extremes of a spectrum of thousands, to which few products lead."""
    spectrum = np.concatenate([[-0.5], np.linspace(1, 10, 2998), [50.0]])

    def loss(p):
        return (
            jnp.sum(spectrum[:1000] * p["a"] ** 2) / 2 + jnp.sum(spectrum[1000:] * p["b"] ** 2) / 2
        )

    params = {"a": jnp.zeros(1000), "b": jnp.zeros(2000)}
    found = rv.classify(loss, params, steps=60)
    assert (found.kind, found.method, found.size) == ("saddle", "lanczos", 3000)
    np.testing.assert_allclose([found.smallest, found.largest], [-0.5, 50], rtol=1e-9)
    assert len(found.eigenvalues) == 60
    assert found.error < 1e-6
    again = rv.classify(loss, params, steps=60, key=1)
    np.testing.assert_allclose(again.smallest, found.smallest, rtol=1e-9)
    # The bound is honest where there were too few products.
    few = rv.classify(loss, params, steps=4)
    assert few.error > 1e-3
    assert abs(few.largest - 50) <= few.error
    # Nor is it a minimum only because the rest has not been seen.
    tail = rv.classify(
        lambda x: jnp.sum(jnp.asarray(np.geomspace(1e-9, 1, 400)) * x**2), jnp.zeros(400), steps=8
    )
    assert tail.smallest > 0
    assert tail.kind == "flat"


def test_equal_eigenvalues_do_not_end_lanczos(x64):
    found = rv.classify(lambda x: jnp.sum(x**2), jnp.zeros(300), steps=20)
    assert found.kind == "minimum"
    np.testing.assert_allclose(found.eigenvalues, 2.0)


def test_known_points_of_known_problems():
    saddle = problems.get("saddle")
    assert rv.classify(saddle, jnp.zeros(2)).kind == "saddle"
    valley = problems.get("rosenbrock", n=4)
    at_minimum = rv.classify(valley, jnp.ones(4))
    assert at_minimum.kind == "minimum"
    assert at_minimum.condition > 1000
    start = rv.classify(valley, jnp.zeros(4))
    assert start.kind == "not stationary"
    np.testing.assert_allclose(start.grad_norm, np.sqrt(12), rtol=1e-6)
    assert rv.classify(valley, jnp.zeros(4), grad_tol=10.0).kind == "minimum"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trees_of_several_dtypes_and_complex_numbers(dtype, x64):
    def loss(p, scale):
        z = p["z"] - jnp.complex64(1 + 2j)
        return jnp.sum(p["x"] ** 2) * scale.astype(dtype) + jnp.sum(
            z.real**2 + 10 * z.imag**2
        ).astype(dtype), "aux"

    params = {"x": jnp.zeros(2, dtype), "z": jnp.full((1,), 1 + 2j, jnp.complex64)}
    found = rv.classify(loss, params, jnp.asarray(3.0, dtype), has_aux=True)
    assert found.kind == "minimum"
    np.testing.assert_allclose(found.eigenvalues, [2, 6, 6, 20], rtol=1e-6)


def test_it_is_shown_as_a_table():
    shown = repr(rv.classify(lambda x: x**2, jnp.zeros(())))
    assert shown.startswith("minimum (1 parameter, all eigenvalues)\n  value ")
    assert "condition number" in shown
    saddle = repr(rv.classify(problems.get("saddle"), jnp.zeros(2)))
    assert "condition number" not in saddle
    assert "learning rate below" in saddle
    far = repr(rv.classify(lambda x: jnp.sum(x**4), jnp.ones(300), steps=5))
    assert far.startswith("not stationary (300 parameters, 5 by Lanczos)")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: rv.classify(jnp.sum, jnp.ones(2), method="qr"), ValueError, "method must be one"),
        (lambda: rv.classify(jnp.sum, {"n": 3}), TypeError, "must hold floats, got int32 at n"),
        (lambda: rv.classify(jnp.sum, ()), ValueError, "nothing to classify"),
        (lambda: rv.classify(lambda x: 1 / x, jnp.zeros(())), ValueError, "the value is inf"),
    ],
)
def test_a_wrong_call_is_explained(call, error, words):
    with pytest.raises(error, match=words):
        call()
