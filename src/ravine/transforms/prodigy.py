"""Prodigy: Adam whose learning rate is an estimate of the distance to the solution."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    at,
    bias_correction,
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


class ScaleByProdigyState(NamedTuple):
    """The step count (int32), two moments, a sum of gradients, the first point, two numbers."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    grad_sum: Updates
    params0: Params
    estim_lr: jax.Array
    numerator_weighted: jax.Array


@rule
class ScaleByProdigy(Transform):
    r"""Prodigy's step, from gradients to what is added to the parameters.

    .. math::
        \eta_t &= d_t \gamma_t \sqrt{1-\beta_2^t} / (1-\beta_1^t), \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, d_t g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\, d_t^2 |g_t|^2, \\
        r_t &= \beta_3 r_{t-1}
            + \tfrac{d_t}{d_0} \eta_t \langle g_t, \theta_0 - \theta_{t-1} \rangle, \qquad
        s_t = \beta_3 s_{t-1} + \tfrac{d_t}{d_0} \eta_t g_t, \\
        d_{t+1} &= \max(d_t,\ c\, r_t / \|s_t\|_1), \qquad
        u_t = -\eta_t \Bigl( \frac{m_t}{\sqrt{v_t} + d_{t+1} \epsilon}
            + \lambda \theta_{t-1} \Bigr).

    The arguments are those of the optimizer ``Prodigy``, its ``betas`` and ``beta3`` called
    ``b1``, ``b2`` and ``b3`` here. The sums are kept in float32 or finer: their terms are
    as small as :math:`d`.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Mishchenko and Defazio, Prodigy: an expeditiously adaptive parameter-free
    learner, 2023, https://arxiv.org/abs/2306.06101.
    """

    learning_rate: NonNegative | Schedule = 1.0
    b1: Decay = 0.9
    b2: Decay = 0.999
    b3: Decay | None = None
    eps: NonNegative = 1e-8
    estim_lr0: Positive = 1e-6
    estim_lr_coef: Positive = 1.0
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    safeguard_warmup: Static[bool] = False

    def init(self, params: Params) -> ScaleByProdigyState:
        return ScaleByProdigyState(
            jnp.zeros((), jnp.int32),
            tree.fine_zeros_like(params),
            tree.accumulators(params),
            tree.fine_zeros_like(params),
            tree.copy(params),
            scalar(self.estim_lr0),
            jnp.zeros((), float),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByProdigyState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByProdigyState]:
        check_params("ScaleByProdigy", params, updates)
        t, d, g = safe_increment(state.count), state.estim_lr, tree.widened(updates)
        d0, b3 = scalar(self.estim_lr0), root(self.b2) if self.b3 is None else self.b3
        # eta = d gamma sqrt(1 - b2^t) / (1 - b1^t)
        c1, c2 = bias_correction(self.b1, t), bias_correction(self.b2, t)
        eta = over(d * value_at(self.learning_rate, state.count) * safe_sqrt(c2), c1)
        # m = b1 m + (1 - b1) d g;  v = b2 v + (1 - b2) d^2 |g|^2
        dg = tree.scale(d, g)
        mu = tree.moment(self.b1, state.mu, dg)
        nu = tree.second_moment(self.b2, state.nu, dg)
        # r = b3 r + d / d0 eta <g, theta0 - theta>
        moved = tree.sub(tree.widened(state.params0), params)
        r = times(b3, state.numerator_weighted) + d / d0 * eta * tree.inner(g, moved)
        # s = b3 s + d / d0 eta g
        rate = d if self.safeguard_warmup else eta
        s = tree.add_scale(tree.scale(b3, state.grad_sum), d / d0 * rate, g)
        # d = max(d, c r / |s|_1)
        d = jnp.maximum(d, over(times(self.estim_lr_coef, r), tree.sum_abs(s)))
        # u = -eta (m / (sqrt(v) + d eps) + lambda theta)
        u = jax.tree.map(lambda m, v: adaptive(m, v, d * at(self.eps, d), 0.0), mu, nu)
        decay = value_at(self.weight_decay, state.count)
        u = tree.scale(-eta, add_decayed(u, decay, params, self.weight_decay_mask))
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        new = ScaleByProdigyState(t, mu, nu, s, state.params0, d, r)
        return tree.cast_like(u, updates), new
