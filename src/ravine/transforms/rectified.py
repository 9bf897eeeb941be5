"""Adam that trusts its second moment only once it has seen enough."""

import math
from dataclasses import KW_ONLY
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import bias_correction, over, safe_increment, safe_sqrt, scalar, times
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, adaptive, unbiased


@rule
class ScaleByRadam(Transform):
    r"""RAdam's direction: Adam's times a factor that grows with what is known of the variance.

    .. math::
        u_t &= \begin{cases}
            r_t\,\hat m_t / (\sqrt{\hat v_t + \bar\epsilon} + \epsilon) & \rho_t \ge \tau, \\
            \hat m_t & \rho_t < \tau,
        \end{cases} \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1-\beta_2^t}, \quad
        \rho_\infty = \frac{2}{1-\beta_2} - 1, \\
        r_t &= \sqrt{\frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}},

    with the moments of Adam. :math:`\rho_t` is the number of gradients that :math:`v_t` is
    worth. It is computed so that float32 keeps its digits, which the formula as it stands loses.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        threshold: :math:`\tau \ge 0`, from which on the second moment is used; at least 4,
            where the factor begins.
        nesterov: use Dozat's :math:`\hat m`, which looks one step ahead.

    Reference: Liu et al., On the variance of the adaptive learning rate and beyond, 2019,
    https://arxiv.org/abs/1908.03265.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    threshold: NonNegative = 5.0
    _: KW_ONLY
    nesterov: Static[bool] = False

    elementwise = True

    def init(self, params: Params) -> ScaleByAdamState:
        mu, nu = tree.zeros_like(params), tree.accumulators(params)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        mu_hat = unbiased(self.b1, mu, updates, t, nesterov=self.nesterov)
        c2 = bias_correction(self.b2, t)
        # r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)
        rho, limit = effective_length(self.b2, t)
        above, below = (rho - 4) * (rho - 2) * limit, (limit - 4) * (limit - 2) * rho
        r = safe_sqrt(over(above, below))
        known = rho >= scalar(self.threshold)

        def direction(m: jax.Array, v: jax.Array) -> jax.Array:
            u = adaptive(m, over(v, c2), self.eps, self.eps_root)
            return jnp.where(known, times(r, u), m)

        u = jax.tree.map(direction, mu_hat, nu)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(u, updates), ScaleByAdamState(t, mu, nu)


def effective_length(b2: Any, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""How many gradients a mean with decay ``b2`` is worth after ``t`` steps, and in the limit.

    It is one plus twice the mean age of what the mean holds: with :math:`\lambda = -\ln\beta`
    that age is :math:`1/(e^\lambda-1) - t/(e^{\lambda t}-1)`. The difference loses all digits
    for a :math:`\beta` near 1, unless the parts :math:`1/\lambda` that cancel are left out.
    """
    plain = isinstance(b2, float) and b2 > 0
    rate = scalar(-math.log(b2)) if plain else -jnp.log(scalar(b2))
    steps = t.astype(float)

    def rest(x: jax.Array) -> jax.Array:
        # 1 / (e^x - 1) - 1/x + 1/2, by its series where it is small
        small = x < 1
        y, z = jnp.where(small, x, 1) ** 2, jnp.where(small, 1, x)
        series = 1 / 12 - y * (1 / 720 - y * (1 / 30240 - y * (1 / 1209600 - y / 47900160)))
        return jnp.where(small, x * series, 1 / jnp.expm1(z) - 1 / z + 0.5)

    # rho = 1 + 2 (1 / (e^l - 1) - t / (e^(l t) - 1))
    early = steps + 2 * rest(rate) - 2 * steps * rest(rate * steps)
    limit = 1 + 2 / jnp.expm1(rate)
    late = limit - 2 * steps / jnp.expm1(jnp.maximum(rate * steps, 1))
    return jnp.where(rate * steps < 1, early, late), limit
