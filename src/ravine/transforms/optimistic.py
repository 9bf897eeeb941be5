"""Gradients that take the next one to be like the change from the last."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import Params, Real, Schedule, Transform, Updates
from ravine.transforms.scale import value_at


class ScaleByOptimisticGradientState(NamedTuple):
    """The step count (int32), and the gradient of the last step."""

    count: jax.Array  # type: ignore[assignment]
    previous_gradient: Updates


@rule
class ScaleByOptimisticGradient(Transform):
    r"""The gradient and its change since the last step.

    .. math::
        u_t = (\alpha + \beta)\,g_t - \beta\,g_{t-1}, \qquad g_0 = g_1.

    In a game of two players plain gradients go round in circles, and these spiral inwards.

    Args:
        alpha: weight :math:`\alpha` of the gradient, a number or a schedule.
        beta: weight :math:`\beta` of its change, a number or a schedule.

    Reference: Mokhtari, Ozdaglar and Pattathil, A unified analysis of extra-gradient and
    optimistic gradient methods for saddle point problems, 2019,
    https://arxiv.org/abs/1901.08511.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByOptimisticGradient()
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (1.0, 4.0):
    ...     u, state = transform.update(jnp.full(1, g), state)
    >>> u
    Array([7.], dtype=float32)
    """

    alpha: Real | Schedule = 1.0
    beta: Real | Schedule = 1.0

    elementwise = True

    def init(self, params: Params) -> ScaleByOptimisticGradientState:
        return ScaleByOptimisticGradientState(jnp.zeros((), jnp.int32), tree.zeros_like(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByOptimisticGradientState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByOptimisticGradientState]:
        alpha, beta = value_at(self.alpha, state.count), value_at(self.beta, state.count)

        def leaf(g: Any, last: jax.Array) -> jax.Array:
            g, last = widen(g, last)
            last = jnp.where(state.count == 0, g, last)
            return times(alpha + beta, g) - times(beta, last)

        # u = (a + b) g - b g'
        u = tree.cast_like(jax.tree.map(leaf, updates, state.previous_gradient), updates)
        last = tree.cast_like(updates, state.previous_gradient)
        return u, ScaleByOptimisticGradientState(safe_increment(state.count), last)
