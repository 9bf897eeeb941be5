"""A second moment that moves by additions of bounded size."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    bias_correction,
    complement,
    fine,
    over,
    safe_increment,
    times,
    widen,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, adaptive, unbiased


@rule
class ScaleByYogi(Transform):
    r"""Yogi's direction: Adam's, with a second moment that forgets no faster than it learns.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        v_t = v_{t-1} - (1-\beta_2)\, \mathrm{sign}(v_{t-1} - |g_t|^2)\, |g_t|^2, \\
        u_t &= \hat m_t / (\sqrt{\hat v_t + \bar\epsilon} + \epsilon).

    In Adam :math:`v` falls by a share of itself when gradients turn small, and the step
    grows suddenly; here it falls by a share of the small :math:`|g|^2`.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        initial_accumulator_value: at least 0; what both moments start from.

    Reference: Zaheer et al., Adaptive methods for nonconvex optimization, 2018,
    https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-3
    eps_root: NonNegative = 0.0
    initial_accumulator_value: NonNegative = 1e-6

    elementwise = True

    def init(self, params: Params) -> ScaleByAdamState:
        mu = tree.full_like(params, self.initial_accumulator_value)
        nu = tree.accumulators(params, self.initial_accumulator_value)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamState]:
        t = safe_increment(state.count)

        def added(v: jax.Array, g: Any) -> jax.Array:
            v, square = widen(v, abs_sq(fine(g)))
            return v - times(complement(self.b2), jnp.sign(v - square) * square)

        # m = b1 m + (1 - b1) g;  v = v - (1 - b2) sign(v - |g|^2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = jax.tree.map(added, state.nu, updates)
        # u = m^ / (sqrt(v^ + eps_root) + eps)
        mu_hat, c2 = unbiased(self.b1, mu, updates, t), bias_correction(self.b2, t)
        u = jax.tree.map(lambda m, v: adaptive(m, over(v, c2), self.eps, self.eps_root), mu_hat, nu)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(u, updates), ScaleByAdamState(t, mu, nu)
