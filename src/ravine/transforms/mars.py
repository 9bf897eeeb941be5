"""Gradients corrected by their change since the last step."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, complement, over, safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Transform, Updates
from ravine.transforms.optimistic import ScaleByOptimisticGradientState


@rule
class ReduceVariance(Transform):
    r"""MARS's correction of stochastic gradients, which goes before the moments.

    .. math::
        c_t = g_t + \gamma\,\frac{\beta_1}{1-\beta_1} (g_t - g_{t-1}), \qquad
        u_t = c_t \min(1,\ K / \lVert c_t \rVert), \qquad g_0 = g_1,

    norms being taken leaf by leaf. This is the approximate form, which compares gradients of
    two batches and needs no second evaluation.

    Args:
        b1: decay :math:`\beta_1` in [0, 1) of the first moment that comes after it.
        gamma: strength :math:`\gamma \ge 0` of the correction.
        max_norm: :math:`K \ge 0`, the largest norm of a leaf.

    Reference: Yuan et al., MARS: unleashing the power of variance reduction for training
    large models, 2024, https://arxiv.org/abs/2411.10438.

    >>> import jax.numpy as jnp
    >>> transform = ReduceVariance(b1=0.5, gamma=0.5)
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (0.25, 0.5):
    ...     u, state = transform.update(jnp.full(1, g), state)
    >>> u
    Array([0.625], dtype=float32)
    """

    b1: Decay = 0.95
    gamma: NonNegative = 0.025
    max_norm: NonNegative = 1.0

    def init(self, params: Params) -> ScaleByOptimisticGradientState:
        return ScaleByOptimisticGradientState(jnp.zeros((), jnp.int32), tree.zeros_like(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByOptimisticGradientState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByOptimisticGradientState]:
        def leaf(g: Any, last: jax.Array) -> jax.Array:
            g, last = widen(g, last)
            # c = g + gamma b1 / (1 - b1) (g - g')
            change = jnp.where(state.count == 0, 0, g - last)
            strength = at(self.gamma, g) * at(self.b1, g) / at(complement(self.b1), g)
            c = g + times(strength, change)
            # u = c min(1, K / |c|)
            norm, most = tree.norm(c), at(self.max_norm, c)
            return jnp.where(norm > most, times(most, over(c, norm)), c)

        u = tree.cast_like(jax.tree.map(leaf, updates, state.previous_gradient), updates)
        last = tree.cast_like(updates, state.previous_gradient)
        return u, ScaleByOptimisticGradientState(safe_increment(state.count), last)
