"""Adagrad's sum of squares, and Adadelta's two means of squares."""

from typing import Any, NamedTuple

import jax

from ravine.core import tree
from ravine.core.numerics import abs_sq, at, fine, safe_rsqrt, safe_sqrt, times
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Positive, Transform, Updates


class ScaleByRssState(NamedTuple):
    """The sum of all squares so far: real, float32 or finer."""

    sum_of_squares: Updates


@rule
class ScaleByRss(Transform):
    r"""Divide by the root of the sum of all squares so far.

    .. math::
        s_t = s_{t-1} + |g_t|^2, \qquad u_t = g_t / \sqrt{s_t + \epsilon}.

    Args:
        initial_accumulator_value: :math:`s_0 \ge 0`.
        eps: :math:`\epsilon \ge 0`, inside the root.

    Reference: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning
    and stochastic optimization, 2011, https://jmlr.org/papers/v12/duchi11a.html.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByRss(initial_accumulator_value=0.0, eps=0.0)
    >>> state = transform.init(jnp.zeros(2))
    >>> for g in (jnp.array([3.0, 0.0]), jnp.array([4.0, -1.0])):
    ...     u, state = transform.update(g, state)
    >>> u
    Array([ 0.8, -1. ], dtype=float32)
    """

    initial_accumulator_value: NonNegative = 0.1
    eps: NonNegative = 1e-7

    elementwise = True

    def init(self, params: Params) -> ScaleByRssState:
        return ScaleByRssState(tree.accumulators(params, self.initial_accumulator_value))

    def update(
        self, updates: Updates, state: ScaleByRssState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByRssState]:
        # s = s + |g|^2;  u = g / sqrt(s + eps)
        s = jax.tree.map(
            lambda s, g: s + abs_sq(fine(g)).astype(s.dtype), state.sum_of_squares, updates
        )
        u = jax.tree.map(lambda g, s: times(safe_rsqrt(s + at(self.eps, s)), fine(g)), updates, s)
        return tree.cast_like(u, updates), ScaleByRssState(s)


class ScaleByAdadeltaState(NamedTuple):
    """The mean squares of the gradients and of the updates: real, float32 or finer."""

    e_g: Updates
    e_x: Updates


@rule
class ScaleByAdadelta(Transform):
    r"""Adadelta's direction: gradients brought to the scale of the updates before them.

    .. math::
        e_t &= \rho e_{t-1} + (1-\rho) |g_t|^2, &
        u_t &= \frac{\sqrt{x_{t-1} + \epsilon}}{\sqrt{e_t + \epsilon}}\, g_t, &
        x_t &= \rho x_{t-1} + (1-\rho) |u_t|^2.

    Args:
        rho: decay :math:`\rho` of both means, in [0, 1).
        eps: :math:`\epsilon > 0`, in both roots; it sets the size of the first updates.

    Reference: Zeiler, Adadelta: an adaptive learning rate method, 2012,
    https://arxiv.org/abs/1212.5701.
    """

    rho: Decay = 0.9
    eps: Positive = 1e-6

    elementwise = True

    def init(self, params: Params) -> ScaleByAdadeltaState:
        return ScaleByAdadeltaState(tree.accumulators(params), tree.accumulators(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByAdadeltaState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdadeltaState]:
        # e = rho e + (1 - rho) |g|^2
        e_g = tree.second_moment(self.rho, state.e_g, updates)

        def direction(g: Any, e: jax.Array, x: jax.Array) -> jax.Array:
            # u = sqrt(x + eps) / sqrt(e + eps) g
            ratio = safe_sqrt(x + at(self.eps, x)).astype(e.dtype) / safe_sqrt(e + at(self.eps, e))
            return times(ratio, fine(g))

        u = jax.tree.map(direction, updates, e_g, state.e_x)
        # x = rho x + (1 - rho) |u|^2
        e_x = tree.second_moment(self.rho, state.e_x, u)
        new = ScaleByAdadeltaState(tree.cast_like(e_g, state.e_g), tree.cast_like(e_x, state.e_x))
        return tree.cast_like(u, updates), new
