"""NIST's nonlinear regressions: models against NumPy, data against what NIST certifies."""

import hashlib
import json
from functools import cache
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy import arctan, cos, exp, pi, sin
from scipy.optimize import least_squares

from ravine import problems

NIST = problems.NIST
FAST = {"xla_backend_optimization_level": 0}


def waves(x, b1, b2, b3, b4, b5, b6, b7, b8, b9):
    return (
        b1 + b2 * cos(2 * pi * x / 12) + b3 * sin(2 * pi * x / 12)
        + b5 * cos(2 * pi * x / b4) + b6 * sin(2 * pi * x / b4)
        + b8 * cos(2 * pi * x / b7) + b9 * sin(2 * pi * x / b7)
    )  # fmt: skip


def gauss(x, b1, b2, b3, b4, b5, b6, b7, b8):
    return (
        b1 * exp(-b2 * x) + b3 * exp(-((x - b4) ** 2) / b5**2) + b6 * exp(-((x - b7) ** 2) / b8**2)
    )


def lanczos(x, b1, b2, b3, b4, b5, b6):
    return b1 * exp(-b2 * x) + b3 * exp(-b4 * x) + b5 * exp(-b6 * x)


def cubics(x, b1, b2, b3, b4, b5, b6, b7):
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


# As NIST writes them, with the size of the data.
MODELS = {
    "Misra1a": (14, lambda x, b1, b2: b1 * (1 - exp(-b2 * x))),
    "Chwirut2": (54, lambda x, b1, b2, b3: exp(-b1 * x) / (b2 + b3 * x)),
    "Chwirut1": (214, lambda x, b1, b2, b3: exp(-b1 * x) / (b2 + b3 * x)),
    "Lanczos3": (24, lanczos),
    "Gauss1": (250, gauss),
    "Gauss2": (250, gauss),
    "DanWood": (6, lambda x, b1, b2: b1 * x**b2),
    "Misra1b": (14, lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** (-2.0))),
    "Kirby2": (
        151,
        lambda x, b1, b2, b3, b4, b5: (b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2),
    ),
    "Hahn1": (236, cubics),
    "Nelson": (128, lambda x, b1, b2, b3: b1 - b2 * x[0] * exp(-b3 * x[1])),
    "MGH17": (33, lambda x, b1, b2, b3, b4, b5: b1 + b2 * exp(-x * b4) + b3 * exp(-x * b5)),
    "Lanczos1": (24, lanczos),
    "Lanczos2": (24, lanczos),
    "Gauss3": (250, gauss),
    "Misra1c": (14, lambda x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** (-0.5))),
    "Misra1d": (14, lambda x, b1, b2: b1 * b2 * x * ((1 + b2 * x) ** (-1.0))),
    "Roszman1": (25, lambda x, b1, b2, b3, b4: b1 - b2 * x - arctan(b3 / (x - b4)) / pi),
    "ENSO": (168, waves),
    "MGH09": (11, lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)),
    "Thurber": (37, cubics),
    "BoxBOD": (6, lambda x, b1, b2: b1 * (1 - exp(-b2 * x))),
    "Rat42": (9, lambda x, b1, b2, b3: b1 / (1 + exp(b2 - b3 * x))),
    "MGH10": (16, lambda x, b1, b2, b3: b1 * exp(b2 / (x + b3))),
    "Eckerle4": (35, lambda x, b1, b2, b3: (b1 / b2) * exp(-0.5 * ((x - b3) / b2) ** 2)),
    "Rat43": (15, lambda x, b1, b2, b3, b4: b1 / ((1 + exp(b2 - b3 * x)) ** (1 / b4))),
    "Bennett5": (154, lambda x, b1, b2, b3: b1 * (b2 + x) ** (-1 / b3)),
}


@cache
def linearized(dataset):
    """The residuals and their Jacobian, compiled once."""
    r = problems.nist(dataset).residuals
    compiled = jax.jit(lambda b: (r(b), jax.jacfwd(r)(b)), compiler_options=FAST)
    return lambda b: tuple(map(np.asarray, compiled(b)))


def test_all_are_here():
    assert list(NIST) == list(MODELS)
    levels = [problems.certified(name).level for name in NIST]
    assert levels == ["Lower"] * 8 + ["Average"] * 11 + ["Higher"] * 8


def test_not_a_digit_has_changed():
    # Only a new file of NIST's may change this, through tests/traces/nist.py.
    file = resources.files("ravine.problems").joinpath("nist.json")
    content = json.dumps(json.loads(file.read_text()), sort_keys=True)
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "e058948223238b64"


@pytest.mark.parametrize("dataset", NIST)
def test_models_are_those_of_nist(dataset, x64):
    known, f = problems.certified(dataset), linearized(dataset)
    size, model = MODELS[dataset]
    given = problems.nist(dataset).residuals.keywords
    for start, b in zip((1, 2, None), (*known.starts, known.parameters), strict=True):
        r, slopes = f(b)
        np.testing.assert_allclose(r, given["y"] - model(given["x"], *b), rtol=1e-9, atol=1e-11)
        assert (r.shape, slopes.shape) == ((size,), (size, len(b)))
        assert r.dtype == slopes.dtype == np.float64
        assert np.isfinite(slopes).all()
        if start is not None:
            problem = problems.nist(dataset, start)
            np.testing.assert_array_equal(problem.start(), b)
            np.testing.assert_allclose(problem(problem.start()), np.sum(r**2), rtol=1e-13)


@pytest.mark.parametrize("dataset", NIST)
def test_certified_parameters_have_the_certified_sum_and_deviations(dataset, x64):
    problem, known = problems.nist(dataset), problems.certified(dataset)
    r, slopes = linearized(dataset)(known.parameters)
    assert problem.minimum == known.sum_of_squares
    np.testing.assert_array_equal(problem.minima[0], known.parameters)
    if dataset == "Lanczos1":  # eleven digits of the parameters do not leave 1e-25
        assert np.sum(r**2) < 1e-20
    else:
        np.testing.assert_allclose(np.sum(r**2), known.sum_of_squares, rtol=1e-9)
    # The covariance s^2 (J^T J)^-1, by the QR decomposition of scaled columns.
    scale = np.linalg.norm(slopes, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(slopes / scale)[1])
    s = np.sqrt(known.sum_of_squares / (len(r) - len(scale)))
    deviations = s * np.linalg.norm(inverse, axis=1) / scale
    np.testing.assert_allclose(deviations, known.deviations, rtol=1e-6)


@pytest.mark.parametrize("dataset", NIST)
def test_a_fit_from_the_nearer_start_finds_the_certified_parameters(dataset, x64):
    known, f = problems.certified(dataset), linearized(dataset)
    fit = least_squares(
        lambda b: f(b)[0], known.starts[1], lambda b: f(b)[1], method="lm", x_scale="jac",
        xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=5000,
    )  # fmt: skip
    np.testing.assert_allclose(fit.x, known.parameters, rtol=1e-6)
    if dataset != "Lanczos1":
        np.testing.assert_allclose(2 * fit.cost, known.sum_of_squares, rtol=1e-8)


def test_single_precision_is_kept_and_finite():
    starts = {name: jnp.stack([problems.nist(name, k).start() for k in (1, 2)]) for name in NIST}

    def lanes(starts):
        return {
            name: jax.vmap(jax.value_and_grad(problems.nist(name)))(b) for name, b in starts.items()
        }

    # One program for all: it compiles faster than 27 do.
    for name, (values, grads) in jax.jit(lanes, compiler_options=FAST)(starts).items():
        assert (values.dtype, grads.dtype) == (jnp.float32, jnp.float32), name
        assert bool(jnp.isfinite(values).all() & jnp.isfinite(grads).all()), name


def test_names_and_citations():
    problem = problems.get("nist", dataset="Thurber", start=2)
    assert problem.name == "nist_Thurber_2"
    assert problem.citation.startswith("Thurber, R., NIST (197?). Semiconductor electron mobility")
    assert "higher" in problem.description
    assert problem.loss is problems.nist("Thurber").loss


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (r"no data set 'thurber'. Did you mean 'Thurber'\?", {"dataset": "thurber"}),
        ("start must be 1 or 2, got 0", {"start": 0}),
        ("start must be 1 or 2, got True", {"start": True}),
    ],
)
def test_a_wrong_choice_is_named(text, options):
    with pytest.raises(ValueError, match=text):
        problems.get("nist", **options)
