"""A decay rate that grows evenly in what it remembers."""

from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import Interval, Number, Schedule, Steps
from ravine.schedules.steps import progress, real

Inside: TypeAlias = Annotated[Number, Interval(0.0, 1.0, above=True, below=True)]
"""A number in (0, 1). A leaf."""


@rule
class HalfLifeWarmup(Schedule):
    r"""From one decay rate to another, so that the half-life of the mean grows linearly.

    .. math::
        c(t) = \exp\left( \frac{\ln I \ln E}{(1-f) \ln E + f \ln I} \right), \qquad
        f = \min(t / T,\ 1).

    A decay rate that grew linearly would hardly remember more until the very end: from 0.9
    to 0.9999 the half-life grows from 7 steps to 13 halfway, and to 6931 at the end. It is
    for the slow mean of ``AdEMAMix``.

    Args:
        init_value: :math:`I` in (0, 1), at step 0.
        end_value: :math:`E` in (0, 1), from step :math:`T` on.
        transition_steps: :math:`T \ge 0` steps; with 0 the value is :math:`E` throughout.

    Raises:
        ValueError: if a decay rate does not lie in (0, 1), or ``transition_steps`` is negative.
        TypeError: if an argument is no number.

    Reference: Pagliardini, Ablin and Grangier, The AdEMAMix optimizer: better, faster,
    older, 2024, https://arxiv.org/abs/2409.03137.

    >>> schedule = HalfLifeWarmup(0.5, end_value=0.5**0.25, transition_steps=3)
    >>> [round(float(jnp.log(0.5) / jnp.log(schedule(t))), 4) for t in range(5)]
    [1.0, 2.0, 3.0, 4.0, 4.0]
    """

    init_value: Inside
    end_value: Inside
    transition_steps: Steps

    def __call__(self, count: Any) -> jax.Array:
        done, left = progress(count, 0, self.transition_steps)
        start, end = real(self.init_value), real(self.end_value)
        # 1 / ln c = (1 - f) / ln I + f / ln E, the reciprocals being minus the mean lifetimes
        value = jnp.exp(1 / (left / jnp.log(start) + done / jnp.log(end)))
        return jnp.where(left > 0, value, end)
