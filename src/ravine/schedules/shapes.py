"""The basic shapes: constant, straight, polynomial, and half a cosine."""

from typing import Any

import jax

from ravine.core.numerics import safe_power
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Real, Schedule, Steps
from ravine.schedules.steps import PositiveSteps, blend, half_cosine, progress, real


@rule
class Constant(Schedule):
    r"""The same value at every step: :math:`c(t) = c`.

    Args:
        value: :math:`c`, any real number.

    Raises:
        TypeError: if the value is no number.
        ValueError: if it is NaN.

    >>> Constant(0.5)(100)
    Array(0.5, dtype=float32)
    """

    value: Real

    def __call__(self, count: Any) -> jax.Array:
        return real(self.value)


@rule
class Linear(Schedule):
    r"""From one value to another in a straight line, and then constant.

    .. math::
        c(t) = I + (E - I)\,f, \qquad f = \min(\max(t - B, 0) / T,\ 1).

    Args:
        init_value: :math:`I`, up to and including step :math:`B`.
        end_value: :math:`E`, from step :math:`B + T` on.
        transition_steps: :math:`T \ge 0` steps. With 0 the value is :math:`E` from step
            :math:`B` on (where Optax would stay at :math:`I` for ever).
        transition_begin: :math:`B \ge 0` steps.

    Raises:
        ValueError: if a number of steps is negative.
        TypeError: if an argument is no number.

    >>> warmup = Linear(init_value=0.0, end_value=1.0, transition_steps=4)
    >>> [float(warmup(t)) for t in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    init_value: Real
    end_value: Real
    transition_steps: Steps
    transition_begin: Steps = 0

    def __call__(self, count: Any) -> jax.Array:
        done, left = progress(count, self.transition_begin, self.transition_steps)
        return real(self.init_value) * left + real(self.end_value) * done


@rule
class Polynomial(Schedule):
    r"""From one value to another along a power of the steps left, and then constant.

    .. math::
        c(t) = E + (I - E)\,(1 - f)^p, \qquad f = \min(\max(t - B, 0) / T,\ 1).

    Args:
        init_value: :math:`I`, up to and including step :math:`B`.
        end_value: :math:`E`, from step :math:`B + T` on.
        power: :math:`p \ge 0`; 1 is a straight line, and more is steeper at first.
        transition_steps: :math:`T \ge 0` steps. With 0 the value is :math:`E` from step
            :math:`B` on (where Optax would stay at :math:`I` for ever).
        transition_begin: :math:`B \ge 0` steps.

    Raises:
        ValueError: if the power or a number of steps is negative.
        TypeError: if an argument is no number.

    Reference: with a power of 0.9 and an end value of 0, the "poly" policy of Chen et al.,
    DeepLab, 2016, https://arxiv.org/abs/1606.00915.

    >>> schedule = Polynomial(1.0, 0.0, power=2.0, transition_steps=4)
    >>> [float(schedule(t)) for t in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    init_value: Real
    end_value: Real
    power: NonNegative
    transition_steps: Steps
    transition_begin: Steps = 0

    def __call__(self, count: Any) -> jax.Array:
        _, left = progress(count, self.transition_begin, self.transition_steps)
        return blend(
            real(self.init_value), real(self.end_value), safe_power(left, real(self.power))
        )


@rule
class CosineDecay(Schedule):
    r"""Down along half a cosine, and then constant.

    .. math::
        c(t) = I\,\bigl(\alpha + (1 - \alpha)\,[\tfrac12 (1 + \cos \pi f)]^p\bigr),
        \qquad f = \min(t / T,\ 1).

    Args:
        init_value: :math:`I`, at step 0.
        decay_steps: :math:`T > 0` steps, after which the value is :math:`\alpha I`.
        alpha: :math:`\alpha`, the last value as a multiple of the first: usually in [0, 1).
        exponent: :math:`p \ge 0`, which bends the curve.

    Raises:
        ValueError: if ``decay_steps`` is not positive or ``exponent`` negative.
        TypeError: if an argument is no number.

    Reference: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts,
    2016, https://arxiv.org/abs/1608.03983.

    >>> schedule = CosineDecay(0.5, decay_steps=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 50, 90, 100)]
    [0.5, 0.25, 0.0122, 0.0]
    >>> import jax, jax.numpy as jnp
    >>> jax.vmap(lambda alpha: CosineDecay(0.5, 100, alpha)(100))(jnp.array([0.0, 0.5]))
    Array([0.  , 0.25], dtype=float32)
    """

    init_value: Real
    decay_steps: PositiveSteps
    alpha: Real = 0.0
    exponent: NonNegative = 1.0

    def __call__(self, count: Any) -> jax.Array:
        _, left = progress(count, 0, self.decay_steps)
        start = real(self.init_value)
        shape = safe_power(half_cosine(left), real(self.exponent))
        return blend(start, real(self.alpha) * start, shape)
