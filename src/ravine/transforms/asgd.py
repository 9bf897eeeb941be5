"""Gradient descent whose learning rate falls, for averages of its points."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import at, safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Schedule, Transform, Updates
from ravine.transforms.scale import ScaleByLearningRateState, value_at


@rule
class ScaleByASGD(Transform):
    r"""A step of gradient descent with decay, sign included, whose rate falls as a power.

    .. math::
        u_t = -\eta_t (g_t + \lambda\,\theta_{t-1}), \qquad
        \eta_t = \frac{\eta}{(1 + \lambda\,\eta\,t)^\alpha}, \quad t = 0, 1, \dots

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        lambd: decay :math:`\lambda \ge 0`, which also sets how fast the rate falls.
        alpha: exponent :math:`\alpha \ge 0`.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Polyak and Juditsky, Acceleration of stochastic approximation by averaging,
    1992, https://doi.org/10.1137/0330046.
    """

    learning_rate: NonNegative | Schedule
    lambd: NonNegative = 1e-4
    alpha: NonNegative = 0.75

    elementwise = True

    def init(self, params: Params) -> ScaleByLearningRateState:
        return ScaleByLearningRateState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: ScaleByLearningRateState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByLearningRateState]:
        check_params("ScaleByASGD", params, updates)
        # eta_t = eta / (1 + lambda eta t)^alpha
        eta = value_at(self.learning_rate, state.count)
        time = at(self.lambd, eta) * eta * state.count.astype(eta.dtype)
        eta = eta / (1 + time) ** at(self.alpha, eta)

        def leaf(g: Any, p: Any) -> jax.Array:
            g, p = widen(g, p)
            return times(-eta, g + times(self.lambd, p))

        # u = -eta (g + lambda theta)
        u = tree.cast_like(jax.tree.map(leaf, updates, params), updates)
        return u, ScaleByLearningRateState(safe_increment(state.count), eta)
