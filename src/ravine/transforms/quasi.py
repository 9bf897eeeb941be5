"""Momentum of which only a part is taken: the rest is the plain gradient."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import abs_sq, bias_correction, fine, lerp, over, safe_increment, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, Fraction, NonNegative, Params, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, adaptive
from ravine.transforms.momentum import TraceState


@rule
class ScaleByQHM(Transform):
    r"""Quasi-hyperbolic momentum: between the gradient and its moving average.

    .. math::
        m_t = \beta m_{t-1} + (1-\beta) g_t, \qquad u_t = (1-\nu)\,g_t + \nu\,m_t.

    The average is kept in float32 or finer, since decays here are close to 1.

    Args:
        momentum: decay :math:`\beta` of the average, in [0, 1).
        nu: share :math:`\nu` of the average, in [0, 1]: 0 for plain gradients, 1 for momentum.

    Reference: Ma and Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2018,
    https://arxiv.org/abs/1810.06801.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByQHM(momentum=0.5, nu=0.5)
    >>> transform.update(jnp.ones(1), transform.init(jnp.ones(1)))[0]
    Array([0.75], dtype=float32)
    """

    momentum: Decay = 0.999
    nu: Fraction = 0.7

    elementwise = True

    def init(self, params: Params) -> TraceState:
        return TraceState(tree.fine_zeros_like(params))

    def update(
        self, updates: Updates, state: TraceState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, TraceState]:
        # m = b m + (1 - b) g;  u = nu m + (1 - nu) g
        m = tree.moment(self.momentum, state.trace, updates)
        u = tree.moment(self.nu, m, updates)
        return tree.cast_like(u, updates), TraceState(tree.cast_like(m, state.trace))


@rule
class ScaleByQHAdam(Transform):
    r"""QHAdam's direction: Adam's, with quasi-hyperbolic terms above and below.

    .. math::
        u_t = \frac{(1-\nu_1)\,g_t + \nu_1 \hat m_t}
            {\sqrt{(1-\nu_2)\,|g_t|^2 + \nu_2 \hat v_t} + \epsilon},

    with the moments of Adam.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        nu1: share :math:`\nu_1` of the first moment, in [0, 1]; 1 is Adam.
        nu2: share :math:`\nu_2` of the second moment, in [0, 1]; 1 is Adam.
        eps: :math:`\epsilon \ge 0`, outside the root.

    Reference: Ma and Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2018,
    https://arxiv.org/abs/1810.06801.
    """

    b1: Decay = 0.995
    b2: Decay = 0.999
    nu1: Fraction = 0.7
    nu2: Fraction = 1.0
    eps: NonNegative = 1e-8

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
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)

        def direction(g: Any, m: jax.Array, v: jax.Array) -> jax.Array:
            # u = (nu1 m^ + (1 - nu1) g) / (sqrt(nu2 v^ + (1 - nu2) |g|^2) + eps)
            above = lerp(self.nu1, *widen(over(m, c1), g))
            below = lerp(self.nu2, *widen(over(v, c2), abs_sq(fine(g))))
            return adaptive(above, below, self.eps, 0.0)

        u = tree.cast_like(jax.tree.map(direction, updates, mu, nu), updates)
        return u, tree.cast_like(ScaleByAdamState(t, mu, nu), state)
