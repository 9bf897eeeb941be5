"""The last step and what the gradient did on it: what quasi-Newton methods learn from."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.flat import dot


class Secant(NamedTuple):
    """A pair of a step ``s`` and the change ``y`` of the gradient on it; P parameters."""

    s: jax.Array  # (P,)
    y: jax.Array  # (P,)
    sy: jax.Array  # s'y, and 1 where it is not curved
    yy: jax.Array  # y'y, and 1 where it is not curved
    ss: jax.Array  # s's
    begun: jax.Array  # whether there was a last point; bool
    curved: jax.Array  # whether s'y > 0, and more than rounding could have made of it; bool


class Last(NamedTuple):
    """The last accepted point and its gradient; P parameters."""

    begun: jax.Array  # whether there is one; bool
    params: jax.Array  # (P,)
    updates: jax.Array  # (P,)

    @classmethod
    def none(cls, x: jax.Array) -> "Last":
        """Before the first point."""
        return cls(jnp.zeros((), bool), jnp.zeros_like(x), jnp.zeros_like(x))

    def pair(self, x: jax.Array, g: jax.Array, accepted: Any) -> Secant:
        """The pair from this point to another."""
        # The gradient at a refused trial may be no number.
        s, y = x - self.params, jnp.where(accepted, g - self.updates, 0)
        sy, yy, ss = dot(s, y), dot(y, y), dot(s, s)
        curved = self.begun & accepted & (sy > jnp.finfo(x.dtype).eps * jnp.sqrt(ss * yy))
        sy, yy = jnp.where(curved, sy, 1), jnp.where(curved, yy, 1)
        return Secant(s, y, sy, yy, ss, self.begun, curved)

    def moved(self, x: jax.Array, g: jax.Array, accepted: Any) -> "Last":
        """The other point in the place of this one, if it is accepted."""
        params, updates = jnp.where(accepted, x, self.params), jnp.where(accepted, g, self.updates)
        return Last(self.begun | accepted, params, updates)


def latest(own: Last | None, given: Last | None) -> Last:
    """The last point in the state, or the one given by a line search that keeps it instead."""
    last = given if own is None else own
    if last is None:
        raise TypeError("a state without the last point needs it at update: last=Last(...).")
    return last


def shrink(g: jax.Array) -> jax.Array:
    """``min(1, 1 / |g|)``: the scale of a first step, before anything is known."""
    return jax.lax.rsqrt(jnp.maximum(dot(g, g), 1))
