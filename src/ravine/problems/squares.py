"""Problems that are sums of squares, made of their residuals."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.problems.problem import Problem

Residuals = Callable[..., jax.Array]


def in_squares(
    residuals: Residuals,
    start: Sequence[float],
    minima: Sequence[Sequence[float]] = (),
    **known: Any,
) -> Problem:
    """A problem on vectors: start in the default float dtype, minima in double precision."""
    points = tuple(np.array(x, np.float64) for x in minima)
    return Problem(
        sum_of_squares(residuals),
        jnp.asarray(start, float),
        residuals=residuals,
        minima=points,
        **known,
    )


@cache  # the same residuals give the same loss, so that a program compiles once
def sum_of_squares(residuals: Residuals) -> Callable[..., Any]:
    """The loss ``sum r^2``, whole: neither its half nor its mean."""
    return partial(_sum_of_squares, residuals=residuals)


def _sum_of_squares(x: jax.Array, residuals: Residuals) -> jax.Array:
    return jnp.sum(residuals(x) ** 2)


def like(values: Any, x: jax.Array) -> jax.Array:
    """Constants, kept in double precision, in the dtype of ``x``."""
    return jnp.asarray(values, x.dtype)


def product(matrix: np.ndarray, x: jax.Array) -> jax.Array:
    """``matrix @ x`` in full precision on every machine."""
    return jnp.matmul(like(matrix, x), x, precision="highest")
