"""One cycle: up to a high learning rate and down to a very low one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.rule import rule
from ravine.core.types import Fraction, Positive, Real, Schedule
from ravine.schedules.piecewise import interpolated
from ravine.schedules.steps import PositiveSteps, aligned, is_known, real


@rule
class CosineOneCycle(Schedule):
    r"""Up to the peak and down to almost nothing, each along half a cosine.

    From :math:`P / d` at step 0 to the peak :math:`P` at step :math:`\lfloor aT \rfloor`, and
    to :math:`P / (d D)` at step :math:`T`, where it stays.

    Args:
        transition_steps: :math:`T > 0` steps, the whole cycle.
        peak_value: :math:`P`.
        pct_start: :math:`a`, the share of the cycle on the way up, in [0, 1].
        div_factor: :math:`d > 0`: how far the first value lies below the peak.
        final_div_factor: :math:`D > 0`: how far the last value lies below the first.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if an argument is no number.

    Reference: Smith and Topin, Super-convergence: very fast training of neural networks
    using large learning rates, 2017, https://arxiv.org/abs/1708.07120.

    >>> schedule = CosineOneCycle(100, peak_value=1.0, div_factor=4.0, final_div_factor=2.0)
    >>> [float(schedule(t)) for t in (0, 30, 100)]
    [0.25, 1.0, 0.125]
    """

    transition_steps: PositiveSteps
    peak_value: Real
    pct_start: Fraction = 0.3
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4

    def __call__(self, count: Any) -> jax.Array:
        peak, d, d_final = real(self.peak_value), real(self.div_factor), real(self.final_div_factor)
        top = share_of(self.pct_start, self.transition_steps)
        values = [peak / d, peak, peak / d / d_final]
        return interpolated(count, [0, top, self.transition_steps], values, "cosine")


@rule
class LinearOneCycle(Schedule):
    r"""Up to the peak, down again, and on to almost nothing, in three straight lines.

    From :math:`P / d` at step 0 to the peak :math:`P` at step :math:`\lfloor aT \rfloor`, back to
    :math:`P / d` at step :math:`\lfloor bT \rfloor`, and to :math:`P / (d D)` at step
    :math:`T`, where it stays.

    Args:
        transition_steps: :math:`T > 0` steps, the whole cycle.
        peak_value: :math:`P`.
        pct_start: :math:`a`, the share of the cycle on the way up, in [0, 1].
        pct_final: :math:`b`, the share of the cycle up and down, in [a, 1].
        div_factor: :math:`d > 0`: how far the first value lies below the peak.
        final_div_factor: :math:`D > 0`: how far the last value lies below the first.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if an argument is no number.

    Reference: Smith and Topin, Super-convergence: very fast training of neural networks
    using large learning rates, 2017, https://arxiv.org/abs/1708.07120.

    >>> schedule = LinearOneCycle(100, peak_value=1.0, div_factor=4.0, final_div_factor=2.0)
    >>> [float(schedule(t)) for t in (0, 30, 85, 100)]
    [0.25, 1.0, 0.25, 0.125]
    """

    transition_steps: PositiveSteps
    peak_value: Real
    pct_start: Fraction = 0.3
    pct_final: Fraction = 0.85
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4

    def __post_init__(self) -> None:
        if is_known(self.pct_start, self.pct_final) and not np.all(
            np.asarray(self.pct_start) <= np.asarray(self.pct_final)
        ):
            raise ValueError(
                "LinearOneCycle: pct_final is the share of the cycle up and down, and must be at "
                f"least pct_start: got {self.pct_final!r} < {self.pct_start!r}."
            )

    def __call__(self, count: Any) -> jax.Array:
        peak, d, d_final = real(self.peak_value), real(self.div_factor), real(self.final_div_factor)
        steps = self.transition_steps
        knots = [0, share_of(self.pct_start, steps), share_of(self.pct_final, steps), steps]
        values = [peak / d, peak, peak / d, peak / d / d_final]
        return interpolated(count, knots, values, "linear")


def share_of(share: Any, steps: Any) -> jax.Array:
    """``share * steps`` rounded down to a whole step.

    Two units in the last place are granted, so that 0.7 of 90 steps is 63 in any precision
    although the nearest doubles multiply to 62.99999999999999.
    """
    (steps,) = aligned(steps)
    product = real(share) * real(steps)
    granted = 1 + 2 * jnp.finfo(product.dtype).eps
    return jnp.minimum(jnp.floor(product * granted).astype(steps.dtype), steps)
