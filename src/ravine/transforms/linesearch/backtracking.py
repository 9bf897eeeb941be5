"""Armijo's line search: shorten the step until the function has decreased enough."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.numerics import at
from ravine.core.rule import rule
from ravine.core.types import Fraction, NonNegative, Period
from ravine.transforms.linesearch.search import (
    Sample,
    Search,
    Verdict,
    divided,
    noise,
    reached,
    verdict,
)


class BacktrackingState(NamedTuple):
    """The value to beat, how many values it is a mean of, and the trials so far (int32)."""

    reference: jax.Array
    weight: jax.Array
    steps: jax.Array


@rule
class Backtracking(Search):
    r"""Shorten the step until the function has decreased enough.

    .. math::
        \phi(t) \le C_k + c_1 t\,\phi'(0), \qquad
        C_k = \frac{\eta\, q_{k-1} C_{k-1} + \phi(0)}{q_k}, \quad q_k = \eta\, q_{k-1} + 1.

    A step that is too long is replaced by the minimum of the parabola through what is known,
    at least a tenth of it and at most ``decrease_factor`` times it. With :math:`\eta = 0` every
    accepted value is below the last; with more, :math:`C_k` is a mean of past values and some
    may rise, which suits Barzilai and Borwein's steps. This search asks nothing of the slope
    where it ends, so quasi-Newton methods may have to leave out a pair.

    Args:
        slope_rtol: :math:`c_1 \ge 0`, which share of the decrease promised by the slope to ask for.
        decrease_factor: in (0, 1], the longest next step over the last.
        nonmonotone: :math:`\eta` in [0, 1].
        approx_dec_rtol: how far rounding may lift a value, relative to :math:`\phi(0)`; ten
            units of rounding by default.
        max_backtracking_steps: trials for one line, at least 1.

    Reference: Armijo, Minimization of functions having Lipschitz continuous first partial
    derivatives, 1966; Zhang and Hager, A nonmonotone line search technique and its application
    to unconstrained optimization, 2004, https://doi.org/10.1137/S1052623403428208.
    """

    slope_rtol: NonNegative = 1e-4
    decrease_factor: Fraction = 0.5
    nonmonotone: Fraction = 0.0
    approx_dec_rtol: NonNegative | None = None
    max_backtracking_steps: Period = 30

    def init(self, dtype: Any) -> BacktrackingState:
        zero = jnp.zeros((), dtype)
        return BacktrackingState(zero, jnp.zeros_like(zero), jnp.zeros((), jnp.int32))

    def begin(self, state: BacktrackingState, base: Sample) -> BacktrackingState:
        # q = eta q + 1;  C = (eta q C + f) / q
        old = at(self.nonmonotone, base.t) * state.weight
        mean = (old * state.reference + base.value) / (old + 1)
        return BacktrackingState(mean, old + 1, jnp.zeros_like(state.steps))

    def advance(
        self, state: BacktrackingState, base: Sample, trial: Sample
    ) -> tuple[BacktrackingState, Verdict]:
        t, f, _ = trial
        c1 = at(self.slope_rtol, t)
        # Where rounding hides the decrease, the slope must show that there is one.
        level = jnp.abs(f - base.value) <= noise(self.approx_dec_rtol, base)
        level &= trial.slope <= (2 * c1 - 1) * base.slope
        accept = (f <= state.reference + c1 * t * base.slope) | level
        # The parabola through phi(0), phi'(0) and phi(t)
        rise = jnp.where(jnp.isfinite(f), f - base.value - base.slope * t, 0)
        longest = at(self.decrease_factor, t)
        share = divided(-base.slope * t, 2 * rise, longest)
        share = jnp.clip(share, jnp.minimum(0.1, longest), longest)
        steps = state.steps + 1
        spent = reached(steps, self.max_backtracking_steps)
        state = state._replace(steps=steps)
        return state, verdict(accept, spent, jnp.zeros_like(t), share * t)
