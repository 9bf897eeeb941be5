"""COCOB: every coordinate bets on the sign of its next gradient."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import by_part, fine, over, times, widen
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Positive, Transform, Updates


class ScaleByCocobState(NamedTuple):
    """The first point, and for each coordinate two sums, the largest gradient and the reward."""

    init_particles: Params
    cumulative_gradients: Updates
    scale: Updates
    subgradients: Updates
    reward: Updates


@rule
class ScaleByCocob(Transform):
    r"""COCOB's step, from gradients to what is added to the parameters.

    .. math::
        L_t &= \max(L_{t-1}, |g_t|), \qquad
        G_t = G_{t-1} + |g_t|, \qquad
        C_t = C_{t-1} - g_t, \\
        R_t &= \max(R_{t-1} - g_t (\theta_{t-1} - \theta_0),\ 0), \\
        \theta_t &= \theta_0 + \frac{C_t}{L_t \max(G_t + L_t,\ \alpha L_t)} (L_t + R_t),
        \qquad L_0 = \epsilon.

    Args:
        alpha: :math:`\alpha > 0`: the larger, the smaller the first bets.
        eps: :math:`\epsilon \ge 0`, where the largest gradient starts from.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Orabona and Tommasi, Training deep networks without learning rates through
    coin betting, 2017, algorithm 2, https://arxiv.org/abs/1705.07795.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByCocob()
    >>> params = jnp.array([3.0, -4.0])
    >>> transform.update(params, transform.init(params), params)[0]
    Array([-0.01,  0.01], dtype=float32)
    """

    alpha: Positive = 100.0
    eps: NonNegative = 1e-8

    def init(self, params: Params) -> ScaleByCocobState:
        return ScaleByCocobState(
            tree.copy(params),
            tree.fine_zeros_like(params),
            tree.accumulators(params, self.eps),
            tree.accumulators(params),
            tree.accumulators(params),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByCocobState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByCocobState]:
        check_params("ScaleByCocob", params, updates)
        way = tree.sub(tree.widened(params), state.init_particles)
        # L = max(L, |g|);  G = G + |g|;  C = C - g;  R = max(R - g (theta - theta0), 0)
        size = jax.tree.map(lambda g: jnp.abs(fine(g)), updates)
        largest = jax.tree.map(jnp.maximum, state.scale, tree.cast_like(size, state.scale))
        total = tree.add(state.subgradients, size)
        wealth = tree.sub(state.cumulative_gradients, tree.widened(updates))

        def rewarded(reward: jax.Array, g: Any, way: jax.Array) -> jax.Array:
            g, way = widen(g, way)
            return jnp.maximum(reward - (jnp.conj(g) * way).real.astype(reward.dtype), 0)

        reward = jax.tree.map(rewarded, state.reward, updates, way)

        # u = theta0 - theta + C (L + R) / (L max(G + L, alpha L))
        def step(
            way: jax.Array, c: jax.Array, top: jax.Array, g: jax.Array, r: jax.Array
        ) -> jax.Array:
            share = over(top + r, top * jnp.maximum(g + top, times(self.alpha, top)))
            c, way = widen(c, way)
            return by_part(lambda x: x * share.astype(x.dtype), c) - way

        u = jax.tree.map(step, way, wealth, largest, total, reward)
        new = ScaleByCocobState(state.init_particles, wealth, largest, total, reward)
        return tree.cast_like(u, updates), new
