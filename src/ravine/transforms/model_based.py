"""MoMo: a learning rate from a model of the loss, which is known to have a lower bound."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params, check_value
from ravine.core.numerics import at, bias_correction, lerp, over, safe_increment, safe_sqrt, scalar
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    NonNegative,
    Params,
    Real,
    Schedule,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.decay import add_decayed
from ravine.transforms.scale import value_at


class ScaleByMomoState(NamedTuple):
    """The step count (int32), the mean gradient, two means of the model, the lower bound."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array


@rule
class ScaleByMomo(Transform):
    r"""MoMo's step, from gradients to what is added to the parameters.

    .. math::
        m_t &= \beta m_{t-1} + (1-\beta) g_t, \qquad
        \bar f_t = \beta \bar f_{t-1} + (1-\beta) f_t, \\
        \gamma_t &= \beta \gamma_{t-1} + (1-\beta) \langle g_t, \theta_{t-1} \rangle, \\
        \tau_t &= \min\Bigl(\alpha_t,\ \frac{\max\bigl((1 + \alpha_t \lambda)
            (\bar f_t - f_*^t - \gamma_t) + \langle m_t, \theta_{t-1} \rangle,\ 0\bigr)}
            {\|m_t\|^2}\Bigr), \\
        u_t &= -\tau_t m_t - \frac{\alpha_t \lambda}{1 + \alpha_t \lambda} \theta_{t-1},

    where :math:`f_t` is the extra argument ``value``, and the means start at the first
    step's values. The arguments are those of the optimizer ``MoMo``.

    Raises:
        ValueError: at update, if the parameters or the value are not given.

    Reference: Schaipp et al., MoMo: momentum models for adaptive learning rates, 2023,
    https://arxiv.org/abs/2305.07583.
    """

    learning_rate: NonNegative | Schedule = 1.0
    beta: Decay = 0.9
    lower_bound: Real = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    adapt_lower_bound: Static[bool] = False

    def init(self, params: Params) -> ScaleByMomoState:
        barf, gamma, lb = jnp.zeros((), float), jnp.zeros((), float), scalar(self.lower_bound)
        mu = tree.fine_zeros_like(params)
        return ScaleByMomoState(jnp.zeros((), jnp.int32), mu, barf, gamma, lb)

    def update(
        self, updates: Updates, state: ScaleByMomoState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByMomoState]:
        check_params("ScaleByMomo", params, updates)
        f, g = check_value("ScaleByMomo", extra), tree.widened(updates)
        first = state.count == 0
        # m = b m + (1 - b) g;  f_ = b f_ + (1 - b) f;  gamma = b gamma + (1 - b) <g, theta>
        mu = tree.where(first, g, tree.moment(self.beta, state.mu, g))
        barf = jnp.where(first, f, lerp(self.beta, state.barf, f))
        along = tree.inner(g, params)
        gamma = jnp.where(first, along, lerp(self.beta, state.gamma, along))
        alpha = value_at(self.learning_rate, state.count)
        shrink = alpha * value_at(self.weight_decay, state.count)
        ahead, size = tree.inner(mu, params), tree.norm_sq(mu).astype(float)
        one = jnp.ones((), float)
        tau, lb = _step_size(self, alpha, shrink, barf - gamma, ahead, size, one, state.lb)
        # u = -tau m - alpha lambda / (1 + alpha lambda) theta
        u = add_decayed(tree.scale(-tau, mu), -shrink / (1 + shrink), params, None)
        new = ScaleByMomoState(
            safe_increment(state.count), tree.cast_like(mu, state.mu), barf, gamma, lb
        )
        return tree.cast_like(u, updates), new


class ScaleByMomoAdamState(NamedTuple):
    """The step count (int32), two moments, two means of the model, and the lower bound."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array


@rule
class ScaleByMomoAdam(Transform):
    r"""The step of MoMo-Adam, from gradients to what is added to the parameters.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \quad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \quad
        D_t = \epsilon + \sqrt{v_t / (1-\beta_2^t)}, \\
        \bar f_t &= \beta_1 \bar f_{t-1} + (1-\beta_1) f_t, \quad
        \gamma_t = \beta_1 \gamma_{t-1} + (1-\beta_1) \langle g_t, \theta_{t-1} \rangle, \quad
        c_t = 1-\beta_1^t, \\
        \tau_t &= \min\Bigl(\frac{\alpha_t}{c_t},\ \frac{\max\bigl((1 + \alpha_t \lambda)
            (\bar f_t - c_t f_*^t - \gamma_t) + \langle m_t, \theta_{t-1} \rangle,\ 0\bigr)}
            {\langle m_t, m_t / D_t \rangle}\Bigr), \\
        u_t &= -\tau_t \frac{m_t}{D_t} - \frac{\alpha_t \lambda}{1 + \alpha_t \lambda}
            \theta_{t-1},

    where :math:`f_t` is the extra argument ``value``. The arguments are those of the
    optimizer ``MoMoAdam``.

    Raises:
        ValueError: at update, if the parameters or the value are not given.

    Reference: Schaipp et al., MoMo: momentum models for adaptive learning rates, 2023,
    https://arxiv.org/abs/2305.07583.
    """

    learning_rate: NonNegative | Schedule = 1e-2
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    lower_bound: Real = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    adapt_lower_bound: Static[bool] = False

    def init(self, params: Params) -> ScaleByMomoAdamState:
        barf, gamma, lb = jnp.zeros((), float), jnp.zeros((), float), scalar(self.lower_bound)
        mu, nu = tree.fine_zeros_like(params), tree.accumulators(params)
        return ScaleByMomoAdamState(jnp.zeros((), jnp.int32), mu, nu, barf, gamma, lb)

    def update(
        self,
        updates: Updates,
        state: ScaleByMomoAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByMomoAdamState]:
        check_params("ScaleByMomoAdam", params, updates)
        f, g, t = check_value("ScaleByMomoAdam", extra), tree.widened(updates), state.count
        t = safe_increment(t)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2;  D = eps + sqrt(v / (1 - b2^t))
        mu = tree.moment(self.b1, state.mu, g)
        nu = tree.second_moment(self.b2, state.nu, g)
        scaled = jax.tree.map(
            lambda m, v: over(m, at(self.eps, v) + safe_sqrt(over(v, c2))), mu, nu
        )
        # f_ = b1 f_ + (1 - b1) f;  gamma = b1 gamma + (1 - b1) <g, theta>
        barf = lerp(self.b1, state.barf, f)
        gamma = lerp(self.b1, state.gamma, tree.inner(g, params))
        alpha = value_at(self.learning_rate, state.count)
        shrink = alpha * value_at(self.weight_decay, state.count)
        ahead, size = tree.inner(mu, params), tree.inner(mu, scaled)
        tau, lb = _step_size(self, alpha, shrink, barf - gamma, ahead, size, c1, state.lb)
        # u = -tau m / D - alpha lambda / (1 + alpha lambda) theta
        u = add_decayed(tree.scale(-tau, scaled), -shrink / (1 + shrink), params, None)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(u, updates), ScaleByMomoAdamState(t, mu, nu, barf, gamma, lb)


def _step_size(
    o: ScaleByMomo | ScaleByMomoAdam,
    alpha: jax.Array,
    shrink: jax.Array,
    past: jax.Array,
    ahead: jax.Array,
    size: jax.Array,
    c: jax.Array,
    lb: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """How far to go until the model reaches the lower bound, and the next lower bound."""
    # tau = min(alpha / c, max((1 + alpha lambda)(f_ - gamma - c f*) + <m, theta>, 0) / <m, m / D>)
    reach, floor = (1 + shrink) * past + ahead, scalar(o.lower_bound)
    if o.adapt_lower_bound:
        # A bound that the model does not reach is too high: halve what the model reaches.
        lower = jnp.maximum(reach / (2 * c * (1 + shrink)), floor)
        lb = jnp.where(reach < (1 + shrink) * c * lb, lower, lb)
    tau = jnp.minimum(alpha / c, over(jnp.maximum(reach - (1 + shrink) * c * lb, 0), size))
    if not o.adapt_lower_bound:
        return tau, lb
    # f* = max((f_ - gamma + <m, theta> - tau <m, m / D> / 2) / c, lower bound)
    return tau, jnp.maximum((past + ahead - tau * size / 2) / c, floor)
