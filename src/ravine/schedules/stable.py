"""A warm-up, a long time at the peak, and a decay at the very end."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from ravine.core.rule import rule
from ravine.core.types import Real, Schedule, Static, Steps
from ravine.schedules.shapes import Linear
from ravine.schedules.steps import blend, half_cosine, progress, real, total

SHAPES = {
    "linear": lambda done, left: left,
    "cosine": lambda done, left: half_cosine(left),
    # 1 - sqrt(f), with a finite derivative where the decay begins
    "sqrt": lambda done, left: 1 - jnp.where(done > 0, jnp.sqrt(jnp.where(done > 0, done, 1)), 0),
}


@rule
class WarmupStableDecay(Schedule):
    r"""A linear warm-up, constant, and then down: warmup-stable-decay.

    .. math::
        c(t) = \begin{cases}
            I + (P - I)\,t / W & t < W, \\
            P & W \le t < W + S, \\
            E + (P - E)\,w(f) & t \ge W + S,
        \end{cases} \qquad f = \min\Bigl(\frac{t - W - S}{D},\ 1\Bigr),

    with :math:`w(f) = 1 - f` for "linear", :math:`\tfrac12 (1 + \cos \pi f)` for "cosine" and
    :math:`1 - \sqrt f` for "sqrt". How long to stay at the peak can be decided on the way,
    and the decay be tried from several points of one run.

    Args:
        init_value: :math:`I`, at step 0.
        peak_value: :math:`P`.
        warmup_steps: :math:`W \ge 0` steps.
        stable_steps: :math:`S \ge 0` steps at the peak.
        decay_steps: :math:`D \ge 0` steps of decay; with 0 it falls at once.
        end_value: :math:`E`, from step :math:`W + S + D` on.
        decay_shape: "linear", "cosine" or "sqrt".

    Raises:
        ValueError: if a number of steps is negative, or the shape is none of the three.
        TypeError: if an argument is no number.

    Reference: Hu et al., MiniCPM: unveiling the potential of small language models with
    scalable training strategies, 2024, https://arxiv.org/abs/2404.06395; Hägele et al.,
    Scaling laws and compute-optimal training beyond fixed training durations, 2024,
    https://arxiv.org/abs/2405.18392, for the shape "sqrt".

    >>> schedule = WarmupStableDecay(0.0, 1.0, warmup_steps=2, stable_steps=4, decay_steps=4)
    >>> [float(schedule(t)) for t in (0, 1, 2, 6, 7, 8, 10)]
    [0.0, 0.5, 1.0, 1.0, 0.75, 0.5, 0.0]
    """

    init_value: Real
    peak_value: Real
    warmup_steps: Steps
    stable_steps: Steps
    decay_steps: Steps
    end_value: Real = 0.0
    decay_shape: Static[Literal["linear", "cosine", "sqrt"]] = "linear"

    def __post_init__(self) -> None:
        if self.decay_shape not in SHAPES:
            raise ValueError(
                "WarmupStableDecay: decay_shape must be one of "
                f"{', '.join(map(repr, SHAPES))}, got {self.decay_shape!r}."
            )

    def __call__(self, count: Any) -> jax.Array:
        # The decay is 1 before its begin, and the warm-up stays at the peak after its end.
        warmup = Linear(self.init_value, self.peak_value, self.warmup_steps)(count)
        begin = total(self.warmup_steps, self.stable_steps)
        weight = SHAPES[self.decay_shape](*progress(count, begin, self.decay_steps))
        return blend(warmup, real(self.end_value), weight)
