"""Hager and Zhang's line search, which sees beyond the digits of the value."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.numerics import at
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Period, Positive
from ravine.transforms.linesearch.search import (
    Sample,
    Search,
    Verdict,
    divided,
    nowhere,
    pick,
    reached,
    verdict,
)

FIRST, SECOND, MIDDLE = 0, 1, 2
"""What the next trial inside a bracket is: the two of the secant step, or the middle."""


class HagerZhangState(NamedTuple):
    """The bracket and how it is being narrowed."""

    a: Sample  # a low value and a falling slope
    b: Sample  # a rising slope; before there is one, a high value or nothing
    rising: jax.Array  # whether the slope at b rises, bool
    width: jax.Array  # of the bracket before the secant step
    phase: jax.Array  # int32
    steps: jax.Array  # trials so far, int32


@rule
class HagerZhang(Search):
    r"""A bracket by slopes, narrowed by secant steps, until (approximate) Wolfe conditions hold.

    .. math::
        \phi(t) \le \phi(0) + \delta t\,\phi'(0), \quad \phi'(t) \ge \sigma \phi'(0)
        \qquad\text{or}\qquad
        (2\delta - 1)\,\phi'(0) \ge \phi'(t) \ge \sigma \phi'(0), \quad
        \phi(t) \le \phi(0) + \epsilon |\phi(0)|.

    The second pair needs no difference of values, of which rounding leaves only half the
    digits near a minimum. A bracket has a falling slope at its left end and a rising one at its
    right; each round is a double secant step, and a bisection if that narrowed it too little.

    Args:
        delta: :math:`\delta` in [0, 1), the share of the promised decrease to ask for.
        sigma: :math:`\sigma` in [0, 1), at least :math:`\delta`.
        eps: :math:`\epsilon \ge 0`, the relative error of the values.
        theta: in [0, 1), where to split a bracket whose right end is high but still falling.
        gamma: in [0, 1), the share of its width that a round may leave of a bracket.
        rho: greater than 0, by which to lengthen the step until there is a bracket.
        max_linesearch_steps: trials for one line, at least 1.

    Reference: Hager and Zhang, A new conjugate gradient method with guaranteed descent and an
    efficient line search, 2005, https://doi.org/10.1137/030601880.
    """

    delta: Decay = 0.1
    sigma: Decay = 0.9
    eps: NonNegative = 1e-6
    theta: Decay = 0.5
    gamma: Decay = 0.66
    rho: Positive = 5.0
    max_linesearch_steps: Period = 30

    def init(self, dtype: Any) -> HagerZhangState:
        zero, far, none = jnp.zeros((), dtype), nowhere(dtype), jnp.zeros((), jnp.int32)
        base = Sample(zero, zero, zero)
        return HagerZhangState(base, far, jnp.zeros((), bool), far.t, none, none)

    def begin(self, state: HagerZhangState, base: Sample) -> HagerZhangState:
        return self.init(base.t.dtype)._replace(a=base)

    def advance(
        self, state: HagerZhangState, base: Sample, trial: Sample
    ) -> tuple[HagerZhangState, Verdict]:
        t, f, m = trial
        delta, m0 = at(self.delta, t), base.slope
        level = base.value + at(self.eps, t) * jnp.abs(base.value)
        wolfe = (f <= base.value + delta * t * m0) | ((m <= (2 * delta - 1) * m0) & (f <= level))
        accept = wolfe & (m >= at(self.sigma, t) * m0) & jnp.isfinite(f)

        # The interval update (U0 to U3), and the bracketing (B1 to B3) before there is one.
        up, low = (m >= 0) & jnp.isfinite(f), f <= level
        a = pick(~up & low, trial, state.a)
        b = pick(up | ~low, trial, state.b)
        rising = jnp.where(up | ~low, up, state.rising)
        bracketed = rising & ~state.rising
        start = bracketed | (state.phase == MIDDLE)

        # The second secant goes through the end that moved and what stood there before.
        left = (state.phase == FIRST) & ~up
        old, new = pick(left, state.a, state.b), pick(left, a, b)
        second = secant(old, new)
        inside = within(second, a, b) & (state.phase == FIRST) & ~bracketed
        narrow = b.t - a.t <= at(self.gamma, t) * state.width
        phase = jnp.where(inside, SECOND, jnp.where(start | narrow, FIRST, MIDDLE))
        first = secant(a, b)
        middle = (a.t + b.t) / 2
        first = jnp.where(within(first, a, b), first, middle)
        next = jnp.where(phase == FIRST, first, jnp.where(phase == SECOND, second, middle))
        far = jnp.isinf(b.t)
        split = a.t + at(self.theta, t) * (jnp.where(far, a.t, b.t) - a.t)
        next = jnp.where(rising, next, jnp.where(far, at(self.rho, t) * t, split))

        steps = state.steps + 1
        tiny = b.t - a.t <= 4 * jnp.finfo(t.dtype).eps * a.t
        spent = reached(steps, self.max_linesearch_steps) | tiny
        best = jnp.where(a.value < base.value, a.t, 0)
        width = jnp.where(phase == FIRST, b.t - a.t, state.width)
        phase = jnp.where(rising, phase, FIRST).astype(jnp.int32)
        state = HagerZhangState(a, b, rising, width, phase, steps)
        return state, verdict(accept, spent, best, next)


def within(t: jax.Array, a: Sample, b: Sample) -> jax.Array:
    """Whether a step is in a bracket, and not at an end as far as the bracket can tell.

    Beside a wall, whose slope is huge, a secant leads no way at all.
    """
    edge = jnp.finfo(t.dtype).eps ** 0.5 * (b.t - a.t)
    return (t - a.t > edge) & (b.t - t > edge)


def secant(a: Sample, b: Sample) -> jax.Array:
    """Where the line through two slopes crosses zero, the left end if nowhere."""
    s, t = (jnp.where(jnp.isinf(x.t), 0, x.t) for x in (a, b))
    return divided(s * b.slope - t * a.slope, b.slope - a.slope, s)
