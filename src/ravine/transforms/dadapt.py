"""D-Adaptation of Adam and of Lion: a learning rate that grows to the distance to the solution."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    bias_correction,
    complement,
    lerp,
    over,
    root,
    safe_increment,
    safe_sqrt,
    scalar,
    times,
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
from ravine.transforms.adam import adaptive
from ravine.transforms.decay import add_decayed
from ravine.transforms.scale import value_at


class ScaleByDadaptAdamState(NamedTuple):
    """The step count (int32), two moments, a mean of gradients, the distance, its numerator."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    grad_sum: Updates
    estim_lr: jax.Array
    numerator_weighted: jax.Array


@rule
class ScaleByDadaptAdam(Transform):
    r"""The step of Adam under D-Adaptation, from gradients to what is added to the parameters.

    .. math::
        \eta_t &= d_t \gamma_t \sqrt{1-\beta_2^t} / (1-\beta_1^t), \qquad
        \beta = \sqrt{\beta_2}, \\
        r_t &= \beta r_{t-1} + (1-\beta)\, \eta_t
            \Bigl\langle g_t, \frac{s_{t-1}}{\sqrt{v_{t-1}} + \epsilon} \Bigr\rangle, \qquad
        s_t = \beta s_{t-1} + (1-\beta)\, \eta_t g_t, \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, \eta_t g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \\
        d_{t+1} &= \max\Bigl(d_t,\ \frac{r_t}{(1-\beta) \|s_t\|_1}\Bigr), \qquad
        u_t = -\frac{m_t}{\sqrt{v_t} + \epsilon} - \eta_t \lambda \theta_{t-1}.

    The arguments are those of the optimizer ``DAdaptAdamW``, its ``betas`` called ``b1`` and
    ``b2`` here.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733.
    """

    learning_rate: NonNegative | Schedule = 1.0
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    estim_lr0: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def init(self, params: Params) -> ScaleByDadaptAdamState:
        return ScaleByDadaptAdamState(
            jnp.zeros((), jnp.int32),
            tree.fine_zeros_like(params),
            tree.accumulators(params),
            tree.fine_zeros_like(params),
            scalar(self.estim_lr0),
            jnp.zeros((), float),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByDadaptAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByDadaptAdamState]:
        check_params("ScaleByDadaptAdam", params, updates)
        t, d, g, b = (
            safe_increment(state.count),
            state.estim_lr,
            tree.widened(updates),
            root(self.b2),
        )
        # eta = d gamma sqrt(1 - b2^t) / (1 - b1^t)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)
        eta = over(d * value_at(self.learning_rate, state.count) * safe_sqrt(c2), c1)
        # r = b r + (1 - b) eta <g, s / (sqrt(v) + eps)>
        scaled = jax.tree.map(lambda s, v: adaptive(s, v, self.eps, 0.0), state.grad_sum, state.nu)
        r = lerp(b, state.numerator_weighted, eta * tree.inner(g, scaled))
        # m = b1 m + (1 - b1) eta g;  v = b2 v + (1 - b2) |g|^2;  s = b s + (1 - b) eta g
        step = tree.scale(eta, g)
        mu = tree.moment(self.b1, state.mu, step)
        nu = tree.second_moment(self.b2, state.nu, g)
        s = tree.moment(b, state.grad_sum, step)
        # d = max(d, r / ((1 - b) |s|_1))
        d = jnp.maximum(d, over(r, times(complement(b), tree.sum_abs(s))))
        # u = -m / (sqrt(v) + eps) - eta lambda theta
        u = jax.tree.map(lambda m, v: adaptive(m, v, self.eps, 0.0), mu, nu)
        decay = eta * value_at(self.weight_decay, state.count)
        u = tree.scale(-1.0, add_decayed(u, decay, params, self.weight_decay_mask))
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        s = tree.cast_like(s, state.grad_sum)
        return tree.cast_like(u, updates), ScaleByDadaptAdamState(t, mu, nu, s, d, r)


class ScaleByDadaptLionState(NamedTuple):
    """The step count (int32), the first moment, a mean of signs, the distance, its numerator."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    sign_sum: Updates
    estim_lr: jax.Array
    numerator_weighted: jax.Array


@rule
class ScaleByDadaptLion(Transform):
    r"""The step of Lion under D-Adaptation, from gradients to what is added to the parameters.

    .. math::
        \eta_t &= d_t \gamma_t, \qquad \beta = \sqrt{\beta_2}, \qquad
        c_t = \operatorname{sign}(\beta_1 m_{t-1} + (1-\beta_1) g_t), \\
        m_t &= \beta_2 m_{t-1} + (1-\beta_2)\, \eta_t g_t, \\
        r_t &= \beta r_{t-1} + (1-\beta)\, \eta_t \langle c_t, s_{t-1} \rangle, \qquad
        s_t = \beta s_{t-1} + (1-\beta)\, \eta_t c_t, \\
        d_{t+1} &= \max\Bigl(d_t,\ \frac{r_t}{(1-\beta) \|s_t\|_1}\Bigr), \qquad
        u_t = -\eta_t (c_t + \lambda \theta_{t-1}).

    The arguments are those of the optimizer ``DAdaptLion``.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733, whose code has the form for Lion.
    """

    learning_rate: NonNegative | Schedule = 1.0
    b1: Decay = 0.9
    b2: Decay = 0.99
    estim_lr0: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def init(self, params: Params) -> ScaleByDadaptLionState:
        return ScaleByDadaptLionState(
            jnp.zeros((), jnp.int32),
            tree.fine_zeros_like(params),
            tree.fine_zeros_like(params),
            scalar(self.estim_lr0),
            jnp.zeros((), float),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByDadaptLionState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByDadaptLionState]:
        check_params("ScaleByDadaptLion", params, updates)
        d, g, b = state.estim_lr, tree.widened(updates), root(self.b2)
        eta = d * value_at(self.learning_rate, state.count)
        # c = sign(b1 m + (1 - b1) g);  m = b2 m + (1 - b2) eta g
        c = jax.tree.map(jnp.sign, tree.moment(self.b1, state.mu, g))
        mu = tree.moment(self.b2, state.mu, tree.scale(eta, g))
        # r = b r + (1 - b) eta <c, s>;  s = b s + (1 - b) eta c
        r = lerp(b, state.numerator_weighted, eta * tree.inner(c, state.sign_sum))
        s = tree.moment(b, state.sign_sum, tree.scale(eta, c))
        # d = max(d, r / ((1 - b) |s|_1))
        d = jnp.maximum(d, over(r, times(complement(b), tree.sum_abs(s))))
        # u = -eta (c + lambda theta)
        decay = value_at(self.weight_decay, state.count)
        u = tree.scale(-eta, add_decayed(c, decay, params, self.weight_decay_mask))
        mu, s = tree.cast_like(mu, state.mu), tree.cast_like(s, state.sign_sum)
        new = ScaleByDadaptLionState(safe_increment(state.count), mu, s, d, r)
        return tree.cast_like(u, updates), new
