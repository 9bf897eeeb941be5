"""One schedule after another."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.rule import Foreign, rule
from ravine.core.types import Number, Schedule
from ravine.schedules.shapes import Constant
from ravine.schedules.steps import aligned, checked_jump, elapsed, is_known, real


@rule
class Join(Schedule):
    r"""Schedules one after another, each counting from 0 at its own boundary.

    .. math::
        c(t) = c_i(t - b_i) \quad \text{for } b_i \le t < b_{i+1}, \qquad b_0 = 0.

    Args:
        schedules: one or more schedules; a number stands for a constant, and a plain
            function of the step is taken too.
        boundaries: the steps :math:`b_1 \le b_2 \le \dots`, one fewer than schedules, at
            which the next schedule takes over. They are leaves. Where two coincide, the
            schedule between them is left out.

    Raises:
        ValueError: if the boundaries are too few, too many, negative or decreasing.
        TypeError: if a schedule is none, or a boundary no number.

    >>> from ravine.schedules.shapes import CosineDecay, Linear
    >>> schedule = Join([Linear(0.0, 0.5, 10), CosineDecay(0.5, 100)], [10])
    >>> [round(float(schedule(t)), 4) for t in (0, 5, 10, 60, 110)]
    [0.0, 0.25, 0.5, 0.25, 0.0]
    """

    schedules: Sequence[Schedule | Callable[[Any], Any] | Number]
    boundaries: Sequence[Number]

    def __post_init__(self) -> None:
        schedules = tuple(as_schedule(i, x) for i, x in enumerate(_items(self, "schedules")))
        boundaries = tuple(
            checked_jump(f"Join: boundaries[{i}]", x).boundary
            for i, x in enumerate(_items(self, "boundaries"))
        )
        if len(boundaries) != len(schedules) - 1:
            raise ValueError(
                f"Join: boundaries must be one fewer than schedules, got {len(boundaries)} "
                f"boundaries for {len(schedules)} schedules. The first schedule starts at step 0 "
                "and needs no boundary, and the last has no end."
            )
        for i, (a, b) in enumerate(pairwise(boundaries)):
            if is_known(a, b) and not np.all(np.asarray(a) <= np.asarray(b)):
                raise ValueError(
                    f"Join: boundaries must not decrease, but boundaries[{i}] is {a!r} and "
                    f"boundaries[{i + 1}] {b!r}. They are counted from the first step of all, not "
                    "from the boundary before."
                )
        object.__setattr__(self, "schedules", schedules)
        object.__setattr__(self, "boundaries", boundaries)

    def __call__(self, count: Any) -> jax.Array:
        begins, ends = (0, *self.boundaries), (*self.boundaries, count)
        value = real(0)
        for schedule, begin, end in zip(self.schedules, begins, ends, strict=True):
            now, begin, end = aligned(count, begin, end)
            # A schedule is never asked about steps that are not its own: it may overflow there.
            here = real(schedule(elapsed(jnp.minimum(now, end), begin)))  # type: ignore[operator]
            value = jnp.where(now < begin, value, here)
        return value


def as_schedule(position: int, x: Any) -> Schedule:
    """``x`` as a schedule: a number is a constant, and a function somebody else's schedule."""
    if isinstance(x, Schedule):
        return x
    if callable(x):
        return Foreign(x)
    try:
        return Constant(x)
    except TypeError:
        raise TypeError(
            f"Join: schedules[{position}] must be a schedule, a number or a function of the step, "
            f"got {type(x).__name__}."
        ) from None


def _items(join: Join, name: str) -> Iterable[Any]:
    try:
        return list(getattr(join, name))
    except TypeError:
        raise TypeError(
            f"Join: {name} must be a list or a tuple, got {getattr(join, name)!r}."
        ) from None
