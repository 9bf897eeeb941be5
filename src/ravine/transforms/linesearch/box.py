"""Bounds on parameters, and what a line becomes between them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import ravel
from ravine.core.rule import rule
from ravine.core.types import Space


@rule
class Box:
    """Bounds ``lower <= x <= upper``, element by element.

    Args:
        lower: a number for all, or a tree shaped like the parameters, or like the upper part
            of it, of numbers and arrays that broadcast to their leaves; may be ``-inf``. Of a
            complex parameter it bounds the real and the imaginary part.
        upper: the same; may be ``inf``.
    """

    lower: Any
    upper: Any
    # A sweep takes an array here for what it is, not for a list of numbers to try.
    takes_arrays = True

    def __post_init__(self) -> None:
        for name in ("lower", "upper"):
            for b in jax.tree.leaves(getattr(self, name), is_leaf=lambda b: b is None):
                if not _is_bound(b):
                    raise TypeError(
                        f"{name} must be a number, or a tree of numbers and arrays, none of them "
                        f"NaN, got {b!r}."
                    )

    def line(self, params: Any, dtype: Any) -> "Line":
        """The bounds as vectors.

        Raises:
            ValueError: if a bound does not fit the parameters.
        """
        return Line(*(self._vector(n, params, dtype) for n in ("lower", "upper")))

    def _vector(self, name: str, params: Any, dtype: Any) -> jax.Array:
        def leaf(b: Any, x: Any) -> jax.Array:
            part = jnp.real(jnp.asarray(x))
            wide = jnp.broadcast_to(jnp.asarray(b).astype(part.dtype), part.shape)
            return jax.lax.complex(wide, wide) if jnp.iscomplexobj(x) else wide

        def spread(b: Any, part: Any) -> Any:
            return jax.tree.map(lambda x: leaf(b, x), part)

        try:
            return ravel(jax.tree.map(spread, getattr(self, name), params), dtype)
        except ValueError as error:
            raise ValueError(
                f"{name} must be a number, or a tree of bounds that broadcast to the leaves of "
                f"the parameters: {error}"
            ) from error


def _is_bound(b: Any) -> bool:
    if isinstance(b, Space | jax.core.Tracer | jax.ShapeDtypeStruct):
        return True
    if isinstance(b, bool) or not isinstance(b, int | float | np.ndarray | np.generic | jax.Array):
        return False
    bound = np.asarray(b)
    return bound.dtype.kind in "fiu" and not bool(np.isnan(bound).any())


class Line(NamedTuple):
    """Points on a line, projected into a box if there is one; P parameters."""

    low: Any = None  # (P,)
    high: Any = None

    def clip(self, x: jax.Array) -> jax.Array:
        """The nearest point inside."""
        return x if self.low is None else jnp.clip(x, self.low, self.high)

    def velocity(self, x: jax.Array, d: jax.Array) -> jax.Array:
        """How the projection of ``x`` moves with ``x`` along ``d``: not at all across a bound."""
        if self.low is None:
            return d
        free = ((x > self.low) | (d > 0)) & ((x < self.high) | (d < 0))
        return jnp.where(free & (self.low < self.high), d, 0)

    def step(self, x: jax.Array, target: jax.Array) -> jax.Array:
        """``target - x``, shortened where rounding in adding it to ``x`` would cross a bound."""
        u = target - x
        if self.low is None:
            return u
        over, under = x + u > self.high, x + u < self.low
        digit = 2 * jnp.finfo(u.dtype).eps * jnp.maximum(jnp.abs(x), jnp.abs(target))
        return u + jnp.where(under, digit, jnp.where(over, -digit, 0))

    def gradient(self, x: jax.Array, g: jax.Array) -> jax.Array:
        """``x - P(x - g)``, which is zero where no step inside the box leads down."""
        return g if self.low is None else x - self.clip(x - g)
