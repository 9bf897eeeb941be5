"""Decays over a budget that is known: reflected exponential, and Chebyshev's steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.rule import rule
from ravine.core.types import Fraction, Positive, Real, Schedule, Static
from ravine.schedules.steps import PositiveSteps, aligned, elapsed, progress, real


@rule
class REX(Schedule):
    r"""Slowly down at first and faster at the end: reflected exponential.

    .. math::
        c(t) = E + (I - E)\,\frac{1 - f}{1 - b f}, \qquad f = \min(t / T,\ 1).

    Args:
        init_value: :math:`I`, at step 0.
        transition_steps: :math:`T > 0` steps.
        end_value: :math:`E`, from step :math:`T` on.
        reflection: :math:`b` in [0, 1]: 0 is a straight line, and the nearer to 1, the later
            the decay; the paper has 1/2.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if an argument is no number.

    Reference: Chen, Wolfe and Kyrillidis, REX: revisiting budgeted training with an improved
    schedule, 2021, https://arxiv.org/abs/2107.04197.

    >>> schedule = REX(1.0, transition_steps=8)
    >>> [round(float(schedule(t)), 4) for t in (0, 4, 6, 8, 9)]
    [1.0, 0.6667, 0.4, 0.0, 0.0]
    """

    init_value: Real
    transition_steps: PositiveSteps
    end_value: Real = 0.0
    reflection: Fraction = 0.5

    def __call__(self, count: Any) -> jax.Array:
        done, left = progress(count, 0, self.transition_steps)
        b, start, end = real(self.reflection), real(self.init_value), real(self.end_value)
        # 1 - b f = (1 - b) f + (1 - f), which keeps its digits near 0; it is 0 for b = f = 1.
        below = (1 - b) * done + left
        return end + (start - end) * left / jnp.where(below > 0, below, 1)


@rule
class Chebyshev(Schedule):
    r"""The steps with which gradient descent is fastest on a quadratic bowl, in a stable order.

    .. math::
        c(t) = \Bigl( \frac{M + m}{2} - \frac{M - m}{2}
            \cos \frac{(\sigma_t + \frac12) \pi}{T} \Bigr)^{-1}, \qquad
        \sigma^{(2T)} = \bigl( \sigma^{(T)}_0,\ 2T - 1 - \sigma^{(T)}_0,\ \sigma^{(T)}_1,\ \dots
        \bigr), \quad \sigma^{(1)} = (0).

    :math:`m` and :math:`M` bound the curvature, so that the values lie between :math:`1/M` and
    :math:`1/m`. The fractal order :math:`\sigma` undoes each long step by a short one. After
    :math:`T` steps it starts again.

    Args:
        min_curvature: :math:`m > 0`.
        max_curvature: :math:`M > 0`.
        num_steps: :math:`T`, a power of 2. It is structure, not a number to sweep over.

    Raises:
        ValueError: if a number lies outside its range, or ``num_steps`` is no power of 2.
        TypeError: if an argument is no number.

    Reference: Agarwal, Goel and Zhang, Acceleration via fractal learning rate schedules,
    2021, https://arxiv.org/abs/2103.01338.

    >>> schedule = Chebyshev(min_curvature=0.1, max_curvature=1.0, num_steps=4)
    >>> [round(float(schedule(t)), 3) for t in range(5)]
    [7.449, 1.035, 2.647, 1.385, 7.449]
    """

    min_curvature: Positive
    max_curvature: Positive
    num_steps: Static[int]

    def __post_init__(self) -> None:
        if self.num_steps < 1 or self.num_steps & (self.num_steps - 1):
            raise ValueError(
                f"Chebyshev: num_steps must be a power of 2, got {self.num_steps}: only then is "
                "there an order in which the steps are stable."
            )

    def __call__(self, count: Any) -> jax.Array:
        order = np.zeros(1, np.int64)
        while order.size < self.num_steps:
            order = np.stack([order, 2 * order.size - 1 - order], axis=1).ravel()
        angle = (jnp.asarray(order + 0.5, float) * (np.pi / self.num_steps)).astype(float)
        now, length = aligned(elapsed(count), self.num_steps)
        low, high = real(self.min_curvature), real(self.max_curvature)
        half = jnp.square(jnp.sin(angle[(now % length).astype(int)] / 2))
        # (M + m) / 2 - (M - m) / 2 cos x = m + (M - m) sin(x / 2)^2
        return 1 / (low + (high - low) * half)
