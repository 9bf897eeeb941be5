"""The sign of the gradient alone: steps of one length."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params, Transform, Updates


@rule
class ScaleBySign(Transform):
    r"""Take the sign of every element: :math:`u = \operatorname{sign}(g)`.

    Zero stays zero, NaN stays NaN, and a complex element is divided by its magnitude.

    Reference: Bernstein et al., signSGD: compressed optimisation for non-convex problems,
    2018, https://arxiv.org/abs/1802.04434.

    >>> import jax.numpy as jnp
    >>> ScaleBySign().update(jnp.array([3.0, -0.5, 0.0]), EmptyState())[0]
    Array([ 1., -1.,  0.], dtype=float32)
    """

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        return jax.tree.map(jnp.sign, updates), state
