"""A loss that is a sum of squares, and carries what is squared."""

import dataclasses
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax

from ravine.core.flat import dot, ravel


@dataclasses.dataclass(frozen=True)
class LeastSquares:
    r"""Half the sum of the squares of residuals, as a loss for every optimizer.

    .. math::
        f(\theta) = \tfrac12 \|r(\theta)\|^2

    First-order methods see a loss like any other. ``minimize`` and ``sweep`` hand the residuals
    to ``GaussNewton`` and ``LevenbergMarquardt`` as the extra argument ``residual_fn``, so
    all of them can stand in one sweep.

    Args:
        residuals: ``residuals(params)``, with the batch, ``args`` and a key behind it as far as
            they are asked for; returns an array, or a tree of arrays, of floats.

    Raises:
        TypeError: if ``residuals`` is no function.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> loss = LeastSquares(
    ...     lambda x: jnp.array([10.0, 1.0]) * jnp.array([x[1] - x[0] ** 2, 1 - x[0]])
    ... )
    >>> result = rv.minimize(loss, jnp.array([-1.2, 1.0]), rv.LevenbergMarquardt(), steps=100)
    >>> result.params
    Array([1., 1.], dtype=float32)
    """

    residuals: Callable[..., Any]

    def __post_init__(self) -> None:
        if not callable(self.residuals):
            raise TypeError(
                f"LeastSquares: residuals must be a function of the parameters, got "
                f"{self.residuals!r}. Give the function itself, not its value."
            )
        # It is called as they are; a builtin may not know how.
        with suppress(ValueError):
            object.__setattr__(self, "__signature__", inspect.signature(self.residuals))

    def __call__(self, params: Any, *inputs: Any) -> jax.Array:
        """Half the sum of the squares at ``params``."""
        r = ravel(self.residuals(params, *inputs))
        return dot(r, r) / 2
