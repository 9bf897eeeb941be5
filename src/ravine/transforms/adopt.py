"""Gradients are divided first, by what was known before them, and averaged then."""

from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, fine, over, safe_increment, safe_sqrt
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
from ravine.transforms.adam import ScaleByAdamState
from ravine.transforms.scale import value_at


@rule
class ScaleByAdopt(Transform):
    r"""ADOPT's direction: a mean of gradients, each over the root of the moment before it.

    .. math::
        n_t = \mathrm{clip}\!\left(\frac{g_t}{\max(\sqrt{v_{t-1}}, \epsilon)}, \pm c_t\right),
        \quad c_t = t^{1/4}, \qquad
        u_t = m_t = \beta_1 m_{t-1} + (1-\beta_1) n_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2.

    Steps count from 0, and step 0 moves nothing: it starts :math:`v_0 = |g_0|^2`. A complex
    number is clipped in its magnitude.

    Args:
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, the least divisor.
        mu_dtype: dtype of the mean; that of the parameters by default.
        nesterov: take one more step of the mean with the same gradient.
        use_clipping: whether to clip at all.
        clip_value_fn: :math:`c_t`, a number or a schedule; :math:`t^{1/4}` by default.

    Reference: Taniguchi et al., ADOPT: modified Adam can converge with any beta2 with the
    optimal rate, 2024, https://arxiv.org/abs/2411.02853.
    """

    b1: Decay = 0.9
    b2: Decay = 0.9999
    eps: NonNegative = 1e-6
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = False
    use_clipping: Static[bool] = True
    clip_value_fn: NonNegative | Schedule | None = None

    elementwise = True

    def init(self, params: Params) -> ScaleByAdamState:
        mu, nu = tree.zeros_like(params, self.mu_dtype), tree.accumulators(params)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamState]:
        first = state.count == 0
        if self.clip_value_fn is None:
            limit = state.count.astype(float) ** 0.25
        else:
            limit = value_at(self.clip_value_fn, state.count)

        def normalized(g: Any, v: jax.Array) -> jax.Array:
            # n = g / max(sqrt(v), eps), no longer than c
            n = over(fine(g), jnp.maximum(safe_sqrt(v), at(self.eps, v)))
            if not self.use_clipping:
                return n
            size, c = jnp.abs(n), at(limit, n)
            return jnp.where(size > c, over(n, size) * c.astype(n.dtype), n)

        def averaged(mu: Updates) -> Updates:
            # m = b1 m + (1 - b1) n, from the second step on
            return tree.where(first, tree.cast_like(mu, n), tree.moment(self.b1, mu, n))

        n = jax.tree.map(normalized, updates, state.nu)
        mu = averaged(state.mu)
        u = averaged(mu) if self.nesterov else mu
        # v = b2 v + (1 - b2) |g|^2, from |g|^2 on
        started = tree.second_moment(0.0, state.nu, updates)
        nu = tree.where(first, started, tree.second_moment(self.b2, state.nu, updates))
        slots = ScaleByAdamState(safe_increment(state.count), mu, nu)
        return tree.cast_like(u, updates), tree.cast_like(slots, state)
