"""Linear warm-ups, and what follows them: nothing, a decay, or the next warm-up."""

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

import jax
import numpy as np

from ravine.core.numerics import safe_power
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Positive, Real, Schedule, Static, Steps
from ravine.schedules.compose import Join
from ravine.schedules.decay import ExponentialDecay
from ravine.schedules.shapes import Linear
from ravine.schedules.steps import (
    PositiveSteps,
    blend,
    elapsed,
    half_cosine,
    is_known,
    progress,
    real,
    total,
)


@rule
class WarmupConstant(Schedule):
    r"""A linear warm-up, then constant: :math:`c(t) = I + (P - I) \min(t / W,\ 1)`.

    Args:
        init_value: :math:`I`, at step 0.
        peak_value: :math:`P`, from step :math:`W` on.
        warmup_steps: :math:`W \ge 0` steps; with 0 the value is :math:`P` throughout.

    Raises:
        ValueError: if ``warmup_steps`` is negative.
        TypeError: if an argument is no number.

    Reference: Goyal et al., Accurate, large minibatch SGD, 2017,
    https://arxiv.org/abs/1706.02677.

    >>> schedule = WarmupConstant(0.0, peak_value=1.0, warmup_steps=10)
    >>> [float(schedule(t)) for t in (0, 5, 10, 20)]
    [0.0, 0.5, 1.0, 1.0]
    """

    init_value: Real
    peak_value: Real
    warmup_steps: Steps

    def __call__(self, count: Any) -> jax.Array:
        return Linear(self.init_value, self.peak_value, self.warmup_steps)(count)


@rule
class WarmupCosineDecay(Schedule):
    r"""A linear warm-up, then down along half a cosine, then constant.

    .. math::
        c(t) = \begin{cases}
            I + (P - I)\,t / W & t < W, \\
            E + (P - E)\,[\tfrac12 (1 + \cos \pi f)]^p & t \ge W,
        \end{cases} \qquad f = \min\Bigl(\frac{t - W}{D - W},\ 1\Bigr).

    Args:
        init_value: :math:`I`, at step 0.
        peak_value: :math:`P`, at step :math:`W`.
        warmup_steps: :math:`W \ge 0` steps; with 0 the decay starts at once.
        decay_steps: :math:`D > 0` steps, the whole schedule, *including* the warm-up:
            :math:`D \ge W`.
        end_value: :math:`E`, from step :math:`D` on.
        exponent: :math:`p \ge 0`, which bends the curve.

    Raises:
        ValueError: if a number lies outside its range, or ``decay_steps`` is less than
            ``warmup_steps``.
        TypeError: if an argument is no number.

    Reference: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts,
    2016, https://arxiv.org/abs/1608.03983.

    >>> schedule = WarmupCosineDecay(0.0, peak_value=1.0, warmup_steps=10, decay_steps=110)
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 60, 110)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    init_value: Real
    peak_value: Real
    warmup_steps: Steps
    decay_steps: PositiveSteps
    end_value: Real = 0.0
    exponent: NonNegative = 1.0

    def __post_init__(self) -> None:
        if is_known(self.warmup_steps, self.decay_steps) and not np.all(
            np.asarray(self.decay_steps) >= np.asarray(self.warmup_steps)
        ):
            raise ValueError(
                "WarmupCosineDecay: decay_steps includes the warm-up and must be at least "
                f"warmup_steps: got decay_steps={self.decay_steps!r} and "
                f"warmup_steps={self.warmup_steps!r}. To decay for n steps after the warm-up, "
                "give warmup_steps + n."
            )

    def __call__(self, count: Any) -> jax.Array:
        # No join with CosineDecay: its alpha would be E / P, which a peak of 0 does not have.
        # The cosine is 1 during the warm-up, and the warm-up stays at the peak after its end.
        warmup = Linear(self.init_value, self.peak_value, self.warmup_steps)(count)
        length = elapsed(self.decay_steps, self.warmup_steps)
        _, left = progress(count, self.warmup_steps, length)
        return blend(
            warmup, real(self.end_value), safe_power(half_cosine(left), real(self.exponent))
        )


@rule
class WarmupExponentialDecay(Schedule):
    r"""A linear warm-up, then multiplied by the same factor every so many steps.

    .. math::
        c(t) = \begin{cases}
            I + (P - I)\,t / W & t < W, \\
            P\,r^{f} & t \ge W,
        \end{cases} \qquad f = \max(t - W - B, 0) / T.

    Args:
        init_value: :math:`I`, at step 0.
        peak_value: :math:`P`, at step :math:`W`.
        warmup_steps: :math:`W \ge 0` steps; with 0 the decay starts at once.
        transition_steps: :math:`T > 0` steps, in which the value is multiplied by :math:`r`.
        decay_rate: :math:`r > 0`; above 1 the value grows.
        transition_begin: :math:`B \ge 0` steps at the peak between warm-up and decay.
        staircase: whether to jump every :math:`T` steps instead of decaying at each.
        end_value: bounds the decay from below where :math:`r < 1`, and from above otherwise;
            ``None`` for no bound.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if an argument is no number, or ``staircase`` no bool.

    >>> schedule = WarmupExponentialDecay(0.0, 1.0, 10, transition_steps=20, decay_rate=0.5)
    >>> [float(schedule(t)) for t in (0, 5, 10, 30, 50)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """

    init_value: Real
    peak_value: Real
    warmup_steps: Steps
    transition_steps: PositiveSteps
    decay_rate: Positive
    transition_begin: Steps = 0
    staircase: Static[bool] = False
    end_value: Real | None = None

    def __call__(self, count: Any) -> jax.Array:
        warmup = Linear(self.init_value, self.peak_value, self.warmup_steps)
        decay = ExponentialDecay(
            self.peak_value,
            self.transition_steps,
            self.decay_rate,
            self.transition_begin,
            self.staircase,
            self.end_value,
        )
        return Join((warmup, decay), (self.warmup_steps,))(count)


@rule
class WarmRestarts(Schedule):
    r"""Cosine decays one after another, each with a warm-up of its own: SGDR.

    The cycle :math:`i` starts when the ones before it are over, at step
    :math:`D_1 + \dots + D_{i-1}`; the last one's end value stays.

    Args:
        cosine_kwargs: the cycles, one or more: each a ``WarmupCosineDecay`` or a dict of its
            arguments. Its ``decay_steps`` is how long the cycle lasts.

    Raises:
        ValueError: if there is no cycle, or a cycle's argument lies outside its range.
        TypeError: if a cycle is neither, or its dict has an unknown or a missing argument.

    Reference: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts,
    2016, https://arxiv.org/abs/1608.03983.

    >>> cycle = dict(init_value=1.0, peak_value=1.0, warmup_steps=0)
    >>> schedule = WarmRestarts([dict(cycle, decay_steps=n) for n in (10, 20)])
    >>> [round(float(schedule(t)), 3) for t in (0, 5, 9, 10, 20, 30)]
    [1.0, 0.5, 0.024, 1.0, 0.5, 0.0]
    """

    cosine_kwargs: Iterable[WarmupCosineDecay | Mapping[str, Any]]

    def __post_init__(self) -> None:
        given = self.cosine_kwargs
        if isinstance(given, Mapping | Schedule) or not isinstance(given, Iterable):
            raise TypeError(
                "WarmRestarts: cosine_kwargs must be a sequence of cycles, each a "
                f"WarmupCosineDecay or a dict of its arguments, got a {type(given).__name__}."
            )
        cycles = tuple(_cycle(i, x) for i, x in enumerate(given))
        if not cycles:
            raise ValueError("WarmRestarts: cosine_kwargs must hold at least one cycle.")
        object.__setattr__(self, "cosine_kwargs", cycles)

    def __call__(self, count: Any) -> jax.Array:
        cycles: Any = self.cosine_kwargs
        lengths = [cycle.decay_steps for cycle in cycles[:-1]]
        return Join(cycles, tuple(accumulate(lengths, total)))(count)


def _cycle(position: int, x: Any) -> WarmupCosineDecay:
    if isinstance(x, WarmupCosineDecay):
        return x
    where = f"WarmRestarts: cosine_kwargs[{position}]"
    if not isinstance(x, Mapping):
        raise TypeError(
            f"{where} must be a WarmupCosineDecay or a dict of its arguments, got {x!r}."
        )
    try:
        return WarmupCosineDecay(**x)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None
