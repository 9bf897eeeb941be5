"""A line search for the strong Wolfe conditions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.numerics import at
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Positive, Steps
from ravine.transforms.linesearch.search import (
    Sample,
    Search,
    Verdict,
    cubic_share,
    noise,
    nowhere,
    pick,
    reached,
    verdict,
)

SHRINK = 0.66
"""By how much two trials must shrink a bracket, or else it is halved."""


class StrongWolfeState(NamedTuple):
    """The bracket: its best end, its other end (infinite until there is one), and its past."""

    low: Sample
    high: Sample
    width: jax.Array  # of the bracket, and what it was a trial before
    width_before: jax.Array
    steps: jax.Array  # trials so far, int32


@rule
class StrongWolfe(Search):
    r"""A bracket, and cubic interpolation in it, until the strong Wolfe conditions hold.

    .. math::
        \phi(t) \le \phi(0) + c_1 t\,\phi'(0), \qquad |\phi'(t)| \le c_2 |\phi'(0)|.

    Trials grow until they enclose such a point, and then close in on it. Where rounding
    hides the decrease, :math:`|\phi(t) - \phi(0)| \le \epsilon |\phi(0)|` takes the place of the
    first condition. After ``max_linesearch_steps`` trials the best of them is taken, if any
    decreased the function enough.

    Args:
        slope_rtol: :math:`c_1 \ge 0`, which share of the decrease promised by the slope to ask for.
        curv_rtol: :math:`c_2 > c_1`, how much flatter the function must be at the end; 0.9 for
            directions of a natural length such as Newton's, 0.1 for conjugate gradients.
        approx_dec_rtol: :math:`\epsilon \ge 0`; ten units of rounding by default.
        max_linesearch_steps: trials for one line, at least 1.

    Reference: Nocedal and Wright, Numerical optimization, 2006, algorithms 3.5 and 3.6; More
    and Thuente, Line search algorithms with guaranteed sufficient decrease, 1994,
    https://doi.org/10.1145/192115.192132.
    """

    slope_rtol: NonNegative = 1e-4
    curv_rtol: Positive = 0.9
    approx_dec_rtol: NonNegative | None = None
    max_linesearch_steps: Steps = 20

    def init(self, dtype: Any) -> StrongWolfeState:
        zero, far = jnp.zeros((), dtype), nowhere(dtype)
        base = Sample(zero, zero, zero)
        return StrongWolfeState(base, far, far.t, far.t, jnp.zeros((), jnp.int32))

    def begin(self, state: StrongWolfeState, base: Sample) -> StrongWolfeState:
        return self.init(base.t.dtype)._replace(low=base)

    def advance(
        self, state: StrongWolfeState, base: Sample, trial: Sample
    ) -> tuple[StrongWolfeState, Verdict]:
        low, high = state.low, state.high
        t, f, m = trial
        # phi(t) <= phi(0) + c1 t phi'(0);  |phi'(t)| <= c2 |phi'(0)|
        decreased = f <= base.value + at(self.slope_rtol, t) * t * base.slope
        doubt = noise(self.approx_dec_rtol, base)
        level = jnp.abs(f - base.value) <= doubt
        flat = jnp.abs(m) <= -at(self.curv_rtol, t) * base.slope

        # The best end is the lowest point so far with enough decrease; the other is where the
        # slope at the best end leads to, so that a point to accept lies between them.
        worse = ~decreased | (f > low.value + doubt)
        past = jnp.where(high.t > low.t, m >= 0, m <= 0)
        high = pick(worse, trial, pick(past, low, high))
        low = pick(worse, low, trial)
        width = jnp.abs(high.t - low.t)

        steps = state.steps + 1
        tiny = width <= 4 * jnp.finfo(t.dtype).eps * low.t
        spent = tiny | reached(steps, self.max_linesearch_steps)
        halve = (width > SHRINK * state.width_before) & jnp.isfinite(high.value)
        inside = jnp.where(halve, (low.t + high.t) / 2, between(low, high))
        t = jnp.where(jnp.isinf(high.t), further(state.low, trial), inside)
        accept = ((decreased | level) & flat) | (spent & ~worse)
        state = StrongWolfeState(low, high, width, state.width, steps)
        return state, verdict(accept, spent, low.t, t)


def between(low: Sample, high: Sample) -> jax.Array:
    """A step inside the bracket: the cubic's minimum, or nearer to the best end after a wall."""
    share = jnp.where(jnp.isfinite(high.value), cubic_share(low, high, 0.5), 0.2)
    h = jnp.where(jnp.isinf(high.t), 0, high.t - low.t)
    return low.t + jnp.clip(share, 0.05, 0.95) * h


def further(last: Sample, trial: Sample) -> jax.Array:
    """A step beyond the trial: the cubic's minimum, two to five times as far from the last."""
    share = cubic_share(last, trial, 5.0)
    return last.t + jnp.clip(jnp.where(share > 1, share, 5.0), 2.0, 5.0) * (trial.t - last.t)
