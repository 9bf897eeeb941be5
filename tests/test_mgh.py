"""The functions of Moré, Garbow and Hillstrom against loops in NumPy, the paper and SciPy."""

from functools import cache
from math import cos, exp, log, pi, prod, sin, sqrt

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import least_squares

from ravine import problems
from ravine.problems import Problem, mgh_small

MGH = problems.MGH
FAST = {"xla_backend_optimization_level": 0}
SIX_DIGITS = 5e-6


@cache
def linearized(function, n=None, m=None):
    """The residuals and their Jacobian, compiled once."""
    r = problems.mgh(function, n, m).residuals
    compiled = jax.jit(lambda x: (r(x), jax.jacfwd(r)(x)), compiler_options=FAST)
    return lambda x: tuple(map(np.asarray, compiled(x)))


def fit(function, start, n=None):
    """The sum of squares to which MINPACK's Levenberg and Marquardt descend."""
    f = linearized(function, n)
    found = least_squares(
        lambda x: f(x)[0], start, lambda x: f(x)[1], method="lm", x_scale="jac",
        xtol=1e-15, ftol=1e-15, gtol=1e-15,
    )  # fmt: skip
    return 2 * found.cost


# The formulas as the paper prints them: x[1] is its x1, i runs from 1.


def one(f):
    return lambda x: f([None, *x])


def up_to(m, f):
    return one(lambda x: [f(i, x) for i in range(1, m + 1)])


def theta(a, b):
    return np.arctan(b / a) / (2 * pi) + (0.5 if a < 0 else 0)


def powell(a, b, c, d):
    return [a + 10 * b, sqrt(5) * (c - d), (b - 2 * c) ** 2, sqrt(10) * (a - d) ** 2]


def gulf(i, x):
    t = i / 100
    return exp(-(abs(25 + (-50 * log(t)) ** (2 / 3) - x[2]) ** x[3]) / x[1]) - t


def watson(x):
    n, rows = len(x), []
    for i in range(1, 30):
        slope = sum((j - 1) * x[j - 1] * (i / 29) ** (j - 2) for j in range(2, n + 1))
        rows.append(slope - sum(x[j - 1] * (i / 29) ** (j - 1) for j in range(1, n + 1)) ** 2 - 1)
    return [*rows, x[0], x[1] - x[0] ** 2 - 1]


def penalty_2(x):
    n, a, x = len(x), sqrt(1e-5), [None, *x]
    rows = [x[1] - 0.2]
    for i in range(2, n + 1):
        y = exp(i / 10) + exp((i - 1) / 10)
        rows.append(a * (exp(x[i] / 10) + exp(x[i - 1] / 10) - y))
    rows += [a * (exp(x[i - n + 1] / 10) - exp(-1 / 10)) for i in range(n + 1, 2 * n)]
    return [*rows, sum((n - j + 1) * x[j] ** 2 for j in range(1, n + 1)) - 1]


def variably_dimensioned(x):
    s = sum(j * (v - 1) for j, v in enumerate(x, 1))
    return [*(v - 1 for v in x), s, s**2]


def trigonometric(x):
    total = sum(map(cos, x))
    return [len(x) - total + i * (1 - cos(v)) - sin(v) for i, v in enumerate(x, 1)]


def boundary_value(x):
    n, x = len(x), [0, *x, 0]
    h = 1 / (n + 1)
    return [
        2 * x[i] - x[i - 1] - x[i + 1] + h**2 * (x[i] + i * h + 1) ** 3 / 2 for i in range(1, n + 1)
    ]


def integral_equation(x):
    n, x = len(x), [None, *x]
    h = 1 / (n + 1)
    cube = [None, *((x[j] + j * h + 1) ** 3 for j in range(1, n + 1))]
    rows = []
    for i in range(1, n + 1):
        left = sum(j * h * cube[j] for j in range(1, i + 1))
        right = sum((1 - j * h) * cube[j] for j in range(i + 1, n + 1))
        rows.append(x[i] + h * ((1 - i * h) * left + i * h * right) / 2)
    return rows


def tridiagonal(x):
    n, x = len(x), [0, *x, 0]
    return [(3 - 2 * x[i]) * x[i] - x[i - 1] - 2 * x[i + 1] + 1 for i in range(1, n + 1)]


def banded(x):
    n, rows = len(x), []
    for i in range(n):
        near = [j for j in range(max(0, i - 5), min(n, i + 2)) if j != i]
        rows.append(x[i] * (2 + 5 * x[i] ** 2) + 1 - sum(x[j] * (1 + x[j]) for j in near))
    return rows


def rank_1_zeros(x):
    s = sum(j * x[j - 1] for j in range(2, len(x)))
    return [-1, *((i - 1) * s - 1 for i in range(2, 20)), -1]


def chebyquad(x):
    rows = []
    for i in range(1, len(x) + 1):
        t = [np.polynomial.chebyshev.chebval(2 * v - 1, [0] * i + [1]) for v in x]
        rows.append(np.mean(t) - (0 if i % 2 else -1 / (i**2 - 1)))
    return rows


Y8, Y9, Y10 = mgh_small.BARD, mgh_small.GAUSSIAN, mgh_small.MEYER
Y15, U15 = mgh_small.KOWALIK_OSBORNE, mgh_small.KOWALIK_OSBORNE_U
Y17, Y19 = mgh_small.OSBORNE_1, mgh_small.OSBORNE_2

REFERENCE = {
    "rosenbrock": one(lambda x: [10 * (x[2] - x[1] ** 2), 1 - x[1]]),
    "freudenstein_roth": one(
        lambda x: [
            -13 + x[1] + ((5 - x[2]) * x[2] - 2) * x[2],
            -29 + x[1] + ((x[2] + 1) * x[2] - 14) * x[2],
        ]
    ),
    "powell_badly_scaled": one(
        lambda x: [10**4 * x[1] * x[2] - 1, exp(-x[1]) + exp(-x[2]) - 1.0001]
    ),
    "brown_badly_scaled": one(lambda x: [x[1] - 10**6, x[2] - 2e-6, x[1] * x[2] - 2]),
    "beale": up_to(3, lambda i, x: (1.5, 2.25, 2.625)[i - 1] - x[1] * (1 - x[2] ** i)),
    "jennrich_sampson": up_to(10, lambda i, x: 2 + 2 * i - (exp(i * x[1]) + exp(i * x[2]))),
    "helical_valley": one(
        lambda x: [
            10 * (x[3] - 10 * theta(x[1], x[2])), 10 * (sqrt(x[1] ** 2 + x[2] ** 2) - 1), x[3]
        ]
    ),
    "bard": up_to(
        15, lambda i, x: Y8[i - 1] - (x[1] + i / ((16 - i) * x[2] + min(i, 16 - i) * x[3]))
    ),
    "gaussian": up_to(
        15,
        lambda i, x: x[1] * exp(-x[2] * ((8 - i) / 2 - x[3]) ** 2 / 2) - Y9[min(i, 16 - i) - 1],
    ),
    "meyer": up_to(16, lambda i, x: x[1] * exp(x[2] / (45 + 5 * i + x[3])) - Y10[i - 1]),
    "gulf": up_to(99, gulf),
    "box_3d": up_to(
        10,
        lambda i, x: (
            exp(-0.1 * i * x[1]) - exp(-0.1 * i * x[2]) - x[3] * (exp(-0.1 * i) - exp(-i))
        ),
    ),
    "powell_singular": lambda x: powell(*x),
    "wood": one(
        lambda x: [
            10 * (x[2] - x[1] ** 2), 1 - x[1], 90**0.5 * (x[4] - x[3] ** 2), 1 - x[3],
            10**0.5 * (x[2] + x[4] - 2), 10**-0.5 * (x[2] - x[4]),
        ]
    ),
    "kowalik_osborne": up_to(
        11,
        lambda i, x: (
            Y15[i - 1]
            - x[1] * (U15[i - 1] ** 2 + U15[i - 1] * x[2])
            / (U15[i - 1] ** 2 + U15[i - 1] * x[3] + x[4])
        ),
    ),
    "brown_dennis": up_to(
        20,
        lambda i, x: (
            (x[1] + i / 5 * x[2] - exp(i / 5)) ** 2 + (x[3] + x[4] * sin(i / 5) - cos(i / 5)) ** 2
        ),
    ),
    "osborne_1": up_to(
        33,
        lambda i, x: (
            Y17[i - 1]
            - (x[1] + x[2] * exp(-10 * (i - 1) * x[4]) + x[3] * exp(-10 * (i - 1) * x[5]))
        ),
    ),
    "biggs_exp6": up_to(
        13,
        lambda i, x: (
            x[3] * exp(-i / 10 * x[1]) - x[4] * exp(-i / 10 * x[2]) + x[6] * exp(-i / 10 * x[5])
            - (exp(-i / 10) - 5 * exp(-i) + 3 * exp(-4 * i / 10))
        ),
    ),
    "osborne_2": up_to(
        65,
        lambda i, x: (
            Y19[i - 1]
            - x[1] * exp(-(i - 1) / 10 * x[5])
            - x[2] * exp(-(((i - 1) / 10 - x[9]) ** 2) * x[6])
            - x[3] * exp(-(((i - 1) / 10 - x[10]) ** 2) * x[7])
            - x[4] * exp(-(((i - 1) / 10 - x[11]) ** 2) * x[8])
        ),
    ),
    "watson": watson,
    "extended_rosenbrock": lambda x: np.concatenate(
        [[10 * (x[i + 1] - x[i] ** 2), 1 - x[i]] for i in range(0, len(x), 2)]
    ),
    "extended_powell": lambda x: np.concatenate(
        [powell(*x[i : i + 4]) for i in range(0, len(x), 4)]
    ),
    "penalty_1": lambda x: [*(sqrt(1e-5) * (v - 1) for v in x), sum(v * v for v in x) - 0.25],
    "penalty_2": penalty_2,
    "variably_dimensioned": variably_dimensioned,
    "trigonometric": trigonometric,
    "brown_almost_linear": lambda x: [*(v + sum(x) - (len(x) + 1) for v in x[:-1]), prod(x) - 1],
    "discrete_boundary_value": boundary_value,
    "discrete_integral_equation": integral_equation,
    "broyden_tridiagonal": tridiagonal,
    "broyden_banded": banded,
    "linear_full_rank": lambda x: [(v if i < 10 else 0) - 2 / 20 * sum(x) - 1
                                   for i, v in enumerate([*x, *x])],
    "linear_rank_1": lambda x: [
        i * sum(j * v for j, v in enumerate(x, 1)) - 1 for i in range(1, 21)
    ],
    "linear_rank_1_zeros": rank_1_zeros,
    "chebyquad": chebyquad,
}  # fmt: skip

# The minima to the six digits that the paper prints, by function and n.
PAPER = {
    ("jennrich_sampson", None): 124.362,
    ("bard", None): 8.21487e-3,
    ("gaussian", None): 1.12793e-8,
    ("meyer", None): 87.9458,
    ("kowalik_osborne", None): 3.07505e-4,
    ("brown_dennis", None): 85822.2,
    ("osborne_1", None): 5.46489e-5,
    ("osborne_2", None): 4.01377e-2,
    ("watson", None): 2.28767e-3,
    ("watson", 9): 1.39976e-6,
    ("watson", 12): 4.72238e-10,
    ("penalty_1", 4): 2.24997e-5,
    ("penalty_1", None): 7.08765e-5,
    ("penalty_2", 4): 9.37629e-6,
    ("penalty_2", None): 2.93660e-4,
    ("chebyquad", None): 3.51687e-3,
}
# The values at the standard starts, which hold the starts fast.
AT_START = {
    "rosenbrock": 24.2, "freudenstein_roth": 400.5, "powell_badly_scaled": 1.13526,
    "brown_badly_scaled": 9.99998e+11, "beale": 14.2031, "jennrich_sampson": 4171.31,
    "helical_valley": 2500, "bard": 41.6817, "gaussian": 3.88811e-06, "meyer": 1.69361e+09,
    "gulf": 12.1107, "box_3d": 1031.15, "powell_singular": 215, "wood": 19192,
    "kowalik_osborne": 0.00531317, "brown_dennis": 7.92669e+06, "osborne_1": 0.879026,
    "biggs_exp6": 0.77907, "osborne_2": 2.09342, "watson": 30, "extended_rosenbrock": 121,
    "extended_powell": 645, "penalty_1": 148033, "penalty_2": 162.653,
    "variably_dimensioned": 2.19855e+06, "trigonometric": 0.00707576,
    "brown_almost_linear": 273.248, "discrete_boundary_value": 0.000788519,
    "discrete_integral_equation": 0.0634168, "broyden_tridiagonal": 21, "broyden_banded": 360,
    "linear_full_rank": 50, "linear_rank_1": 8.65867e+06, "linear_rank_1_zeros": 4.068e+06,
    "chebyquad": 0.0386177,
}  # fmt: skip
NO_MINIMISER = {
    "watson", "penalty_1", "penalty_2", "discrete_boundary_value", "discrete_integral_equation",
    "broyden_tridiagonal", "broyden_banded", "linear_rank_1", "linear_rank_1_zeros", "chebyquad",
}  # fmt: skip
# Where the descent ends in a local minimum.
NOT_LOWEST = {"freudenstein_roth": 48.98425367924003, "trigonometric": 2.79505612187943e-5}


def test_all_are_here_in_the_order_of_the_paper():
    assert list(MGH) == list(REFERENCE)
    assert len(MGH) == 35
    assert "Number 19 of the paper" in problems.mgh("osborne_2").description
    assert "end at 48.9843." in problems.mgh("freudenstein_roth").description


@pytest.mark.parametrize("function", MGH)
def test_residuals_are_those_of_the_paper(function, x64):
    problem, rng = problems.mgh(function), np.random.default_rng(0)
    start = np.asarray(problem.start())
    points = [start + scale * np.abs(start) * rng.uniform(-1, 1, len(start)) for scale in (0, 0.3)]
    f = linearized(function)
    for x in points:
        r, slopes = f(x)
        expected = np.array(REFERENCE[function](x.tolist()), np.float64)
        np.testing.assert_allclose(r, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
        assert r.dtype == slopes.dtype == np.float64
        assert slopes.shape == (len(r), len(x))
        assert np.isfinite(slopes).all()
    np.testing.assert_allclose(problem(start), np.sum(f(start)[0] ** 2), rtol=1e-14)
    np.testing.assert_allclose(problem(start), AT_START[function], rtol=SIX_DIGITS)


def test_single_precision_is_kept_and_finite():
    starts = {f: jnp.stack([problems.mgh(f).start()] * 2) for f in MGH}

    def lanes(starts):
        return {f: jax.vmap(jax.value_and_grad(problems.mgh(f)))(x) for f, x in starts.items()}

    # One program for all: it compiles faster than 35 do.
    for function, (values, grads) in jax.jit(lanes, compiler_options=FAST)(starts).items():
        assert (values.dtype, grads.dtype) == (jnp.float32, jnp.float32), function
        assert bool(jnp.isfinite(values).all() & jnp.isfinite(grads).all()), function
        x = np.float64(starts[function][0]).tolist()
        expected = np.sum(np.square(REFERENCE[function](x)))
        np.testing.assert_allclose(values, expected, rtol=1e-3, err_msg=function)


@pytest.mark.parametrize("function", MGH)
def test_a_descent_from_the_start_reaches_what_is_known(function, x64):
    problem = problems.mgh(function)
    value, expected = fit(function, problem.start()), NOT_LOWEST.get(function, problem.minimum)
    np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-25)
    assert expected == problem.minimum or expected in MGH[function].others


@pytest.mark.parametrize(("function", "n"), PAPER)
def test_minima_have_the_digits_of_the_paper(function, n, x64):
    problem = problems.mgh(function, n)
    np.testing.assert_allclose(problem.minimum, PAPER[function, n], rtol=SIX_DIGITS)
    np.testing.assert_allclose(fit(function, problem.start(), n), problem.minimum, rtol=1e-8)


@pytest.mark.parametrize("function", [f for f in MGH if f not in NO_MINIMISER])
def test_minimisers_are_stationary(function, x64):
    problem = problems.mgh(function)
    r, slopes = linearized(function)(problem.minima[0])
    np.testing.assert_allclose(np.sum(r**2), problem.minimum, rtol=1e-11, atol=1e-18)
    # The cosines between the residuals and the columns, which know no scale.
    lengths = np.linalg.norm(slopes, axis=0) * np.linalg.norm(r)
    assert np.all(np.abs(slopes.T @ r) <= 1e-9 * lengths + 1e-300) or np.sum(r**2) < 1e-18


def test_other_values_are_limits_and_local_minima(x64):
    (bard,), (kowalik,), (biggs,), (brown,) = (
        MGH[f].others for f in ("bard", "kowalik_osborne", "biggs_exp6", "brown_almost_linear")
    )
    # As x2 and x3 go to minus infinity only the constant is left.
    np.testing.assert_allclose(bard, np.sum((Y8 - Y8.mean()) ** 2), rtol=1e-14)
    far = least_squares(
        lambda c: Y15 - c[0] * (U15**2 + U15 * c[1]) / (U15 * c[2] + 1), [-0.04, -14, 1.6],
        method="lm", xtol=1e-15, ftol=1e-15,
    )  # fmt: skip
    np.testing.assert_allclose(kowalik, 2 * far.cost, rtol=1e-12)
    np.testing.assert_allclose([kowalik, biggs], [1.02734e-3, 5.65565e-3], rtol=SIX_DIGITS)
    end = problems.mgh("brown_almost_linear")(jnp.zeros(10).at[-1].set(11.0))
    assert float(end) == brown


def test_chebyquad_in_ten_dimensions_has_a_minimum_below_the_paper_s(x64):
    low = [0.075, 0.172, 0.286, 0.36, 0.471, 0.617, 0.617, 0.8, 0.845, 0.967]
    np.testing.assert_allclose(fit("chebyquad", low, 10), problems.mgh("chebyquad", 10).minimum)
    start = problems.mgh("chebyquad", 10).start()
    np.testing.assert_allclose(fit("chebyquad", start, 10), 6.50395e-3, rtol=SIX_DIGITS)


def test_tables_agree_with_those_of_nist():
    for y, x, dataset in ((Y10, None, "MGH10"), (Y15, U15, "MGH09"), (Y17, None, "MGH17")):
        given = problems.nist(dataset).residuals.keywords
        np.testing.assert_array_equal(given["y"], y)
        assert x is None or np.array_equal(given["x"], x)


def test_sizes_can_be_chosen():
    assert problems.mgh("gulf", m=20).name == "mgh_gulf_20"
    for function, n, m, size in (
        ("gulf", None, 20, 20), ("watson", 9, None, 31), ("linear_rank_1", 3, 5, 5),
        ("linear_full_rank", 30, None, 60), ("chebyquad", 4, 9, 9), ("penalty_2", 2, None, 4),
        ("extended_powell", 4, None, 4), ("variably_dimensioned", 1, None, 3),
    ):  # fmt: skip
        problem = problems.mgh(function, n, m)
        assert jax.eval_shape(problem.residuals, problem.start()).shape == (size,)
    for m in (4, 9):
        problem = problems.mgh("linear_full_rank", 4, m)
        assert problem.minimum == m - 4
        np.testing.assert_allclose(problem(problem.minima[0]), m - 4, rtol=1e-6, atol=1e-10)
    for unknown in (("jennrich_sampson", None, 12), ("watson", 7, None), ("chebyquad", 4, 5)):
        assert problems.mgh(*unknown).minimum is None
    assert problems.mgh("penalty_1", 4).residuals is problems.mgh("penalty_1", 4).residuals
    assert problems.mgh("gulf", m=20).loss is problems.mgh("gulf", m=20).loss


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (r"no 'rosenbrok'. Did you mean 'rosenbrock'\?", {"function": "rosenbrok"}),
        ("n of 'bard' is 3; got 4", {"function": "bard", "n": 4}),
        ("n of 'watson' is an int >= 2 and <= 31; got 32", {"function": "watson", "n": 32}),
        (">= 4, a multiple of 4; got 6", {"function": "extended_powell", "n": 6}),
        ("m of 'bard' follows from n", {"function": "bard", "m": 15}),
        ("m of 'gulf' is an int >= 3 and <= 99; got 100", {"function": "gulf", "m": 100}),
        ("m of 'chebyquad' is an int >= 6; got 5", {"function": "chebyquad", "n": 6, "m": 5}),
        ("got True", {"function": "penalty_1", "n": True}),
    ],
)
def test_a_wrong_choice_is_named(text, options):
    with pytest.raises(ValueError, match=text):
        problems.get("mgh", **options)


def test_residuals_must_be_a_function():
    with pytest.raises(TypeError, match="residuals must be a function or None"):
        Problem(jnp.sum, jnp.ones(2), residuals=3.0)
