"""The Adam family: first moments divided by the root of second moments."""

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    at,
    bias_correction,
    complement,
    fine,
    over,
    safe_increment,
    safe_sqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Params, Static, Transform, Updates


class ScaleByAdamState(NamedTuple):
    """The step count (int32), the first moment, and the second moment (real, float32 or finer)."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates


@rule
class ScaleByAdam(Transform):
    r"""Adam's direction, before the learning rate.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \\
        u_t &= \hat m_t / (\sqrt{\hat v_t + \bar\epsilon} + \epsilon), &
        \hat m_t &= m_t / (1-\beta_1^t), \quad \hat v_t = v_t / (1-\beta_2^t).

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        nesterov: use Dozat's :math:`\hat m`, which looks one step ahead.

    Reference: Kingma and Ba, Adam, 2014, https://arxiv.org/abs/1412.6980; Dozat,
    Incorporating Nesterov momentum into Adam, 2016.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByAdam(b1=0.0, b2=0.0)
    >>> g = jnp.array([4.0, -0.5])
    >>> transform.update(g, transform.init(g))[0]
    Array([ 1., -1.], dtype=float32)
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = False

    elementwise = True

    def init(self, params: Params) -> ScaleByAdamState:
        mu = tree.zeros_like(params, self.mu_dtype)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), mu, tree.accumulators(params))

    def update(
        self, updates: Updates, state: ScaleByAdamState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByAdamState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        # u = m^ / (sqrt(v^ + eps_root) + eps)
        mu_hat = unbiased(self.b1, mu, updates, t, nesterov=self.nesterov)
        c2 = bias_correction(self.b2, t)
        u = jax.tree.map(lambda m, v: adaptive(m, over(v, c2), self.eps, self.eps_root), mu_hat, nu)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(u, updates), ScaleByAdamState(t, mu, nu)


class ScaleByAmsgradState(NamedTuple):
    """Adam's state, and the largest second moment so far, which is what divides."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    nu_max: Updates


@rule
class ScaleByAmsgrad(Transform):
    r"""AMSGrad's direction: Adam's, divided by the largest second moment so far.

    .. math::
        \tilde v_t = \max(\tilde v_{t-1}, \hat v_t), \qquad
        u_t = \hat m_t / (\sqrt{\tilde v_t + \bar\epsilon} + \epsilon),

    with :math:`\hat m_t` and :math:`\hat v_t` as in Adam, so that no coordinate's step
    grows again once its gradients were large.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        bias_correction_mu: divide the first moment by :math:`1-\beta_1^t`.
        bias_correction_nu: divide the second moment by :math:`1-\beta_2^t`; the paper
            corrects neither.

    Reference: Reddi, Kale and Kumar, On the convergence of Adam and beyond, 2018,
    https://arxiv.org/abs/1904.09237.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    bias_correction_mu: Static[bool] = True
    bias_correction_nu: Static[bool] = True

    elementwise = True

    def init(self, params: Params) -> ScaleByAmsgradState:
        mu, nu, nu_max = (
            tree.zeros_like(params, self.mu_dtype),
            tree.accumulators(params),
            tree.accumulators(params),
        )
        return ScaleByAmsgradState(jnp.zeros((), jnp.int32), mu, nu, nu_max)

    def update(
        self,
        updates: Updates,
        state: ScaleByAmsgradState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAmsgradState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) |g|^2
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.second_moment(self.b2, state.nu, updates)
        c1 = bias_correction(self.b1, t) if self.bias_correction_mu else jnp.ones(())
        c2 = bias_correction(self.b2, t) if self.bias_correction_nu else jnp.ones(())
        # v~ = max(v~, v^);  u = m^ / (sqrt(v~ + eps_root) + eps)
        nu_hat = tree.cast_like(jax.tree.map(lambda v: over(v, c2), nu), state.nu_max)
        nu_max = jax.tree.map(jnp.maximum, state.nu_max, nu_hat)
        u = jax.tree.map(lambda m, v: adaptive(over(m, c1), v, self.eps, self.eps_root), mu, nu_max)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(u, updates), ScaleByAmsgradState(t, mu, nu, nu_max)


class ScaleByAdamaxState(NamedTuple):
    """The step count (int32), the first moment, and the decayed maximum of magnitudes."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates


@rule
class ScaleByAdamax(Transform):
    r"""Adamax's direction: Adam with a maximum in place of the root mean square.

    .. math::
        m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \quad
        v_t = \max(\beta_2 v_{t-1}, |g_t| + \epsilon), \quad
        u_t = \frac{m_t}{(1-\beta_1^t)\, v_t}.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the maximum, in [0, 1).
        eps: :math:`\epsilon \ge 0`, added to every magnitude.

    Reference: Kingma and Ba, Adam, 2014, section 7, https://arxiv.org/abs/1412.6980.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8

    elementwise = True

    def init(self, params: Params) -> ScaleByAdamaxState:
        mu, nu = tree.zeros_like(params), tree.accumulators(params)
        return ScaleByAdamaxState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamaxState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamaxState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g;  v = max(b2 v, |g| + eps)
        mu = tree.moment(self.b1, state.mu, updates)

        def largest(v: jax.Array, g: Any) -> jax.Array:
            size = jnp.abs(fine(g)).astype(v.dtype)
            return jnp.maximum(size + at(self.eps, v), times(self.b2, v))

        nu = jax.tree.map(largest, state.nu, updates)
        # u = m / ((1 - b1^t) v)
        c1 = bias_correction(self.b1, t)
        u = jax.tree.map(lambda m, v: over(over(m, c1), v), mu, nu)
        return tree.cast_like(u, updates), ScaleByAdamaxState(t, tree.cast_like(mu, state.mu), nu)


def adaptive(m: jax.Array, v: jax.Array, eps: Any, eps_root: Any) -> jax.Array:
    """A first moment over the root of a second: ``m / (sqrt(v + eps_root) + eps)``."""
    return over(m, safe_sqrt(v + at(eps_root, v)) + at(eps, v))


def unbiased(
    b1: Any, mu: Updates, updates: Updates, t: jax.Array, *, nesterov: bool = False
) -> Updates:
    """The first moment after ``t`` steps without its bias, or Dozat's, one step ahead of it."""
    c, c_next = bias_correction(b1, t), bias_correction(b1, safe_increment(t))

    def leaf(g: Any, m: jax.Array) -> jax.Array:
        if not nesterov:
            # m^ = m / (1 - b1^t)
            return over(m, c)
        # m^ = b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)
        now = times(complement(b1), over(fine(g).astype(m.dtype), c))
        return times(b1, over(m, c_next)) + now

    return jax.tree.map(leaf, updates, mu)
