"""Decays without an end: exponential, inverse time, and inverse square root."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.numerics import safe_power
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Positive, Real, Schedule, Static, Steps
from ravine.schedules.shapes import Linear
from ravine.schedules.steps import PositiveSteps, aligned, elapsed, periods, real


@rule
class ExponentialDecay(Schedule):
    r"""Multiplied by the same factor every so many steps.

    .. math::
        c(t) = I\,r^{f}, \qquad f = \max(t - B, 0) / T,

    where a staircase rounds :math:`f` down. An end value bounds :math:`c` from below where
    :math:`r < 1`, and from above otherwise.

    Args:
        init_value: :math:`I`, up to and including step :math:`B`.
        transition_steps: :math:`T > 0` steps, in which the value is multiplied by :math:`r`.
        decay_rate: :math:`r > 0`; above 1 the value grows.
        transition_begin: :math:`B \ge 0` steps.
        staircase: whether to jump every :math:`T` steps instead of decaying at each.
        end_value: the bound; ``None`` for none.

    Raises:
        ValueError: if ``transition_steps`` or ``decay_rate`` is not positive, or
            ``transition_begin`` negative.
        TypeError: if an argument is no number, or ``staircase`` no bool.

    >>> ExponentialDecay(1.0, transition_steps=10, decay_rate=0.5)(20)
    Array(0.25, dtype=float32)
    >>> ExponentialDecay(1.0, 10, 0.5, staircase=True, end_value=0.25)(39)
    Array(0.25, dtype=float32)
    """

    init_value: Real
    transition_steps: PositiveSteps
    decay_rate: Positive
    transition_begin: Steps = 0
    staircase: Static[bool] = False
    end_value: Real | None = None

    def __call__(self, count: Any) -> jax.Array:
        f = periods(count, self.transition_begin, self.transition_steps, self.staircase)
        start, rate = real(self.init_value), real(self.decay_rate)
        value = start * safe_power(rate, f)
        if self.end_value is None:
            return value
        end = real(self.end_value)
        beyond = jnp.where(rate < 1, value < end, value > end)
        # Beyond the bound the power may overflow, and its derivative would be NaN: take none.
        return jnp.where(beyond, end, start * safe_power(rate, jnp.where(beyond, 0, f)))


@rule
class StepDecay(Schedule):
    r"""Multiplied by the same factor, in a jump, every so many steps.

    .. math::
        c(t) = I\,r^{\lfloor t / T \rfloor}.

    It is ``ExponentialDecay`` with a staircase; for steps of several lengths there is
    ``PiecewiseConstant``.

    Args:
        init_value: :math:`I`, before step :math:`T`.
        step_size: :math:`T > 0` steps between two jumps.
        decay_rate: :math:`r > 0`; above 1 the value grows.

    Raises:
        ValueError: if ``step_size`` or ``decay_rate`` is not positive.
        TypeError: if an argument is no number.

    >>> schedule = StepDecay(1.0, step_size=10, decay_rate=0.5)
    >>> [float(schedule(t)) for t in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    init_value: Real
    step_size: PositiveSteps
    decay_rate: Positive = 0.1

    def __call__(self, count: Any) -> jax.Array:
        stairs = ExponentialDecay(self.init_value, self.step_size, self.decay_rate, staircase=True)
        return stairs(count)


@rule
class InverseTimeDecay(Schedule):
    r"""Divided by a number that grows linearly with the steps.

    .. math::
        c(t) = \frac{I}{1 + r f}, \qquad f = \max(t - B, 0) / T,

    where a staircase rounds :math:`f` down.

    Args:
        init_value: :math:`I`, up to and including step :math:`B`.
        transition_steps: :math:`T > 0` steps, in which the divisor grows by :math:`r`.
        decay_rate: :math:`r \ge 0`.
        transition_begin: :math:`B \ge 0` steps.
        staircase: whether to jump every :math:`T` steps instead of decaying at each.

    Raises:
        ValueError: if ``transition_steps`` is not positive, or ``decay_rate`` or
            ``transition_begin`` negative.
        TypeError: if an argument is no number, or ``staircase`` no bool.

    Reference: steps that shrink like 1/t are those of Robbins and Monro, A stochastic
    approximation method, 1951, https://doi.org/10.1214/aoms/1177729586.

    >>> InverseTimeDecay(1.0, transition_steps=10, decay_rate=0.5)(60)
    Array(0.25, dtype=float32)
    """

    init_value: Real
    transition_steps: PositiveSteps
    decay_rate: NonNegative
    transition_begin: Steps = 0
    staircase: Static[bool] = False

    def __call__(self, count: Any) -> jax.Array:
        f = periods(count, self.transition_begin, self.transition_steps, self.staircase)
        return real(self.init_value) / (1 + real(self.decay_rate) * f)


@rule
class InverseSqrtDecay(Schedule):
    r"""A linear warm-up, then divided by the square root of the step.

    .. math::
        c(t) = \begin{cases}
            I + (P - I)\,t / W & t < W, \\
            P \sqrt{W / t} & t \ge W.
        \end{cases}

    The value at the peak alone fixes the decay: 4 times the warm-up's steps halve it. With
    an initial value of 0 this is the rate with which the Transformer was trained.

    Args:
        init_value: :math:`I`, at step 0.
        peak_value: :math:`P`, at step :math:`W`.
        warmup_steps: :math:`W \ge 0` steps. Below 1 the decay starts at step 1, from the
            peak: :math:`c(t) = P / \sqrt{\max(t, 1)}` without a warm-up.

    Raises:
        ValueError: if ``warmup_steps`` is negative.
        TypeError: if an argument is no number.

    Reference: Vaswani et al., Attention is all you need, 2017, section 5.3,
    https://arxiv.org/abs/1706.03762.

    >>> schedule = InverseSqrtDecay(0.0, peak_value=1.0, warmup_steps=100)
    >>> [float(schedule(t)) for t in (0, 50, 100, 400)]
    [0.0, 0.5, 1.0, 0.5]
    """

    init_value: Real
    peak_value: Real
    warmup_steps: Steps

    def __call__(self, count: Any) -> jax.Array:
        passed, scale = aligned(elapsed(count), self.warmup_steps)
        scale = jnp.maximum(scale, 1)
        # The root is 1 during the warm-up, and the warm-up stays at the peak after its end.
        root = jnp.sqrt(real(scale) / real(jnp.maximum(passed, scale)))
        return Linear(self.init_value, self.peak_value, self.warmup_steps)(count) * root


@rule
class PowerDecay(Schedule):
    r"""A linear warm-up, then divided by a power of the step.

    .. math::
        c(t) = \begin{cases}
            I + (P - I)\,t / W & t < W, \\
            P\,(W / t)^p & t \ge W.
        \end{cases}

    As with ``InverseSqrtDecay``, which is the case :math:`p = 1/2`, no number says how long
    training will last.

    Args:
        init_value: :math:`I`, at step 0.
        peak_value: :math:`P`, at step :math:`W`.
        warmup_steps: :math:`W \ge 0` steps. Below 1 the decay starts at step 1, from the peak.
        power: :math:`p \ge 0`.

    Raises:
        ValueError: if ``warmup_steps`` or ``power`` is negative.
        TypeError: if an argument is no number.

    Reference: Shen et al., Power scheduler: a batch size and token number agnostic learning
    rate scheduler, 2024, https://arxiv.org/abs/2408.13359, where it is the long middle part.

    >>> schedule = PowerDecay(0.0, peak_value=1.0, warmup_steps=100, power=1.0)
    >>> [float(schedule(t)) for t in (0, 50, 100, 400)]
    [0.0, 0.5, 1.0, 0.25]
    """

    init_value: Real
    peak_value: Real
    warmup_steps: Steps
    power: NonNegative

    def __call__(self, count: Any) -> jax.Array:
        passed, scale = aligned(elapsed(count), self.warmup_steps)
        scale = jnp.maximum(scale, 1)
        share = real(scale) / real(jnp.maximum(passed, scale))
        warmup = Linear(self.init_value, self.peak_value, self.warmup_steps)(count)
        return warmup * safe_power(share, real(self.power))
