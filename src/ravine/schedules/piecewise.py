"""Values that jump, or move, from boundary to boundary."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.rule import rule
from ravine.core.types import Number, Real, Schedule, Static
from ravine.schedules.steps import (
    Jump,
    aligned,
    checked_jump,
    elapsed,
    half_cosine,
    is_known,
    progress,
    real,
)

Jumps: TypeAlias = Mapping[Any, Number] | Iterable[tuple[Number, Number] | Jump]
"""A dict ``{boundary: scale}``; or pairs, which may hold what no dict has for a key; or jumps."""


@rule
class PiecewiseConstant(Schedule):
    r"""Multiplied by a factor at each of some boundaries.

    .. math::
        c(t) = I \prod_{i:\ b_i \le t} s_i.

    Args:
        init_value: :math:`I`, before the first boundary.
        boundaries_and_scales: a dict ``{b: s}`` or pairs ``(b, s)``: steps
            :math:`b \ge 0`, from which on the factor :math:`s \ge 0` applies. Both are
            leaves; give pairs where a boundary is an array. Factors multiply up, and
            pairs at the same boundary all apply.

    Raises:
        ValueError: if a boundary or a scale is negative.
        TypeError: if an argument is no number, or the boundaries are neither dict nor pairs.

    >>> schedule = PiecewiseConstant(1.0, {100: 0.5, 200: 0.5})
    >>> schedule.boundaries_and_scales
    (Jump(boundary=100, scale=0.5), Jump(boundary=200, scale=0.5))
    >>> [float(schedule(t)) for t in (99, 100, 200)]
    [1.0, 0.5, 0.25]
    """

    init_value: Real
    boundaries_and_scales: Jumps | None = None

    def __post_init__(self) -> None:
        _store_jumps(self, self.boundaries_and_scales)

    def __call__(self, count: Any) -> jax.Array:
        value = real(self.init_value)
        for jump in _jumps(self):
            now, boundary = aligned(count, jump.boundary)
            value = jnp.where(now < boundary, value, value * real(jump.scale))
        return value


@rule
class PiecewiseInterpolate(Schedule):
    r"""Like the piecewise constant schedule, but on the move from one value to the next.

    With :math:`b_0 = 0`, :math:`v_0 = I` and :math:`v_i = v_{i-1} s_i`, the schedule goes from
    :math:`v_{i-1}` at step :math:`b_{i-1}` to :math:`v_i` at step :math:`b_i`, and stays
    at the last value:

    .. math::
        c(t) = v_{i-1} + (v_i - v_{i-1})\,w\Bigl(\frac{t - b_{i-1}}{b_i - b_{i-1}}\Bigr),
        \qquad w(f) = f \ \text{or}\ \tfrac12 (1 - \cos \pi f).

    Args:
        interpolate_type: "linear" or "cosine".
        init_value: :math:`I`, at step 0.
        boundaries_and_scales: a dict ``{b: s}`` or pairs ``(b, s)`` of steps
            :math:`b \ge 0` and factors :math:`s \ge 0`, as in the piecewise constant
            schedule. Plain numbers are sorted here; where boundaries are traced or swept,
            give them in increasing order.

    Raises:
        ValueError: if the type of interpolation is unknown, or a boundary or a scale negative.
        TypeError: if an argument is no number, or the boundaries are neither dict nor pairs.

    >>> schedule = PiecewiseInterpolate("linear", 1.0, {4: 0.5, 8: 0.0})
    >>> [float(schedule(t)) for t in (0, 2, 4, 6, 8, 10)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    interpolate_type: Static[Literal["linear", "cosine"]]
    init_value: Real
    boundaries_and_scales: Jumps | None = None

    def __post_init__(self) -> None:
        if self.interpolate_type not in WEIGHTS:
            raise ValueError(
                "PiecewiseInterpolate: interpolate_type must be 'linear' or 'cosine', got "
                f"{self.interpolate_type!r}."
            )
        _store_jumps(self, self.boundaries_and_scales)

    def __call__(self, count: Any) -> jax.Array:
        jumps = _jumps(self)
        values = [real(self.init_value)]
        for jump in jumps:
            values.append(values[-1] * real(jump.scale))
        knots = [0, *(jump.boundary for jump in jumps)]
        return interpolated(count, knots, values, self.interpolate_type)


WEIGHTS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "linear": lambda share: share,
    "cosine": half_cosine,
}


def interpolated(
    count: Any, knots: Sequence[Any], values: Sequence[jax.Array], how: str
) -> jax.Array:
    """The value at ``count`` on the way through ``values[i]`` at step ``knots[i]``.

    A segment that has not begun leaves the value as it is, and one that is over has
    replaced it: going through all of them in order needs no search, and no sorted knots
    to be finite.
    """
    weight = WEIGHTS[how]
    value = values[0]
    for (begin, end), target in zip(pairwise(knots), values[1:], strict=True):
        done, left = progress(count, begin, elapsed(end, begin))
        value = value * weight(left) + target * weight(done)
    return value


def _pair(x: Any) -> tuple[Any, Any]:
    boundary, scale = (x.boundary, x.scale) if isinstance(x, Jump) else x
    return boundary, scale


def _jumps(schedule: Any) -> tuple[Jump, ...]:
    return schedule.boundaries_and_scales or ()


def _store_jumps(schedule: Any, given: Any) -> None:
    """Check what the user gave, and keep it as a tuple of jumps, in order where order is known."""
    where = f"{type(schedule).__name__}: boundaries_and_scales"
    try:
        pairs = given.items() if isinstance(given, Mapping) else () if given is None else given
        pairs = [_pair(x) for x in pairs]
    except (TypeError, ValueError):
        raise TypeError(
            f"{where} must be a dict {{boundary: scale}} or pairs (boundary, scale), got {given!r}."
        ) from None
    jumps: list[Any] = [checked_jump(f"{where}[{i}]", *pair) for i, pair in enumerate(pairs)]
    if all(is_known(jump.boundary) and np.ndim(jump.boundary) == 0 for jump in jumps):
        jumps.sort(key=lambda jump: float(jump.boundary))
    object.__setattr__(schedule, "boundaries_and_scales", tuple(jumps) or None)
