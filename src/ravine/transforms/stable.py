"""Adam that steps less far where its second moment has fallen behind."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import abs_sq, at, bias_correction, fine, over, safe_increment, safe_sqrt
from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Schedule, Static, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, adaptive, unbiased
from ravine.transforms.decay import add_decayed
from ravine.transforms.scale import value_at


@rule
class ScaleByStableAdam(Transform):
    r"""AdamW's direction, shortened leaf by leaf by how much gradients outgrew their moment.

    .. math::
        u_t = \frac{1}{\max(1, r_t)} \left( \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}
            + \lambda\,\theta_{t-1} \right), \qquad
        r_t^2 = \mathrm{mean}\,\frac{|g_t|^2}{\max(\hat v_t, \epsilon^2)},

    with the moments of Adam. The decay is inside because it is shortened too.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``; all by default.

    Raises:
        ValueError: at update, if the parameters are not given, or the mask does not fit them.

    Reference: Wortsman et al., Stable and low-precision training for large-scale
    vision-language models, 2023, https://arxiv.org/abs/2304.13013.
    """

    b1: Decay = 0.9
    b2: Decay = 0.99
    eps: NonNegative = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def init(self, params: Params) -> ScaleByAdamState:
        mu, nu = tree.zeros_like(params), tree.accumulators(params)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamState]:
        check_params("ScaleByStableAdam", params, updates)
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        mu_hat, c2 = unbiased(self.b1, mu, updates, t), bias_correction(self.b2, t)
        nu_hat = jax.tree.map(lambda v: over(v, c2), nu)

        def shortened(u: jax.Array, g: Any, v: jax.Array) -> jax.Array:
            # r^2 = mean(|g|^2 / max(v^, eps^2));  u = u / max(1, r)
            square = abs_sq(fine(g)).astype(v.dtype)
            ratio = over(square, jnp.maximum(v, at(self.eps, v) ** 2))
            r = safe_sqrt(jnp.sum(ratio) / max(ratio.size, 1))
            return over(u, jnp.maximum(r, 1))

        # u = m^ / (sqrt(v^) + eps) + lambda theta
        u = jax.tree.map(lambda m, v: adaptive(m, v, self.eps, 0.0), mu_hat, nu_hat)
        decay = value_at(self.weight_decay, state.count)
        u = add_decayed(u, decay, params, self.weight_decay_mask)
        u = tree.cast_like(jax.tree.map(shortened, u, updates, nu_hat), updates)
        return u, tree.cast_like(ScaleByAdamState(t, mu, nu), state)
