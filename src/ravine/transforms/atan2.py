"""Adam without a division: the angle of the two moments in place of their ratio."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    bias_correction,
    by_part,
    over,
    safe_increment,
    safe_sqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, unbiased


@rule
class ScaleByAdamAtan2(Transform):
    r"""Adam's direction with an arc tangent in place of the division, and no epsilon.

    .. math::
        u_t = a\,\mathrm{atan2}(\hat m_t,\ b \sqrt{\hat v_t}),

    with the moments of Adam. It is the same for gradients of any scale. Of a complex number
    the magnitude is taken, and the direction kept.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        a: factor :math:`a \ge 0` of the angle; at 1.27 a constant gradient gives steps of
            length 1, as in Adam.
        b: factor :math:`b \ge 0` of the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.

    Reference: Everett et al., Scaling exponents across parameterizations and optimizers,
    2024, https://arxiv.org/abs/2407.05872.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    a: NonNegative = 1.27
    b: NonNegative = 1.0
    mu_dtype: Static[DType] = None

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
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        mu_hat, c2 = unbiased(self.b1, mu, updates, t), bias_correction(self.b2, t)

        def direction(m: jax.Array, v: jax.Array) -> jax.Array:
            # u = a atan2(m^, b sqrt(v^)), and 0 with derivative 0 where both are 0
            size, root = jnp.abs(m), times(self.b, safe_sqrt(over(v, c2)))
            none = size == 0
            angle = jnp.arctan2(
                jnp.where(none, 0, size), jnp.where(none, 1, root.astype(size.dtype))
            )
            return by_part(lambda part: times(self.a, angle) * part, over(m, size))

        u = tree.cast_like(jax.tree.map(direction, mu_hat, nu), updates)
        return u, tree.cast_like(ScaleByAdamState(t, mu, nu), state)
