"""A step size from the loss: how far it is above its smallest value."""

from typing import Any, Literal

import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_value
from ravine.core.numerics import at, over
from ravine.core.rule import rule
from ravine.core.types import EmptyState, NonNegative, Params, Real, Static, Transform, Updates


@rule
class ScaleByPolyak(Transform):
    r"""Polyak's step size, from the loss and its smallest value.

    .. math::
        u = \min\!\Big(\frac{f(\theta) - f_{\min}}{\|g\|^2 + \epsilon},\ \eta_{\max}\Big)\, g,

    and 0 where the gradient is 0. The loss is the extra argument ``value`` of ``update``.

    Args:
        f_min: a lower bound :math:`f_{\min}` of the loss, the nearer the better.
        max_learning_rate: the largest step size :math:`\eta_{\max} \ge 0`.
        eps: :math:`\epsilon \ge 0`, added to the squared norm.
        variant: "sps", or "sps+", which takes a loss below :math:`f_{\min}` as one at it.

    Raises:
        ValueError: for another variant; at update, without ``value``.

    Reference: Loizou et al., Stochastic Polyak step-size for SGD, 2020,
    https://arxiv.org/abs/2002.10542; for "sps+" Garrigos, Gower and Schaipp, Function value
    learning, 2023, https://arxiv.org/abs/2307.14528.

    >>> import jax.numpy as jnp
    >>> g = jnp.array([2.0, 4.0])
    >>> ScaleByPolyak().update(g, EmptyState(), value=5.0)[0]
    Array([0.5, 1. ], dtype=float32)
    """

    f_min: Real = 0.0
    max_learning_rate: NonNegative = 1.0
    eps: NonNegative = 0.0
    variant: Static[Literal["sps", "sps+"]] = "sps"

    def __post_init__(self) -> None:
        check_variant(self)

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        value = check_value("ScaleByPolyak", extra)
        square = tree.norm_sq(updates)
        gap = value.astype(square.dtype) - at(self.f_min, square)
        if self.variant == "sps+":
            gap = jnp.maximum(gap, 0)
        # u = min((f - f_min) / (|g|^2 + eps), eta_max) g
        step = over(gap, square + at(self.eps, square))
        step = jnp.minimum(step, at(self.max_learning_rate, step))
        return tree.scale(step, updates), state


def check_variant(owner: Any) -> None:
    """Check the field ``variant`` of ``owner``."""
    if owner.variant not in ("sps", "sps+"):
        raise ValueError(
            f"{type(owner).__name__}: variant must be 'sps' or 'sps+', got {owner.variant!r}."
        )
