"""D-Adaptation of Adan."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    abs_sq,
    at,
    complement,
    lerp,
    over,
    safe_increment,
    safe_sqrt,
    scalar,
    times,
    widen,
)
from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    NonNegative,
    Params,
    Positive,
    Schedule,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.decay import add_decayed
from ravine.transforms.scale import value_at


class ScaleByDadaptAdanState(NamedTuple):
    """The step count (int32), three moments, the last gradient, a mean, and two numbers."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    delta: Updates
    nu: Updates
    grad: Updates
    grad_sum: Updates
    estim_lr: jax.Array
    gsq_weighted: jax.Array


@rule
class ScaleByDadaptAdan(Transform):
    r"""The step of Adan under D-Adaptation, from gradients to what is added to the parameters.

    .. math::
        \eta_t &= d_t \gamma_t, \qquad \Delta_t = g_t - g_{t-1}, \qquad \Delta_1 = 0, \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, \eta_t g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\, \eta_t \Delta_t, \\
        n_t &= \beta_3 n_{t-1} + (1-\beta_3) |g_t + \beta_2 \Delta_t|^2, \qquad
        D_t = \sqrt{n_t} + \epsilon, \\
        s_t &= \beta_3 s_{t-1} + (1-\beta_3)\, \eta_t g_t, \qquad
        q_t = \beta_3 q_{t-1} + (1-\beta_3)\, \eta_t^2 \langle g_t, g_t / D_t \rangle, \\
        d_{t+1} &= \max\Bigl(d_t,\ \frac{\langle s_t, s_t / D_t \rangle / (1-\beta_3) - q_t}
            {\|s_t\|_1}\Bigr), \qquad
        \theta_t = \frac{\theta_{t-1} - (m_t + \beta_2 v_t) / D_t}{1 + \eta_t \lambda}.

    The arguments are those of the optimizer ``DAdaptAdan``.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733, whose code has the form for Adan.
    """

    learning_rate: NonNegative | Schedule = 1.0
    b1: Decay = 0.98
    b2: Decay = 0.92
    b3: Decay = 0.99
    eps: NonNegative = 1e-8
    estim_lr0: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.02
    weight_decay_mask: Static[Mask] = None

    def init(self, params: Params) -> ScaleByDadaptAdanState:
        mu, delta, grad, s = (tree.fine_zeros_like(params) for _ in range(4))
        d, q = scalar(self.estim_lr0), jnp.zeros((), float)
        count, nu = jnp.zeros((), jnp.int32), tree.accumulators(params)
        return ScaleByDadaptAdanState(count, mu, delta, nu, grad, s, d, q)

    def update(
        self,
        updates: Updates,
        state: ScaleByDadaptAdanState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByDadaptAdanState]:
        check_params("ScaleByDadaptAdan", params, updates)
        d, g = state.estim_lr, tree.widened(updates)
        eta = d * value_at(self.learning_rate, state.count)
        last = tree.where(state.count == 0, tree.cast_like(g, state.grad), state.grad)
        diff = tree.sub(g, last)
        # m = b1 m + (1 - b1) eta g;  v = b2 v + (1 - b2) eta diff;  s = b3 s + (1 - b3) eta g
        step = tree.scale(eta, g)
        mu = tree.moment(self.b1, state.mu, step)
        delta = tree.moment(self.b2, state.delta, tree.scale(eta, diff))
        s = tree.moment(self.b3, state.grad_sum, step)
        # n = b3 n + (1 - b3) |g + b2 diff|^2;  D = sqrt(n) + eps
        nu = tree.second_moment(self.b3, state.nu, tree.add_scale(g, self.b2, diff))
        below = jax.tree.map(lambda n: safe_sqrt(n) + at(self.eps, n), nu)
        # q = b3 q + (1 - b3) eta^2 <g, g / D>
        q = lerp(self.b3, state.gsq_weighted, eta**2 * _weighted_sq(g, below))
        # d = max(d, (<s, s / D> / (1 - b3) - q) / |s|_1)
        gap = _weighted_sq(s, below) / scalar(complement(self.b3)) - q
        d = jnp.maximum(d, over(gap, tree.sum_abs(s)))

        # u = (theta - (m + b2 v) / D) / (1 + eta lambda) - theta
        def leaf(m: jax.Array, v: jax.Array, below: jax.Array) -> jax.Array:
            return over(-(m + times(self.b2, v)), below)

        shrink = eta * value_at(self.weight_decay, state.count)
        u = jax.tree.map(leaf, mu, delta, below)
        ahead = tree.add(u, params)
        u = add_decayed(u, -shrink / (1 + shrink), ahead, self.weight_decay_mask)
        mu, delta, nu, grad, s = tree.cast_like((mu, delta, nu, g, s), state[1:6])
        t = safe_increment(state.count)
        new = ScaleByDadaptAdanState(t, mu, delta, nu, grad, s, d, q)
        return tree.cast_like(u, updates), new


def _weighted_sq(x: Updates, below: Updates) -> jax.Array:
    """``<x, x / below>`` over all leaves, in the default float dtype."""

    def leaf(x: jax.Array, d: jax.Array) -> jax.Array:
        size, d = widen(abs_sq(x), d)
        return over(size, d)

    return tree.total(jax.tree.map(leaf, x, below)).astype(float)
