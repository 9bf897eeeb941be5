"""The two transforms without a number: let everything through, or nothing."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params, Transform, Updates


@rule
class Identity(Transform):
    """Let updates through as they are: :math:`u = g`.

    >>> import jax.numpy as jnp
    >>> Identity().update(jnp.array([1.0, -2.0]), EmptyState())[0]
    Array([ 1., -2.], dtype=float32)
    """

    elementwise = True

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        return updates, state


@rule
class SetToZero(Transform):
    """Replace updates by zeros, infinite and NaN ones too: the parameters stay put.

    >>> import jax.numpy as jnp
    >>> SetToZero().update(jnp.array([1.0, jnp.nan]), EmptyState())[0]
    Array([0., 0.], dtype=float32)
    """

    elementwise = True

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        return jax.tree.map(jnp.zeros_like, updates), state
