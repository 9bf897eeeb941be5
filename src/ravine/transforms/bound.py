"""Adaptive steps between two bounds that close in on gradient descent."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, bias_correction, by_part, safe_increment, safe_sqrt
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    NonNegative,
    Params,
    Positive,
    Schedule,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.adam import ScaleByAmsgradState
from ravine.transforms.scale import value_at


@rule
class ScaleByAdaBound(Transform):
    r"""AdaBound's step, learning rate and sign included: add it to the parameters as it is.

    .. math::
        u_t &= -\mathrm{clip}\!\left(\frac{\eta_t}{1-\beta_1^t}
            \frac{\sqrt{1-\beta_2^t}}{\sqrt{v_t} + \epsilon},\ l_t,\ h_t \right) m_t, \\
        l_t &= \eta^*_t \left(1 - \frac{1}{\gamma t + 1}\right), \qquad
        h_t = \eta^*_t \left(1 + \frac{1}{\gamma t}\right),

    with the moments of Adam, without their bias taken out.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        final_lr: :math:`\eta^* \ge 0`, at which the bounds meet, a number or a schedule.
        gamma: :math:`\gamma > 0`, how fast they do.
        eps: :math:`\epsilon \ge 0`, outside the root.
        amsbound: divide by the largest second moment so far, as AMSGrad does.

    Reference: Luo et al., Adaptive gradient methods with dynamic bound of learning rate,
    2019, https://arxiv.org/abs/1902.09843.
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    final_lr: NonNegative | Schedule = 0.1
    gamma: Positive = 1e-3
    eps: NonNegative = 1e-8
    amsbound: Static[bool] = False

    elementwise = True

    def init(self, params: Params) -> ScaleByAmsgradState:
        mu, nu = tree.zeros_like(params), tree.accumulators(params)
        nu_max = tree.accumulators(params) if self.amsbound else None
        return ScaleByAmsgradState(jnp.zeros((), jnp.int32), mu, nu, nu_max)

    def update(
        self,
        updates: Updates,
        state: ScaleByAmsgradState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAmsgradState]:
        t = safe_increment(state.count)
        eta, final = value_at(self.learning_rate, state.count), value_at(self.final_lr, state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        nu_max = None
        if self.amsbound:
            nu_max = jax.tree.map(jnp.maximum, state.nu_max, tree.cast_like(nu, state.nu_max))
        # l = eta* (1 - 1 / (gamma t + 1));  h = eta* (1 + 1 / (gamma t))
        time = at(self.gamma, eta) * t.astype(eta.dtype)
        low, high = final * time / (time + 1), final * (time + 1) / time
        rate = eta * safe_sqrt(bias_correction(self.b2, t)) / bias_correction(self.b1, t)

        def step(m: jax.Array, v: jax.Array) -> jax.Array:
            # u = -clip(rate / (sqrt(v) + eps), l, h) m
            root = safe_sqrt(v) + at(self.eps, v)
            scale = jnp.clip(at(rate, v) / jnp.where(root == 0, 1, root), at(low, v), at(high, v))
            return by_part(lambda part: -scale.astype(part.dtype) * part, m)

        u = tree.cast_like(jax.tree.map(step, mu, nu_max if self.amsbound else nu), updates)
        return u, tree.cast_like(ScaleByAmsgradState(t, mu, nu, nu_max), state)
