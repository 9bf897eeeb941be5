"""A fast and a slow mean of gradients, over Adam's root."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import bias_correction, over, safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    DType,
    NonNegative,
    Params,
    Schedule,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.adam import adaptive
from ravine.transforms.scale import value_at


class ScaleByAdemamixState(NamedTuple):
    """The step count (int32), the fast and the slow mean, and the second moment."""

    count: jax.Array  # type: ignore[assignment]
    m1: Updates
    m2: Updates
    nu: Updates


@rule
class ScaleByAdemamix(Transform):
    r"""AdEMAMix's direction: Adam's, with a mean of very old gradients beside the new ones.

    .. math::
        m_1 &\leftarrow \beta_1 m_1 + (1-\beta_1) g_t, &
        m_2 &\leftarrow \beta_3 m_2 + (1-\beta_3) g_t, \\
        v &\leftarrow \beta_2 v + (1-\beta_2) |g_t|^2, &
        u_t &= \frac{m_1 / (1-\beta_1^t) + \alpha\,m_2}{\sqrt{v / (1-\beta_2^t) + \bar\epsilon}
            + \epsilon}.

    The slow mean is kept in float32 or finer: half precision would round its steps away.

    Args:
        b1: decay :math:`\beta_1` of the fast mean, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        b3: decay :math:`\beta_3` of the slow mean, in [0, 1): a number or a schedule, which the
            authors start low (``schedules.HalfLifeWarmup``).
        alpha: weight :math:`\alpha \ge 0` of the slow mean: a number or a schedule, which the
            authors start at 0 (``schedules.Linear``).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of both means; by default that of the parameters for the fast one.

    Reference: Pagliardini, Ablin and Grangier, The AdEMAMix optimizer: better, faster,
    older, 2024, https://arxiv.org/abs/2409.03137.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    b3: Decay | Schedule = 0.9999
    alpha: NonNegative | Schedule = 6.0
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None

    elementwise = True

    def init(self, params: Params) -> ScaleByAdemamixState:
        m1, m2 = tree.zeros_like(params, self.mu_dtype), tree.fine_zeros_like(params, self.mu_dtype)
        return ScaleByAdemamixState(jnp.zeros((), jnp.int32), m1, m2, tree.accumulators(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByAdemamixState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdemamixState]:
        t = safe_increment(state.count)
        # A number stays as it is: 1 - b3 would lose digits in an array of float32.
        b3 = self.b3(state.count) if isinstance(self.b3, Schedule) else self.b3
        alpha = value_at(self.alpha, state.count)
        # m1 = b1 m1 + (1 - b1) g;  m2 = b3 m2 + (1 - b3) g;  v = b2 v + (1 - b2) |g|^2
        m1 = tree.moment(self.b1, state.m1, updates)
        m2 = tree.moment(b3, state.m2, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)

        def direction(m1: jax.Array, m2: jax.Array, v: jax.Array) -> jax.Array:
            # u = (m1^ + alpha m2) / (sqrt(v^ + eps_root) + eps)
            fast, slow = widen(over(m1, c1), m2)
            return adaptive(fast + times(alpha, slow), over(v, c2), self.eps, self.eps_root)

        u = jax.tree.map(direction, m1, m2, nu)
        slots = ScaleByAdemamixState(t, m1, m2, nu)
        return tree.cast_like(u, updates), tree.cast_like(slots, state)


class ScaleBySimplifiedAdemamixState(NamedTuple):
    """The step count (int32), the decayed sum of gradients, and the second moment."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates


@rule
class ScaleBySimplifiedAdemamix(Transform):
    r"""Simplified AdEMAMix: one slow sum of gradients, and the last gradient beside it.

    .. math::
        m_t = \beta_1 m_{t-1} + g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \qquad
        u_t = \frac{m_t + \alpha\,g_t}{\sqrt{v_t / (1-\beta_2^t) + \bar\epsilon} + \epsilon}.

    :math:`m` is a sum, not a mean: steps are about :math:`1 / (1-\beta_1)` times as long
    as Adam's.

    Args:
        b1: decay :math:`\beta_1` of the sum, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        alpha: weight :math:`\alpha \ge 0` of the last gradient, a number or a schedule.
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.

    Reference: Morwani et al., Connections between Schedule-Free optimizers, AdEMAMix, and
    accelerated SGD variants, 2025, https://arxiv.org/abs/2502.02431.
    """

    b1: Decay = 0.99
    b2: Decay = 0.95
    alpha: NonNegative | Schedule = 0.0
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0

    elementwise = True

    def init(self, params: Params) -> ScaleBySimplifiedAdemamixState:
        mu, nu = tree.fine_zeros_like(params), tree.accumulators(params)
        return ScaleBySimplifiedAdemamixState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleBySimplifiedAdemamixState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleBySimplifiedAdemamixState]:
        t = safe_increment(state.count)
        alpha, c2 = value_at(self.alpha, state.count), bias_correction(self.b2, t)

        def plus(g: Any, h: Any, x: Any) -> jax.Array:
            g, x = widen(g, x)
            return g + times(h, x)

        # m = b1 m + g;  v = b2 v + (1 - b2) |g|^2
        mu = jax.tree.map(lambda g, m: plus(g, self.b1, m), updates, state.mu)
        nu = tree.second_moment(self.b2, state.nu, updates)
        # u = (m + alpha g) / (sqrt(v^ + eps_root) + eps)
        ahead = jax.tree.map(lambda m, g: plus(m, alpha, g), mu, updates)
        u = jax.tree.map(lambda x, v: adaptive(x, over(v, c2), self.eps, self.eps_root), ahead, nu)
        slots = ScaleBySimplifiedAdemamixState(t, mu, nu)
        return tree.cast_like(u, updates), tree.cast_like(slots, state)
