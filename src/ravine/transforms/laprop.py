"""Gradients over their own root mean square, and then a mean of these."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import bias_correction, fine, over, safe_increment
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, adaptive, unbiased


@rule
class ScaleByLaprop(Transform):
    r"""LaProp's direction: Adam's, with the division inside the mean.

    .. math::
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \qquad
        m_t = \beta_1 m_{t-1} + (1-\beta_1)
            \frac{g_t}{\sqrt{v_t / (1-\beta_2^t)} + \epsilon}, \qquad
        u_t = \frac{m_t}{1-\beta_1^t}.

    The mean is kept in float32 or finer: its terms may be too small for half precision.

    Args:
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.

    Reference: Ziyin, Wang and Ueda, LaProp: separating momentum and adaptivity in Adam,
    2020, https://arxiv.org/abs/2002.04839.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-15

    elementwise = True

    def init(self, params: Params) -> ScaleByAdamState:
        mu, nu = tree.fine_zeros_like(params), tree.accumulators(params)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamState]:
        t = safe_increment(state.count)
        # v = b2 v + (1 - b2) |g|^2;  n = g / (sqrt(v^) + eps)
        nu, c2 = tree.second_moment(self.b2, state.nu, updates), bias_correction(self.b2, t)
        n = jax.tree.map(lambda g, v: adaptive(fine(g), over(v, c2), self.eps, 0.0), updates, nu)
        # m = b1 m + (1 - b1) n;  u = m^
        mu = tree.moment(self.b1, state.mu, n)
        u = tree.cast_like(unbiased(self.b1, mu, n, t), updates)
        return u, tree.cast_like(ScaleByAdamState(t, mu, nu), state)
