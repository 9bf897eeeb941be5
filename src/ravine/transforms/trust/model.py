"""What a trust-region method believes of the loss near a point: a quadratic model."""

from typing import Any, NamedTuple

import jax

from ravine.core.types import Params


class Proposal(NamedTuple):
    """A step within the trust radius, and what the model says of it; P parameters."""

    step: jax.Array  # (P,)
    predicted: jax.Array  # by how much the loss will fall; at least 0
    slope: jax.Array  # of the loss along the whole step; at most 0
    length: jax.Array  # in the norm of the radius
    free: jax.Array  # whether the radius does not hold it back; bool


class Model:
    """A quadratic model of the loss: plain data, with numbers as leaves."""

    def init(self, x: jax.Array) -> Any:
        """Return the state before the first point."""
        raise NotImplementedError

    def look(
        self, state: Any, x: jax.Array, accepted: jax.Array, like: Params, extra: dict[str, Any]
    ) -> tuple[Any, jax.Array]:
        """Return the state at ``x`` where that is accepted, and whether it is finite."""
        raise NotImplementedError

    def length(self, state: Any, x: jax.Array) -> jax.Array:
        """The length of a vector, in the norm of the radius."""
        raise NotImplementedError

    def propose(
        self,
        state: Any,
        x: jax.Array,
        g: jax.Array,
        radius: jax.Array,
        like: Params,
        extra: dict[str, Any],
    ) -> Proposal:
        """Return the best step from ``x`` that is no longer than ``radius``."""
        raise NotImplementedError
