"""The 27 nonlinear regressions of NIST's Statistical Reference Datasets.

``nist("Thurber")`` is a problem whose minimum NIST certifies to eleven digits, found in
quadruple precision; ``certified("Thurber")`` is what there is to compare a fit with.
"""

import difflib
import json
import math
from collections.abc import Callable
from functools import cache, partial
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.problems.problem import Problem
from ravine.problems.squares import in_squares, like

Model = Callable[[jax.Array, jax.Array], jax.Array]


class Certified(NamedTuple):
    """What NIST certifies of a data set, and its two starts; all in double precision."""

    parameters: np.ndarray
    deviations: np.ndarray
    sum_of_squares: float
    starts: tuple[np.ndarray, np.ndarray]
    level: str


def nist(dataset: str = "Misra1a", start: int = 1) -> Problem:
    r"""Fit a model of NIST's to its data set, the sum of the squares of what is left over.

    .. math::
        f(b) = \sum_i (y_i - g(x_i; b))^2

    ``residuals`` is the vector of :math:`y_i - g(x_i; b)`, ``minima`` holds the certified
    parameters and ``minimum`` the certified sum. Starts and scales are harsh on purpose: many
    fits need double precision (``jax_enable_x64``) and a method that knows curvature.

    Args:
        dataset: its name in NIST's spelling; ``NIST`` lists the names, from easy to hard.
        start: 1, the start far off, or 2, the one nearer to the solution.

    Raises:
        ValueError: if there is no such data set, or the start is neither 1 nor 2.

    Reference: National Institute of Standards and Technology, Statistical Reference Datasets:
    Nonlinear Regression, https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.

    >>> rat42 = nist("Rat42", start=2)
    >>> rat42.start().tolist(), rat42.residuals(rat42.start()).shape
    ([75.0, 2.5, 0.07], (9,))
    >>> rat42.minimum
    8.0565229338
    """
    known = certified(dataset)
    if type(start) is not int or start not in (1, 2):
        raise ValueError(f"nist: start must be 1 or 2, got {start!r}.")
    return in_squares(
        residuals_of(dataset),
        known.starts[start - 1].tolist(),
        [known.parameters.tolist()],
        name=f"nist_{dataset}" + ("" if start == 1 else f"_{start}"),
        minimum=known.sum_of_squares,
        citation=f"{_read()[dataset]['reference'].rstrip('.')}; NIST StRD, "
        "https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.",
        description=f"A nonlinear regression that NIST ranks {known.level.lower()} in difficulty.",
    )


def certified(dataset: str) -> Certified:
    """The certified parameters, standard deviations and sum of squares of a data set.

    Raises:
        ValueError: if there is no such data set.

    >>> certified("BoxBOD").deviations.tolist()
    [12.354515176, 0.10455993237]
    """
    if dataset not in MODELS:
        close = difflib.get_close_matches(str(dataset), MODELS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"nist: there is no data set {dataset!r}.{hint} They are {', '.join(MODELS)}."
        )
    known = _read()[dataset]
    first, second = map(np.array, known["starts"])
    return Certified(
        np.array(known["parameters"]),
        np.array(known["deviations"]),
        known["sum_of_squares"],
        (first, second),
        known["level"],
    )


@cache  # one function a data set, so that a program compiles once
def residuals_of(dataset: str) -> Callable[..., jax.Array]:
    """The function from parameters to what the model leaves over, ``y - g(x; b)``."""
    known = _read()[dataset]
    y, x = np.array(known["y"]), np.array(known["x"])
    if dataset == "Nelson":
        y = np.log(y)  # its model is one of the logarithm
    return partial(_residuals, x=x if len(x) > 1 else x[0], y=y, model=MODELS[dataset])


def _residuals(b: jax.Array, x: np.ndarray, y: np.ndarray, model: Model) -> jax.Array:
    b = jnp.asarray(b)
    return like(y, b) - model(like(x, b), b)


@cache
def _read() -> dict[str, Any]:
    return dict(json.loads(resources.files("ravine.problems").joinpath("nist.json").read_text()))


# The models, as NIST writes them.


def _misra1a(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * (1 - jnp.exp(-b[1] * x))


def _misra1b(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def _misra1c(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5)


def _misra1d(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * b[1] * x * (1 + b[1] * x) ** -1


def _chwirut(x: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.exp(-b[0] * x) / (b[1] + b[2] * x)


def _lanczos(x: jax.Array, b: jax.Array) -> jax.Array:
    terms = [b[i] * jnp.exp(-b[i + 1] * x) for i in (0, 2, 4)]
    return terms[0] + terms[1] + terms[2]


def _gauss(x: jax.Array, b: jax.Array) -> jax.Array:
    first = b[2] * jnp.exp(-((x - b[3]) ** 2) / b[4] ** 2)
    second = b[5] * jnp.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * jnp.exp(-b[1] * x) + first + second


def _danwood(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * x ** b[1]


def _kirby2(x: jax.Array, b: jax.Array) -> jax.Array:
    return (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2)


def _cubics(x: jax.Array, b: jax.Array) -> jax.Array:
    above = b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3
    return above / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def _nelson(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] - b[1] * x[0] * jnp.exp(-b[2] * x[1])


def _mgh09(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])


def _mgh10(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * jnp.exp(b[1] / (x + b[2]))


def _mgh17(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] + b[1] * jnp.exp(-x * b[3]) + b[2] * jnp.exp(-x * b[4])


def _roszman1(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] - b[1] * x - jnp.arctan(b[2] / (x - b[3])) / math.pi


def _enso(x: jax.Array, b: jax.Array) -> jax.Array:
    # Years, and two cycles whose lengths are fitted.
    def cycle(length: Any, cosine: jax.Array, sine: jax.Array) -> jax.Array:
        angle = 2 * math.pi * x / length
        return cosine * jnp.cos(angle) + sine * jnp.sin(angle)

    return b[0] + cycle(12, b[1], b[2]) + cycle(b[3], b[4], b[5]) + cycle(b[6], b[7], b[8])


def _rat42(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] / (1 + jnp.exp(b[1] - b[2] * x))


def _rat43(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] / (1 + jnp.exp(b[1] - b[2] * x)) ** (1 / b[3])


def _eckerle4(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] / b[1] * jnp.exp(-0.5 * ((x - b[2]) / b[1]) ** 2)


def _bennett5(x: jax.Array, b: jax.Array) -> jax.Array:
    return b[0] * (b[1] + x) ** (-1 / b[2])


MODELS: dict[str, Model] = {
    "Misra1a": _misra1a,
    "Chwirut2": _chwirut,
    "Chwirut1": _chwirut,
    "Lanczos3": _lanczos,
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "DanWood": _danwood,
    "Misra1b": _misra1b,
    "Kirby2": _kirby2,
    "Hahn1": _cubics,
    "Nelson": _nelson,
    "MGH17": _mgh17,
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Gauss3": _gauss,
    "Misra1c": _misra1c,
    "Misra1d": _misra1d,
    "Roszman1": _roszman1,
    "ENSO": _enso,
    "MGH09": _mgh09,
    "Thurber": _cubics,
    "BoxBOD": _misra1a,
    "Rat42": _rat42,
    "MGH10": _mgh10,
    "Eckerle4": _eckerle4,
    "Rat43": _rat43,
    "Bennett5": _bennett5,
}
"""The model of every data set: a function of the predictor and the parameters."""

NIST: tuple[str, ...] = tuple(MODELS)
"""The names of the data sets, from easy to hard as NIST ranks them."""
