"""Linear and logistic regression on drawn data, with the minimisers worked out.

Both models are ``intercept + slope . x``. A plain number for the slope makes the textbook's
line, whose x are numbers too; a sequence, or a ``dimension``, makes x rows of features.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import as_key
from ravine.problems.problem import Problem

Batch = tuple[jax.Array, jax.Array]


def linear_model(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """``intercept + slope . x``, one number a row of ``x``."""
    return jnp.dot(x, params["slope"], precision="highest") + params["intercept"]


def mean_squared_error(params: dict[str, jax.Array], batch: Batch) -> jax.Array:
    """``mean (intercept + slope . x - y)^2``: the mean itself, not half of it."""
    x, y = batch
    return jnp.mean((linear_model(params, x) - y) ** 2)


def linear_regression(
    n: int = 100,
    intercept: float = 5.0,
    slope: float | Sequence[float] = 2.0,
    noise: float = 1.0,
    key: Any = 0,
    dimension: int | None = None,
) -> Problem:
    r"""Least squares on the line :math:`y = 5 + 2x` with noise, or on a plane of any dimension.

    .. math::
        f(a, b) = \tfrac1n \sum_i (a + b \cdot x_i - y_i)^2, \qquad
        y_i = 5 + 2 x_i + \sigma z_i, \quad x_i, z_i \sim N(0, 1).

    The start is zero, and ``minima`` holds the least-squares solution.

    Args:
        n: the number of examples, more than the number of parameters.
        intercept: the true intercept.
        slope: the true slope; a sequence gives one for each feature.
        noise: the standard deviation :math:`\sigma` of the noise, at least 0.
        key: a seed or a random key, from which the data are drawn.
        dimension: the number of features; a slope that is one number is then repeated.

    Raises:
        ValueError: if there are too few examples, or slope and dimension disagree.

    >>> line = linear_regression()
    >>> {name: round(float(x), 2) for name, x in line.minima[0].items()}
    {'intercept': 4.79, 'slope': 1.98}
    """
    if not noise >= 0:
        raise ValueError(f"linear_regression: noise must be at least 0, got {noise!r}.")
    slopes = _slopes(slope, dimension)
    _check_examples("linear_regression", n, slopes.size + 1)
    x_key, noise_key = jax.random.split(as_key(key))
    x = jax.random.normal(x_key, (n, *slopes.shape), float)
    line = {"intercept": jnp.asarray(intercept, float), "slope": jnp.asarray(slopes, float)}
    y = linear_model(line, x) + float(noise) * jax.random.normal(noise_key, (n,), float)

    design, target = _design(x), np.asarray(y, np.float64)
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    return Problem(
        mean_squared_error,
        jax.tree.map(jnp.zeros_like, line),
        name="linear_regression",
        data=(x, y),
        minima=(_as_params(solution, slopes.shape),),
        minimum=np.mean((design @ solution - target) ** 2),
        description="Ordinary least squares: a convex quadratic with a solution in closed form.",
    )


def logistic_regression(
    n: int = 200, dimension: int | None = 2, key: Any = 0, l2: float = 1e-2
) -> Problem:
    r"""Logistic regression on labels drawn from a logistic model, with a penalty on the slope.

    .. math::
        f(a, b) = \tfrac1n \sum_i [\log(1 + e^{s_i}) - y_i s_i] + \tfrac\lambda2 \|b\|^2,
        \qquad s_i = a + b \cdot x_i, \quad x_i \sim N(0, I), \quad y_i \in \{0, 1\}.

    The start is zero, and ``minima`` holds the solution that Newton's method found.

    Args:
        n: the number of examples, more than the number of parameters.
        dimension: the number of features; ``None`` makes x plain numbers.
        key: a seed or a random key, from which the data and the true slope are drawn.
        l2: the penalty :math:`\lambda`, at least 0; the intercept is free of it.

    Raises:
        ValueError: if a number is out of its range, or there is no minimum because the drawn
            labels can be told apart without error and nothing penalises the slope.

    >>> problem = logistic_regression()
    >>> bool(problem(problem.minima[0]) < problem(problem.start()))
    True
    """
    if not l2 >= 0:
        raise ValueError(f"logistic_regression: l2 must be at least 0, got {l2!r}.")
    shape = _slopes(0.0, dimension).shape
    _check_examples("logistic_regression", n, math.prod(shape) + 1)
    x_key, slope_key, label_key = jax.random.split(as_key(key), 3)
    x = jax.random.normal(x_key, (n, *shape), float)
    truth = {
        "intercept": jnp.asarray(0.5, float),
        "slope": jax.random.normal(slope_key, shape, float),
    }
    y = jax.random.bernoulli(label_key, jax.nn.sigmoid(linear_model(truth, x))).astype(float)

    solution, value = _newton(_design(x), np.asarray(y, np.float64), l2)
    return Problem(
        _logistic_loss(float(l2)),
        jax.tree.map(jnp.zeros_like, truth),
        name="logistic_regression",
        data=(x, y),
        minima=(_as_params(solution, shape),),
        minimum=value,
        description="Convex and smooth, flat far from the minimum.",
    )


def logistic_loss(params: dict[str, jax.Array], batch: Batch, l2: float = 0.0) -> jax.Array:
    """``mean(log(1 + e^s) - y s) + l2/2 |slope|^2`` with ``s = intercept + slope . x``."""
    x, y = batch
    s = linear_model(params, x)
    return jnp.mean(jax.nn.softplus(s) - y * s) + 0.5 * l2 * jnp.sum(params["slope"] ** 2)


@cache  # the same penalty gives the same function, so that a program compiles once
def _logistic_loss(l2: float) -> Callable[..., Any]:
    return partial(logistic_loss, l2=l2)


def _newton(design: np.ndarray, y: np.ndarray, l2: float) -> tuple[np.ndarray, float]:
    """The minimiser and the minimum of the logistic loss, by Newton's method with halved steps."""
    penalty = np.full(design.shape[1], l2)
    penalty[0] = 0.0
    signed = design * (2 * y - 1)[:, None]  # signed @ theta is how far on its own side a row lies

    def loss(theta: np.ndarray) -> float:
        return float(np.mean(np.logaddexp(0, -signed @ theta)) + 0.5 * penalty @ theta**2)

    theta = np.zeros(design.shape[1])
    for _ in range(40):
        wrong = np.exp(-np.logaddexp(0, signed @ theta))
        gradient = penalty * theta - signed.T @ wrong / len(y)
        weighted = design * (wrong * (1 - wrong))[:, None]
        try:
            step = np.linalg.solve(design.T @ weighted / len(y) + np.diag(penalty), gradient)
        except np.linalg.LinAlgError:
            break
        # What a step gains, over the loss: it stays near 1 on a slope that runs off to infinity.
        gain, size = gradient @ step / loss(theta), 1.0
        while gain > 1e-6 and loss(theta - size * step) > loss(theta) and size > 1e-6:
            size /= 2
        theta = theta - size * step
        if gain < 1e-16:
            return theta, loss(theta)
    raise ValueError(
        "logistic_regression: the loss has no minimum, since the drawn labels are all equal or can "
        "be told apart without error. Give l2 > 0, more examples (n), or another key."
    )


def _slopes(slope: Any, dimension: int | None) -> np.ndarray:
    """The slope as a number, or as one for each of ``dimension`` features."""
    slope = np.asarray(slope, np.float64)
    if dimension is None:
        fits = slope.ndim <= 1 and slope.size > 0
    else:
        fits = type(dimension) is int and dimension > 0 and slope.shape in ((), (dimension,))
    if not fits:
        raise ValueError(
            "regression: dimension is the number of features, an int of at least 1, and slope a "
            f"number or that many; got slope of shape {slope.shape} and dimension={dimension!r}."
        )
    return slope if dimension is None else np.broadcast_to(slope, (dimension,))


def _check_examples(name: str, n: Any, parameters: int) -> None:
    if not isinstance(n, int) or n <= parameters:
        raise ValueError(
            f"{name}: n is the number of examples, an int greater than the number of parameters, "
            f"{parameters}; got {n!r}."
        )


def _design(x: jax.Array) -> np.ndarray:
    """The rows ``(1, x)`` in double precision."""
    rows = np.asarray(x, np.float64).reshape(len(x), -1)
    return np.column_stack([np.ones(len(rows)), rows])


def _as_params(solution: np.ndarray, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"intercept": np.asarray(solution[0]), "slope": solution[1:].reshape(shape)}
