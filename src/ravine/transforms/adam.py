"""The Adam family: first moments divided by the root of second moments."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq, at, bias_correction, fine, lerp, safe_increment, safe_sqrt,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Params, Static, Transform, Updates


class ScaleByAdamState(NamedTuple):
    """The step count (int32), the first moment, and the second moment (real, float32 or finer)."""

    count: jax.Array
    mu: Updates
    nu: Updates


@rule
class ScaleByAdam(Transform):
    r"""Adam's direction, before the learning rate.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \\
        u_t &= \hat m_t / (\sqrt{\hat v_t + \bar\epsilon} + \epsilon), &
        \hat m_t &= m_t / (1-\beta_1^t), \quad \hat v_t = v_t / (1-\beta_2^t).

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        nesterov: use Dozat's :math:`\hat m`, which looks one step ahead.

    Reference: Kingma and Ba, Adam, 2014, https://arxiv.org/abs/1412.6980; Dozat,
    Incorporating Nesterov momentum into Adam, 2016.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    nesterov: Static[bool] = False

    def init(self, params: Params) -> ScaleByAdamState:
        mu = tree.zeros_like(params, self.mu_dtype)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, tree.accumulators(params))

    def update(
        self, updates: Updates, state: ScaleByAdamState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByAdamState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = moment(self.b1, state.mu, updates)
        nu = second_moment(self.b2, state.nu, updates)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)
        c1_next = bias_correction(self.b1, safe_increment(t))

        def direction(g: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
            if self.nesterov:
                # m^ = b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)
                m_hat = at(self.b1, m) * m / at(c1_next, m) + (1 - at(self.b1, m)) * fine(g) / at(c1, m)
            else:
                m_hat = m / at(c1, m)
            # u = m^ / (sqrt(v^ + eps_root) + eps)
            u = m_hat / (safe_sqrt(v / at(c2, v) + at(self.eps_root, v)) + at(self.eps, v))
            return u.astype(jnp.asarray(g).dtype)

        u = jax.tree.map(direction, updates, mu, nu)
        return u, ScaleByAdamState(t, tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu))


def moment(b: Any, old: Any, g: Any) -> Any:
    """Leaf by leaf ``b * old + (1 - b) * g``, in the compute dtype of the two."""

    def leaf(m: jax.Array, g: jax.Array) -> jax.Array:
        wide = jnp.promote_types(fine(m).dtype, fine(g).dtype)
        return lerp(b, m.astype(wide), jnp.asarray(g).astype(wide))

    return jax.tree.map(leaf, old, g)


def second_moment(b: Any, old: Any, g: Any) -> Any:
    """Leaf by leaf ``b * old + (1 - b) * |g|^2``: real, in the compute dtype of the two."""
    return moment(b, old, jax.tree.map(lambda x: abs_sq(fine(x)), g))
