"""What a trust-region method believes of the loss near a point: a quadratic model."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.types import Params


class Proposal(NamedTuple):
    """A step within the trust radius, and what the model says of it; P parameters."""

    step: jax.Array  # (P,)
    predicted: jax.Array  # by how much the loss will fall; at least 0
    slope: jax.Array  # of the loss along the whole step; at most 0
    length: jax.Array  # in the norm of the radius
    free: jax.Array  # whether the radius does not hold it back; bool

    def shortened(self, share: jax.Array) -> "Proposal":
        """A share of the step, of which the model says as much as of the whole."""
        bend = self.predicted + self.slope
        return Proposal(
            step=share * self.step,
            predicted=share * (share * bend - self.slope),
            slope=share * self.slope,
            length=share * self.length,
            free=jnp.zeros((), bool),
        )


class Model:
    """A quadratic model of the loss: plain data, with numbers as leaves."""

    keeps: ClassVar[bool] = True
    """Whether its state is all that it needs to propose another step from an accepted point."""

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
        """Return the best step from the accepted point that is no longer than ``radius``.

        ``g`` is the gradient there, and ``x`` the point of the last evaluation: the same point,
        except that a model that ``keeps`` its state is asked after a rejected trial too.
        """
        raise NotImplementedError
