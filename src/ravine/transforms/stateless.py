"""A function as a transform."""

from collections.abc import Callable
from typing import Any

import jax

from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params, Static, Transform, Updates


@rule
class Stateless(Transform):
    """Apply a function of the updates and the parameters: ``f(updates, params)``.

    A fresh function or lambda is a fresh program: define it once, at module level.

    Args:
        f: the function; it gets ``None`` for the parameters where there are none.

    >>> import jax.numpy as jnp
    >>> def halved(updates, params):
    ...     return jax.tree.map(lambda u: u / 2, updates)
    >>> Stateless(halved)
    Stateless(f=halved)
    >>> Stateless(halved).update({"w": jnp.ones(2)}, EmptyState())[0]
    {'w': Array([0.5, 0.5], dtype=float32)}
    """

    f: Static[Callable[[Updates, Params | None], Updates]]

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        return self.f(updates, params), state


@rule
class StatelessWithTreeMap(Transform):
    """Apply a function to every leaf and its parameter: ``f(u, p)``.

    A fresh function or lambda is a fresh program: define it once, at module level.

    Args:
        f: the function; it gets ``None`` for the parameter where there are none.

    >>> import jax.numpy as jnp
    >>> def masked_out(u, p):
    ...     return jnp.where(p == 0, 0, u)
    >>> params = jnp.array([0.0, 1.0])
    >>> StatelessWithTreeMap(masked_out).update(jnp.ones(2), EmptyState(), params)[0]
    Array([0., 1.], dtype=float32)
    """

    f: Static[Callable[[Any, Any], Any]]

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        if params is None:
            return jax.tree.map(lambda u: self.f(u, None), updates), state
        return jax.tree.map(self.f, updates, params), state
