"""Grids: spaces whose numbers are all tried, every grid crossed with every other."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import Positive, Space, Static
from ravine.spaces.distributions import as_numbers, listed, ordered


class Axis(Space):
    """A space with a fixed list of numbers."""

    @property
    def size(self) -> int:
        """How many numbers there are."""
        raise NotImplementedError

    def values(self) -> jax.Array:
        """All the numbers, in order: shape ``(size,)``."""
        raise NotImplementedError


@rule
class Grid(Axis):
    """The given numbers, each tried with every point of the other grids.

    >>> Grid([0.1, 0.2])
    Grid([0.1, 0.2])
    """

    points: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", as_numbers("Grid", self.points))

    @property
    def size(self) -> int:
        return int(self.points.shape[0])

    def bounds(self) -> tuple[Any, Any]:
        return self.points.min(), self.points.max()

    def values(self) -> jax.Array:
        return jnp.asarray(self.points)

    def __repr__(self) -> str:
        return f"Grid({listed(self.points)})"


@rule
class LogGrid(Axis):
    """``n`` numbers from ``low`` to ``high``, both included, evenly spaced on a log scale.

    >>> LogGrid(1e-3, 1.0, 4).values().round(4).tolist()
    [0.001, 0.01, 0.1, 1.0]
    """

    low: Positive
    high: Positive
    n: Static[int]

    def __post_init__(self) -> None:
        ordered(self)
        if self.n < 1:
            raise ValueError(f"LogGrid: n must be at least 1, got {self.n}.")

    @property
    def size(self) -> int:
        return self.n

    def bounds(self) -> tuple[Any, Any]:
        return self.low, self.high

    def values(self) -> jax.Array:
        low, high = jnp.asarray(self.low, float), jnp.asarray(self.high, float)
        inner = jnp.exp(jnp.linspace(jnp.log(low), jnp.log(high), self.n))
        # The ends are exact: no rounding of exp(log(x)) shows.
        return jnp.clip(inner, low, high).at[-1].set(high).at[0].set(low)
