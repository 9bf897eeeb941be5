"""D-Adaptation of gradient descent."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import complement, over, safe_increment, scalar
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Positive, Schedule, Transform, Updates
from ravine.transforms.scale import value_at


class ScaleByDadaptSgdState(NamedTuple):
    """The step count (int32), the first point, a sum of gradients, and three numbers."""

    count: jax.Array  # type: ignore[assignment]
    params0: Params
    grad_sum: Updates
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    g0_norm: jax.Array


@rule
class ScaleByDadaptSgd(Transform):
    r"""The step of gradient descent under D-Adaptation, from gradients to what is added.

    .. math::
        \eta_t &= d_t \gamma_t / \|g_1\|, \qquad
        r_t = r_{t-1} + \eta_t \langle g_t, s_{t-1} \rangle, \qquad
        s_t = s_{t-1} + \eta_t g_t, \\
        d_{t+1} &= \max(d_t,\ 2 r_t / \|s_t\|), \qquad
        \theta_t = \mu \theta_{t-1} + (1-\mu) (\theta_0 - s_t).

    The arguments are those of the optimizer ``DAdaptSGD``.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733.
    """

    learning_rate: NonNegative | Schedule = 1.0
    momentum: Decay = 0.9
    estim_lr0: Positive = 1e-6

    def init(self, params: Params) -> ScaleByDadaptSgdState:
        return ScaleByDadaptSgdState(
            jnp.zeros((), jnp.int32),
            tree.copy(params),
            tree.fine_zeros_like(params),
            scalar(self.estim_lr0),
            jnp.zeros((), float),
            jnp.zeros((), float),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByDadaptSgdState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByDadaptSgdState]:
        check_params("ScaleByDadaptSgd", params, updates)
        d, g, s = state.estim_lr, tree.widened(updates), state.grad_sum
        # The first gradient that is not zero sets the unit.
        g0 = jnp.where(state.g0_norm == 0, tree.norm(g).astype(float), state.g0_norm)
        # eta = d gamma / |g1|;  r = r + eta <g, s>;  s = s + eta g
        eta = over(d * value_at(self.learning_rate, state.count), g0)
        r = state.numerator_weighted + eta * tree.inner(g, s)
        s = tree.add_scale(s, eta, g)
        # d = max(d, 2 r / |s|)
        d = jnp.maximum(d, over(2 * r, tree.norm(s)))
        # u = (1 - mu) (theta0 - theta - s),  in this order: the first s are lost beside theta
        way = tree.sub(tree.widened(state.params0), params)
        u = tree.scale(complement(self.momentum), tree.sub(way, s))
        new = ScaleByDadaptSgdState(safe_increment(state.count), state.params0, s, d, r, g0)
        return tree.cast_like(u, updates), new
