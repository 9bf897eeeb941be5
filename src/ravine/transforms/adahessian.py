"""Adam with the Hessian's diagonal in place of the gradient's square."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    at,
    bias_correction,
    fine,
    over,
    safe_increment,
    safe_power,
    safe_sqrt,
)
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    NonNegative,
    Params,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.hessian import HutchinsonEstimatorDiagHessian


class ScaleByAdahessianState(NamedTuple):
    """The step count (int32), both moments, and the state of the Hessian's estimator."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    hessian_fn_state: State


@rule
class ScaleByAdahessian(Transform):
    r"""AdaHessian's direction, before the learning rate.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) D_t^2, \\
        u_t &= \frac{m_t / (1-\beta_1^t)}{(v_t / (1-\beta_2^t))^{\kappa/2} + \epsilon}, &
        D_t &= \mathrm{mean}\, |z \odot H z|,

    with :math:`z \odot Hz` Hutchinson's estimate of the Hessian's diagonal, at every step. The
    mean runs over the places of a convolution's kernel, that is over all axes but the last two
    of a leaf with more than two; other leaves have none. ``update`` needs the extra argument
    ``value_fn``, the loss as a function of the parameters.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        hessian_power: :math:`\kappa \ge 0`; 1 is a Newton step, 0 is momentum alone.
        spatial_average: whether to take that mean.
        hessian_diagonal_fn: the transform that makes gradients into the estimate.

    Raises:
        ValueError: at update, without what the estimator needs.

    Reference: Yao et al., ADAHESSIAN: an adaptive second order optimizer for machine learning,
    2020, https://arxiv.org/abs/2006.00719.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    hessian_power: NonNegative = 1.0
    spatial_average: Static[bool] = True
    hessian_diagonal_fn: Transform = HutchinsonEstimatorDiagHessian()

    def init(self, params: Params) -> ScaleByAdahessianState:
        return ScaleByAdahessianState(
            jnp.zeros((), jnp.int32),
            tree.zeros_like(params),
            tree.accumulators(params),
            self.hessian_diagonal_fn.init(params),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByAdahessianState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdahessianState]:
        check_params("ScaleByAdahessian", params, updates)
        t = safe_increment(state.count)
        slots = jax.tree.map(lambda g: fine(g).real, updates)
        diagonal, inner = self.hessian_diagonal_fn.update(
            slots, state.hessian_fn_state, params, **extra
        )
        if self.spatial_average:
            diagonal = jax.tree.map(_over_places, diagonal)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) D^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, diagonal)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)

        def direction(m: jax.Array, v: jax.Array) -> jax.Array:
            # u = m^ / (sqrt(v^)^kappa + eps)
            root = safe_sqrt(over(v, c2))
            return over(over(m, c1), safe_power(root, at(self.hessian_power, v)) + at(self.eps, v))

        u = tree.cast_like(jax.tree.map(direction, mu, nu), updates)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return u, ScaleByAdahessianState(t, mu, nu, inner)


def _over_places(d: jax.Array) -> jax.Array:
    """The mean magnitude over all axes but the last two."""
    d = jnp.abs(d)
    if d.ndim < 3 or not d.size:
        return d
    return jnp.broadcast_to(jnp.mean(d, axis=tuple(range(d.ndim - 2)), keepdims=True), d.shape)
