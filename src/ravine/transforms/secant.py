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

    def to(self, x: jax.Array, g: jax.Array, accepted: Any) -> tuple[Secant, "Last"]:
        """The pair from the last point to this one, and this one in its place."""
        # The gradient at a refused trial may be no number.
        s, y = x - self.params, jnp.where(accepted, g - self.updates, 0)
        sy, yy, ss = dot(s, y), dot(y, y), dot(s, s)
        curved = self.begun & accepted & (sy > jnp.finfo(x.dtype).eps * jnp.sqrt(ss * yy))
        pair = Secant(s, y, jnp.where(curved, sy, 1), jnp.where(curved, yy, 1), ss, curved)
        params, updates = jnp.where(accepted, x, self.params), jnp.where(accepted, g, self.updates)
        return pair, Last(self.begun | accepted, params, updates)


def shrink(g: jax.Array) -> jax.Array:
    """``min(1, 1 / |g|)``: the scale of a first step, before anything is known."""
    return jax.lax.rsqrt(jnp.maximum(dot(g, g), 1))
