"""Dual averaging: every point is reckoned anew from the start and the sum of gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    abs_sq,
    at,
    complement,
    fine,
    over,
    safe_increment,
    times,
    widen,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Schedule, Transform, Updates
from ravine.transforms.scale import value_at


class ScaleByMadgradState(NamedTuple):
    """The step count (int32), the weighted sums of squares and of gradients, and the start."""

    count: jax.Array  # type: ignore[assignment]
    nu: Updates
    sum: Updates
    start: Params


@rule
class ScaleByMadgrad(Transform):
    r"""MADGRAD's step, learning rate and sign included: add it to the parameters as it is.

    .. math::
        \lambda_t &= (\eta_t + \epsilon) \sqrt t, \qquad
        s_t = s_{t-1} + \lambda_t g_t, \qquad v_t = v_{t-1} + \lambda_t |g_t|^2, \\
        z_t &= \theta_0 - s_t / (\sqrt[3]{v_t} + \epsilon), \qquad
        u_t = (1-\mu)(z_t - \theta_{t-1}).

    The sums are kept in float32 or finer, since nothing in them is ever forgotten.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: :math:`\mu` in [0, 1): how much of the last point is kept.
        eps: :math:`\epsilon \ge 0`, added to the cube root and to the learning rate.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Defazio and Jelassi, Adaptivity without compromise: a momentumized, adaptive,
    dual averaged gradient method for stochastic optimization, 2021,
    https://arxiv.org/abs/2101.11075.
    """

    learning_rate: NonNegative | Schedule
    momentum: Decay = 0.9
    eps: NonNegative = 1e-6

    elementwise = True

    def init(self, params: Params) -> ScaleByMadgradState:
        nu, total = tree.accumulators(params), tree.fine_zeros_like(params)
        return ScaleByMadgradState(jnp.zeros((), jnp.int32), nu, total, tree.copy(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByMadgradState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByMadgradState]:
        check_params("ScaleByMadgrad", params, updates)
        t = safe_increment(state.count)
        eta = value_at(self.learning_rate, state.count)
        # l = (eta + eps) sqrt(t)
        weight = (eta + at(self.eps, eta)) * jnp.sqrt(t.astype(float))

        def added(s: jax.Array, x: Any) -> jax.Array:
            s, x = widen(s, x)
            return s + times(weight, x)

        def step(s: jax.Array, v: jax.Array, start: jax.Array, p: Any) -> jax.Array:
            # z = theta_0 - s / (cbrt(v) + eps);  u = (1 - mu) (z - theta), large terms first
            s, start, p = widen(s, start, p)
            way = (start - p) - over(s, safe_cbrt(v) + at(self.eps, v))
            return times(complement(self.momentum), way)

        # s = s + l g;  v = v + l |g|^2
        total = jax.tree.map(added, state.sum, updates)
        nu = jax.tree.map(lambda v, g: added(v, abs_sq(fine(g))), state.nu, updates)
        u = jax.tree.map(step, total, nu, state.start, params)
        slots = ScaleByMadgradState(t, nu, total, state.start)
        return tree.cast_like(u, updates), tree.cast_like(slots, state)


def safe_cbrt(x: jax.Array) -> jax.Array:
    """The cube root, with derivative 0 instead of infinity at 0."""
    zero = x == 0
    return jnp.where(zero, 0, jnp.cbrt(jnp.where(zero, 1, x)))
