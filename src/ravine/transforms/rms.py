"""Divide by a running root mean square, or by a running standard deviation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    at,
    bias_correction,
    compute_dtype,
    fine,
    over,
    safe_increment,
    safe_rsqrt,
    safe_sqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Static, Transform, Updates


class ScaleByRmsState(NamedTuple):
    """The step count (int32), and the mean square (real, float32 or finer)."""

    count: jax.Array  # type: ignore[assignment]
    nu: Updates


@rule
class ScaleByRms(Transform):
    r"""Divide by the root of a running mean square.

    .. math::
        v_t = \beta v_{t-1} + (1-\beta) |g_t|^2, \qquad
        u_t = g_t / \sqrt{v_t + \epsilon} \quad\text{or}\quad g_t / (\sqrt{v_t} + \epsilon).

    Args:
        decay: :math:`\beta` in [0, 1).
        eps: :math:`\epsilon \ge 0`.
        initial_scale: :math:`v_0 \ge 0`.
        eps_in_sqrt: whether :math:`\epsilon` stands inside the root.
        bias_correction: divide :math:`v_t` by :math:`1-\beta^t` first.

    Reference: Hinton, Neural networks for machine learning, lecture 6, 2012; Graves,
    2013, https://arxiv.org/abs/1308.0850.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByRms(decay=0.0)
    >>> g = jnp.array([4.0, -2.0])
    >>> transform.update(g, transform.init(g))[0]
    Array([ 1., -1.], dtype=float32)
    """

    decay: Decay = 0.9
    eps: NonNegative = 1e-8
    initial_scale: NonNegative = 0.0
    eps_in_sqrt: Static[bool] = True
    bias_correction: Static[bool] = False

    elementwise = True

    def init(self, params: Params) -> ScaleByRmsState:
        nu = tree.accumulators(params, self.initial_scale)
        return ScaleByRmsState(jnp.zeros((), jnp.int32), nu)

    def update(
        self, updates: Updates, state: ScaleByRmsState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByRmsState]:
        t = safe_increment(state.count)
        # v = b v + (1 - b) |g|^2
        nu = tree.second_moment(self.decay, state.nu, updates)
        nu_hat = _corrected(nu, self.decay, t) if self.bias_correction else nu
        # u = g / sqrt(v + eps)
        u = jax.tree.map(
            lambda g, v: _divided(fine(g), v, self.eps, self.eps_in_sqrt), updates, nu_hat
        )
        return tree.cast_like(u, updates), ScaleByRmsState(t, tree.cast_like(nu, state.nu))


class ScaleByStddevState(NamedTuple):
    """The step count (int32), the mean and the mean square, both in float32 or finer."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates


@rule
class ScaleByStddev(Transform):
    r"""Divide by the root of a running variance: the mean square about the mean.

    .. math::
        m_t = \beta m_{t-1} + (1-\beta) g_t, \quad v_t = \beta v_{t-1} + (1-\beta) |g_t|^2, \quad
        u_t = g_t / \sqrt{v_t - |m_t|^2 + \epsilon}.

    A variance that rounding made negative counts as zero. Without ``eps_in_sqrt`` the
    denominator is :math:`\sqrt{v_t - |m_t|^2} + \epsilon`.

    Args:
        decay: :math:`\beta` in [0, 1), of both means.
        eps: :math:`\epsilon \ge 0`.
        initial_scale: :math:`v_0 \ge 0`.
        eps_in_sqrt: whether :math:`\epsilon` stands inside the root.
        bias_correction: divide both means by :math:`1-\beta^t` first. The first step then
            has variance 0, and :math:`\epsilon` alone divides it.

    Reference: Graves, Generating sequences with recurrent neural networks, 2013,
    https://arxiv.org/abs/1308.0850.
    """

    decay: Decay = 0.9
    eps: NonNegative = 1e-8
    initial_scale: NonNegative = 0.0
    eps_in_sqrt: Static[bool] = True
    bias_correction: Static[bool] = False

    elementwise = True

    def init(self, params: Params) -> ScaleByStddevState:
        # The mean is as fine as the mean square: a coarse one would drown the difference.
        mu = jax.tree.map(lambda p: jnp.zeros_like(p, compute_dtype(p)), params)
        nu = tree.accumulators(params, self.initial_scale)
        return ScaleByStddevState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByStddevState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByStddevState]:
        t = safe_increment(state.count)
        # m = b m + (1 - b) g;  v = b v + (1 - b) |g|^2
        mu = tree.moment(self.decay, state.mu, updates)
        nu = tree.second_moment(self.decay, state.nu, updates)
        mu_hat = _corrected(mu, self.decay, t) if self.bias_correction else mu
        nu_hat = _corrected(nu, self.decay, t) if self.bias_correction else nu

        def centered(g: Any, m: jax.Array, v: jax.Array) -> jax.Array:
            # u = g / sqrt(v - |m|^2 + eps)
            variance = jnp.maximum(v - abs_sq(m).astype(v.dtype), 0)
            return _divided(fine(g), variance, self.eps, self.eps_in_sqrt)

        u = tree.cast_like(jax.tree.map(centered, updates, mu_hat, nu_hat), updates)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return u, ScaleByStddevState(t, mu, nu)


def _corrected(mean: Any, decay: Any, t: jax.Array) -> Any:
    c = bias_correction(decay, t)
    return jax.tree.map(lambda x: over(x, c), mean)


def _divided(g: jax.Array, v: jax.Array, eps: Any, eps_in_sqrt: bool) -> jax.Array:
    """``g`` over the root of ``v``, with ``eps`` inside or outside of the root."""
    if eps_in_sqrt:
        return times(safe_rsqrt(v + at(eps, v)), g)
    return over(g, safe_sqrt(v) + at(eps, v))
