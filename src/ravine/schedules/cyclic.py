"""Up and down in triangles, again and again."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from ravine.core.numerics import safe_power
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Real, Schedule, Static
from ravine.schedules.steps import PositiveSteps, aligned, elapsed, progress, real, total

MODES = ("triangular", "triangular2", "exp_range")


@rule
class CyclicTriangular(Schedule):
    r"""From a base to a peak in a straight line, and back, cycle after cycle.

    .. math::
        c(t) = B + (P - B)\,s_t \begin{cases}
            t' / U & t' < U, \\
            (U + D - t') / D & t' \ge U,
        \end{cases} \qquad t' = t \bmod (U + D), \quad k = \lfloor t / (U + D) \rfloor,

    with :math:`s_t = 1` for "triangular", :math:`2^{-k}` for "triangular2" and
    :math:`\gamma^t` for "exp_range".

    Args:
        base_value: :math:`B`, at step 0 and between any two triangles.
        peak_value: :math:`P`, at step :math:`U`.
        step_size_up: :math:`U > 0` steps up.
        step_size_down: :math:`D > 0` steps down; as many as up by default.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: :math:`\gamma \ge 0`, for "exp_range".

    Raises:
        ValueError: if a number lies outside its range, or the mode is none of the three.
        TypeError: if an argument is no number.

    Reference: Smith, Cyclical learning rates for training neural networks, 2015,
    https://arxiv.org/abs/1506.01186.

    >>> schedule = CyclicTriangular(0.0, peak_value=1.0, step_size_up=2, mode="triangular2")
    >>> [float(schedule(t)) for t in range(8)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    """

    base_value: Real
    peak_value: Real
    step_size_up: PositiveSteps
    step_size_down: PositiveSteps | None = None
    mode: Static[Literal["triangular", "triangular2", "exp_range"]] = "triangular"
    gamma: NonNegative = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(
                f"CyclicTriangular: mode must be one of {', '.join(map(repr, MODES))}, got "
                f"{self.mode!r}."
            )

    def __call__(self, count: Any) -> jax.Array:
        up = self.step_size_up
        length = total(up, up if self.step_size_down is None else self.step_size_down)
        now, length, up = aligned(elapsed(count), length, up)
        safe = jnp.where(length > 0, length, 1)
        cycle, within = now // safe, now % safe
        rise, _ = progress(within, 0, up)
        _, fall = progress(within, up, elapsed(length, up))
        size = {
            "triangular": lambda: jnp.ones((), float),
            "triangular2": lambda: jnp.exp2(-real(cycle)),
            "exp_range": lambda: safe_power(real(self.gamma), real(now)),
        }[self.mode]()
        base = real(self.base_value)
        return base + (real(self.peak_value) - base) * rise * fall * size
