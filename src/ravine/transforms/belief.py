"""Adam's kin that divide by how far gradients stray from their mean."""

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, bias_correction, fine, over, safe_increment, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.adam import adaptive, unbiased


class ScaleByBeliefState(NamedTuple):
    """The step count (int32), the mean of gradients, and that of their squared distance to it."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates


@rule
class ScaleByBelief(Transform):
    r"""AdaBelief's direction: steps are long where a gradient is as was expected.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        s_t &= \beta_2 s_{t-1} + (1-\beta_2) |g_t - m_t|^2 + \bar\epsilon, \\
        u_t &= \hat m_t / (\sqrt{\hat s_t} + \epsilon), &
        \hat m_t &= m_t / (1-\beta_1^t), \quad \hat s_t = s_t / (1-\beta_2^t).

    Args:
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the squared distance, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, added to the squared distance at every step.
        nesterov: use Dozat's :math:`\hat m`, which looks one step ahead.

    Reference: Zhuang et al., AdaBelief optimizer: adapting stepsizes by the belief in
    observed gradients, 2020, https://arxiv.org/abs/2010.07468.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByBelief(b1=0.5, b2=0.0)
    >>> g = jnp.array([4.0, -0.5])
    >>> transform.update(g, transform.init(g))[0]
    Array([ 2., -2.], dtype=float32)
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-16
    eps_root: NonNegative = 1e-16
    _: KW_ONLY
    nesterov: Static[bool] = False

    elementwise = True

    def init(self, params: Params) -> ScaleByBeliefState:
        mu, nu = tree.zeros_like(params), tree.accumulators(params)
        return ScaleByBeliefState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByBeliefState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByBeliefState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) |g - m|^2 + eps_root
        mu = tree.moment(self.b1, state.mu, updates)
        nu = strayed(self.b2, self.eps_root, state.nu, updates, mu)
        # u = m^ / (sqrt(s^) + eps)
        mu_hat = unbiased(self.b1, mu, updates, t, nesterov=self.nesterov)
        c2 = bias_correction(self.b2, t)
        u = jax.tree.map(lambda m, s: adaptive(m, over(s, c2), self.eps, 0.0), mu_hat, nu)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(u, updates), ScaleByBeliefState(t, mu, nu)


@rule
class ScaleByAcprop(Transform):
    r"""ACProp's direction: the gradient over a deviation that was known before it came.

    .. math::
        u_t &= g_t / (\sqrt{\hat s_{t-1}} + \epsilon), \qquad
        \hat s_{t-1} = s_{t-1} / (1-\beta_2^{t-1}), \qquad u_1 = g_1 / (1 + \epsilon), \\
        s_t &= \beta_2 s_{t-1} + (1-\beta_2) |g_t - m_{t-1}|^2 + \bar\epsilon, \qquad
        m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t.

    The divisor knows nothing of the gradient that it divides, so the two are independent.

    Args:
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the squared distance, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, added to the squared distance at every step.

    Reference: Zhuang et al., Momentum centering and asynchronous update for adaptive
    gradient methods, 2021, https://arxiv.org/abs/2110.05454.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-16
    eps_root: NonNegative = 1e-16

    elementwise = True

    def init(self, params: Params) -> ScaleByBeliefState:
        mu, nu = tree.zeros_like(params), tree.accumulators(params)
        return ScaleByBeliefState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByBeliefState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByBeliefState]:
        # u = g / (sqrt(s^) + eps), with the s of the step before, and 1 at the first step
        first = state.count == 0
        c2 = bias_correction(self.b2, jnp.maximum(state.count, 1))

        def direction(g: Any, s: jax.Array) -> jax.Array:
            return adaptive(fine(g), jnp.where(first, 1, over(s, c2)), self.eps, 0.0)

        u = jax.tree.map(direction, updates, state.nu)
        # s = b2 s + (1 - b2) |g - m|^2 + eps_root;  m = b1 m + (1 - b1) g
        nu = strayed(self.b2, self.eps_root, state.nu, updates, state.mu)
        mu = tree.moment(self.b1, state.mu, updates)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        state = ScaleByBeliefState(safe_increment(state.count), mu, nu)
        return tree.cast_like(u, updates), state


def strayed(b2: Any, eps_root: Any, nu: Updates, updates: Updates, mu: Updates) -> Updates:
    """The next mean of squared distances ``|g - m|^2``, with ``eps_root`` added to it."""

    def distance(g: Any, m: jax.Array) -> jax.Array:
        g, m = widen(g, m)
        return g - m

    nu = tree.second_moment(b2, nu, jax.tree.map(distance, updates, mu))
    return jax.tree.map(lambda s: s + at(eps_root, s), nu)
