"""Sophia's direction: momentum over the Hessian's diagonal, clipped."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    at,
    bias_correction,
    concrete,
    fine,
    over,
    safe_increment,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    DType,
    NonNegative,
    Params,
    Period,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.clip import Clip
from ravine.transforms.hessian import HutchinsonEstimatorDiagHessian


class ScaleBySophiaState(NamedTuple):
    """The step count (int32), the mean gradient and Hessian diagonal, the estimator's state.

    And ``win_rate``: the share of elements that the clipping left alone in the last step, which
    should stay between 0.1 and 0.5; raise ``gamma`` where it is lower.
    """

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    hessian_fn_state: State
    win_rate: jax.Array


@rule
class ScaleBySophia(Transform):
    r"""Sophia's direction: the mean gradient over the Hessian's diagonal, clipped.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        u_t = \operatorname{clip}\!\Big(
        \frac{m_t / (1-\beta_1^t)}{\max(\gamma h_{t-1}, \epsilon)},\ -\rho, \rho\Big), \\
        h_t &= \beta_2 h_{t-1} + (1-\beta_2)\, \hat h_t
        \quad\text{every } k \text{ steps, else}\quad h_t = h_{t-1},

    with :math:`\hat h` the estimate of ``hessian_diagonal_fn``. What extra arguments that takes,
    ``update`` needs: ``value_fn`` for Hutchinson's, ``logits_fn`` for Gauss-Newton-Bartlett's.
    The first step finds :math:`h_0 = 0`, and goes :math:`\rho` along every sign.

    Args:
        b1: decay :math:`\beta_1` of the mean gradient, in [0, 1).
        b2: decay :math:`\beta_2` of the mean Hessian diagonal, in [0, 1).
        eps: :math:`\epsilon \ge 0`, the smallest denominator.
        gamma: :math:`\gamma \ge 0`, by which the Hessian's diagonal is multiplied.
        clip_threshold: :math:`\rho \ge 0`; ``None`` for no clipping.
        update_interval: :math:`k`, at least 1. Under ``vmap`` the estimate is computed at
            every step, and used at every :math:`k`-th.
        hessian_diagonal_fn: the transform that makes gradients into the estimate.
        mu_dtype: dtype of the mean gradient; that of the parameters by default.

    Raises:
        ValueError: at update, without what the estimator needs.

    Reference: Liu et al., Sophia: a scalable stochastic second-order optimizer for language
    model pre-training, 2023, https://arxiv.org/abs/2305.14342.
    """

    b1: Decay = 0.965
    b2: Decay = 0.99
    eps: NonNegative = 1e-8
    gamma: NonNegative = 0.01
    clip_threshold: NonNegative | None = 1.0
    update_interval: Period = 10
    hessian_diagonal_fn: Transform = HutchinsonEstimatorDiagHessian()
    mu_dtype: Static[DType] = None

    def init(self, params: Params) -> ScaleBySophiaState:
        return ScaleBySophiaState(
            jnp.zeros((), jnp.int32),
            tree.zeros_like(params, self.mu_dtype),
            tree.accumulators(params),
            self.hessian_diagonal_fn.init(params),
            jnp.ones((), float),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleBySophiaState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleBySophiaState]:
        check_params("ScaleBySophia", params, updates)
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g
        mu = tree.moment(self.b1, state.mu, updates)
        c1 = bias_correction(self.b1, t)

        def direction(m: jax.Array, h: jax.Array) -> jax.Array:
            # u = m^ / max(gamma h, eps)
            return over(over(m, c1), jnp.maximum(times(self.gamma, h), at(self.eps, h)))

        u = jax.tree.map(direction, mu, state.nu)
        win_rate = state.win_rate
        if self.clip_threshold is not None:
            rho = concrete(self.clip_threshold)
            kept = jax.tree.map(lambda x: (jnp.abs(x) < at(rho, x)).astype(float), u)
            win_rate = tree.total(kept).astype(float) / max(tree.size(u), 1)
            u, _ = Clip(rho).update(u, Clip(rho).init(u))

        def estimated(nu: Updates, inner: State) -> tuple[Updates, State]:
            # h = b2 h + (1 - b2) h^
            slots = jax.tree.map(lambda g: fine(g).real, updates)
            h, inner = self.hessian_diagonal_fn.update(slots, inner, params, **extra)
            return tree.cast_like(tree.moment(self.b2, nu, h), nu), inner

        k = jnp.asarray(concrete(self.update_interval)).astype(jnp.int32)
        nu, inner = jax.lax.cond(
            state.count % k == 0,
            estimated,
            lambda nu, inner: (nu, inner),
            state.nu,
            state.hessian_fn_state,
        )
        mu = tree.cast_like(mu, state.mu)
        return tree.cast_like(u, updates), ScaleBySophiaState(t, mu, nu, inner, win_rate)
