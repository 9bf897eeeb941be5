"""Sums and means of past updates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import bias_correction, over, safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, Fraction, Params, Static, Transform, Updates


class TraceState(NamedTuple):
    """The decayed sum of past updates."""

    trace: Updates


@rule
class Trace(Transform):
    r"""A decayed sum of past updates: the classical momentum.

    .. math::
        m_t = g_t + \mu m_{t-1}, \qquad
        u_t = m_t \quad\text{or, with Nesterov,}\quad u_t = g_t + \mu m_t.

    Args:
        decay: :math:`\mu` in [0, 1]; 1 sums all updates.
        nesterov: look one step ahead.
        accumulator_dtype: dtype of the sum; that of the parameters by default.

    Reference: Polyak, Some methods of speeding up the convergence of iteration methods,
    1964; Sutskever et al., On the importance of initialization and momentum in deep
    learning, 2013, https://proceedings.mlr.press/v28/sutskever13.html.

    >>> import jax.numpy as jnp
    >>> transform = Trace(decay=0.5)
    >>> state = transform.init(jnp.zeros(1))
    >>> for _ in range(3):
    ...     u, state = transform.update(jnp.ones(1), state)
    >>> u
    Array([1.75], dtype=float32)
    """

    decay: Fraction
    nesterov: Static[bool] = False
    accumulator_dtype: Static[DType] = None

    elementwise = True

    def init(self, params: Params) -> TraceState:
        return TraceState(tree.zeros_like(params, self.accumulator_dtype))

    def update(
        self, updates: Updates, state: TraceState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, TraceState]:
        def added(g: Any, m: jax.Array) -> jax.Array:
            g, m = widen(g, m)
            return g + times(self.decay, m)

        # m = g + mu m;  u = m, or g + mu m once more
        m = jax.tree.map(added, updates, state.trace)
        u = jax.tree.map(added, updates, m) if self.nesterov else m
        return tree.cast_like(u, updates), TraceState(tree.cast_like(m, state.trace))


class EmaState(NamedTuple):
    """The step count (int32), and the mean before its bias is taken out."""

    count: jax.Array  # type: ignore[assignment]
    ema: Updates


@rule
class Ema(Transform):
    r"""An exponential moving average of past updates.

    .. math::
        m_t = \beta m_{t-1} + (1-\beta) g_t, \qquad
        u_t = m_t / (1-\beta^t) \quad\text{or, without debiasing,}\quad u_t = m_t.

    Args:
        decay: :math:`\beta` in [0, 1).
        debias: divide out the weight of the zero that the mean starts from.
        accumulator_dtype: dtype of the mean; that of the parameters by default.

    >>> import jax.numpy as jnp
    >>> transform = Ema(decay=0.5)
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (1.0, 4.0):
    ...     u, state = transform.update(jnp.full(1, g), state)
    >>> u
    Array([3.], dtype=float32)
    """

    decay: Decay
    debias: Static[bool] = True
    accumulator_dtype: Static[DType] = None

    elementwise = True

    def init(self, params: Params) -> EmaState:
        mean = tree.zeros_like(params, self.accumulator_dtype)
        return EmaState(jnp.zeros((), jnp.int32), mean)

    def update(
        self, updates: Updates, state: EmaState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmaState]:
        t = safe_increment(state.count)
        # m = b m + (1 - b) g;  u = m / (1 - b^t)
        m = tree.moment(self.decay, state.ema, updates)
        c = bias_correction(self.decay, t)
        u = jax.tree.map(lambda x: over(x, c), m) if self.debias else m
        return tree.cast_like(u, updates), EmaState(t, tree.cast_like(m, state.ema))
