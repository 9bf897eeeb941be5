"""Nesterov momentum for adaptive methods, by differences of gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import bias_correction, complement, over, safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Transform, Updates
from ravine.transforms.adam import adaptive


class ScaleByAdanState(NamedTuple):
    """The step count (int32), three moments, and the gradient of the last step."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    delta: Updates
    nu: Updates
    grad: Updates


@rule
class ScaleByAdan(Transform):
    r"""Adan's direction: means of gradients and of their differences, over a root.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) (g_t - g_{t-1}), \\
        n_t &= \beta_3 n_{t-1} + (1-\beta_3) |g_t + (1-\beta_2) (g_t - g_{t-1})|^2, \\
        u_t &= \frac{\hat m_t + (1-\beta_2) \hat v_t}{\sqrt{\hat n_t + \bar\epsilon} + \epsilon},

    each moment divided by :math:`1-\beta^t`, and :math:`g_0 = g_1`.

    Args:
        b1: decay :math:`\beta_1` of the mean of gradients, in [0, 1).
        b2: decay :math:`\beta_2` of the mean of differences, in [0, 1).
        b3: decay :math:`\beta_3` of the mean of squares, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.

    Reference: Xie et al., Adan: adaptive Nesterov momentum algorithm for faster optimizing
    deep models, 2022, https://arxiv.org/abs/2208.06677.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByAdan()
    >>> g = jnp.array([4.0, -0.5])
    >>> transform.update(g, transform.init(g))[0]
    Array([ 1., -1.], dtype=float32)
    """

    b1: Decay = 0.98
    b2: Decay = 0.92
    b3: Decay = 0.99
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0

    elementwise = True

    def init(self, params: Params) -> ScaleByAdanState:
        # With a decay of 0.98 means in half precision lose more digits than they keep.
        mu, delta = tree.fine_zeros_like(params), tree.fine_zeros_like(params)
        nu, grad = tree.accumulators(params), tree.zeros_like(params)
        return ScaleByAdanState(jnp.zeros((), jnp.int32), mu, delta, nu, grad)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdanState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdanState]:
        t = safe_increment(state.count)

        def difference(g: Any, last: jax.Array) -> jax.Array:
            g, last = widen(g, last)
            return jnp.where(t == 1, 0, g - last)

        def ahead(x: Any, d: jax.Array) -> jax.Array:
            x, d = widen(x, d)
            return x + times(complement(self.b2), d)

        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) (g - g')
        diff = jax.tree.map(difference, updates, state.grad)
        m = tree.moment(self.b1, state.mu, updates)
        v = tree.moment(self.b2, state.delta, diff)
        # n = b3 n + (1 - b3) |g + (1 - b2) (g - g')|^2
        n = tree.second_moment(self.b3, state.nu, jax.tree.map(ahead, updates, diff))
        # u = (m^ + (1 - b2) v^) / (sqrt(n^ + eps_root) + eps)
        c1, c2, c3 = (bias_correction(b, t) for b in (self.b1, self.b2, self.b3))

        def direction(m: jax.Array, v: jax.Array, n: jax.Array) -> jax.Array:
            return adaptive(ahead(over(m, c1), over(v, c2)), over(n, c3), self.eps, self.eps_root)

        u = tree.cast_like(jax.tree.map(direction, m, v, n), updates)
        slots = ScaleByAdanState(t, m, v, n, updates)
        return u, tree.cast_like(slots, state)
