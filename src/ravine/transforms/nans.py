"""Replace what is not a number."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import Params, Transform, Updates


class ZeroNansState(NamedTuple):
    """For each leaf, whether its last update held a NaN."""

    found_nan: Updates


@rule
class ZeroNans(Transform):
    """Replace NaN by zero, and say in the state which leaves held any.

    Infinite elements stay as they are: see ``Clip``.

    >>> import jax.numpy as jnp
    >>> transform = ZeroNans()
    >>> g = {"w": jnp.array([1.0, jnp.nan]), "b": jnp.ones(1)}
    >>> u, state = transform.update(g, transform.init(g))
    >>> u["w"], state.found_nan["w"], state.found_nan["b"]
    (Array([1., 0.], dtype=float32), Array(True, dtype=bool), Array(False, dtype=bool))
    """

    def init(self, params: Params) -> ZeroNansState:
        return ZeroNansState(jax.tree.map(lambda _: jnp.zeros((), bool), params))

    def update(
        self, updates: Updates, state: ZeroNansState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ZeroNansState]:
        found = jax.tree.map(lambda u: jnp.any(jnp.isnan(u)), updates)
        new = jax.tree.map(lambda u: jnp.where(jnp.isnan(u), jnp.zeros_like(u), u), updates)
        return new, ZeroNansState(found)
