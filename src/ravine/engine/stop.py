"""Stopping tests: values that compose with ``|`` and ``&``.

A test looks at a point ``x_t`` with its value and gradient and at the step that is about
to be taken. If it says stop, the step is not taken: the value and the parameters that
are reported belong together. Tolerances are leaves, so they can be swept.
"""

from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, concrete
from ravine.core.rule import rule
from ravine.core.types import INTEGRAL, EmptyState, Interval, NonNegative, Number, Real, Steps
from ravine.engine.status import Status

Patience: TypeAlias = Annotated[Number, Interval(1.0), INTEGRAL]
"""A number of steps, at least 1. A leaf."""


class Seen:
    """What a test may look at; norms are computed only if one of them is asked for."""

    def __init__(self, value: Any, grads: Any, updates: Any, step: Any) -> None:
        self.value, self.grads, self.updates, self.step = value, grads, updates, step

    @cached_property
    def grad_norm(self) -> jax.Array:
        """The Euclidean norm of the gradient."""
        return tree.norm(self.grads).real

    @cached_property
    def step_norm(self) -> jax.Array:
        """The Euclidean norm of the step about to be taken."""
        return tree.norm(self.updates).real


class Stop:
    """A stopping test: ``a | b`` stops when either does, ``a & b`` when both do at once.

    Convergence is only ever claimed of a finite value: a test that would stop where the
    value is infinite or NaN stops as diverged.
    """

    def init(self) -> Any:
        """Return what the test remembers at the start of a trial."""
        return EmptyState()

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        """Return the code of a status, 0 to go on, and what to remember."""
        raise NotImplementedError

    def __or__(self, other: "Stop") -> "Stop":
        return Either(self, other)

    def __and__(self, other: "Stop") -> "Stop":
        return Both(self, other)


def _when(condition: jax.Array, status: Status, seen: Seen) -> jax.Array:
    """``status`` where the condition holds, but diverged where the value is not finite."""
    code = jnp.where(jnp.isfinite(seen.value), status.code, Status.DIVERGED.code)
    return jnp.where(condition, code, 0).astype(jnp.int8)


@rule
class GradNorm(Stop):
    r"""Converged when :math:`\|\nabla f(x_t)\|_2 \le` ``tol``.

    >>> GradNorm(1e-6) | Target(1e-3)
    (GradNorm(tol=1e-06) | Target(value=0.001))
    """

    tol: NonNegative

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        return _when(seen.grad_norm <= at(self.tol, seen.grad_norm), Status.CONVERGED, seen), state


@rule
class StepNorm(Stop):
    r"""Converged when the next step would be no longer: :math:`\|u_t\|_2 \le` ``tol``."""

    tol: NonNegative

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        return _when(seen.step_norm <= at(self.tol, seen.step_norm), Status.CONVERGED, seen), state


@rule
class Target(Stop):
    r"""Converged when :math:`f(x_t) \le` ``value``, and finite."""

    value: Real

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        hit = (seen.value <= at(self.value, seen.value)) & jnp.isfinite(seen.value)
        return _when(hit, Status.CONVERGED, seen), state


class PlateauState(NamedTuple):
    """The value to beat, and for how many steps nothing has beaten it."""

    best: jax.Array
    waited: jax.Array


@rule
class Plateau(Stop):
    r"""Converged when ``patience`` steps in a row brought no real improvement.

    An improvement is real if it exceeds :math:`\mathrm{rtol}\,|f^*| + \mathrm{atol}`, where
    :math:`f^*` is the value to beat, the last one that was a real improvement.

    Args:
        patience: how many steps to wait, at least 1.
        rtol: relative size of a real improvement.
        atol: absolute size of a real improvement.
    """

    patience: Patience
    rtol: NonNegative = 1e-4
    atol: NonNegative = 0.0

    def init(self) -> PlateauState:
        return PlateauState(jnp.full((), jnp.inf, float), jnp.zeros((), jnp.int32))

    def test(self, seen: Seen, state: PlateauState) -> tuple[jax.Array, PlateauState]:
        best = state.best
        margin = at(self.rtol, best) * jnp.abs(best) + at(self.atol, best)
        # Anything is better than the infinity at the start, whose margin is no number.
        better = (seen.value < best - margin) | (jnp.isinf(best) & (seen.value < best))
        waited = jnp.where(better, 0, state.waited + 1).astype(jnp.int32)
        over = _reached(waited, self.patience)
        state = PlateauState(jnp.where(better, seen.value, best), waited)
        return _when(over, Status.CONVERGED, seen), state


@rule
class Diverged(Stop):
    """Diverged when the value is infinite, NaN, or greater than ``above``."""

    above: Real = float("inf")

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        over = ~jnp.isfinite(seen.value) | (seen.value > at(self.above, seen.value))
        return _when(over, Status.DIVERGED, seen), state


@rule
class MaxSteps(Stop):
    """Out of steps after ``n``: for a budget that differs between trials."""

    n: Steps

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        return _when(_reached(seen.step, self.n), Status.MAX_STEPS, seen), state


def _reached(count: jax.Array, n: Any) -> jax.Array:
    """Whether an integer count has come to ``n``, which may be a float."""
    n = jnp.asarray(concrete(n))
    dtype = n.dtype if jnp.issubdtype(n.dtype, jnp.floating) else count.dtype
    return count.astype(dtype) >= n.astype(dtype)


class Pair(Stop):
    """Two tests, both kept up to date, and how to join what they say."""

    first: Any
    second: Any
    sign: ClassVar[str]

    def __post_init__(self) -> None:
        for test in (self.first, self.second):
            if not isinstance(test, Stop):
                raise TypeError(
                    f"| and & join stopping tests such as GradNorm(1e-6), got {test!r}. "
                    "A comparison belongs into a test: Target(1e-3), not value < 1e-3."
                )

    def init(self) -> Any:
        return self.first.init(), self.second.init()

    def join(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """Return the code of both from the codes of each."""
        raise NotImplementedError

    def test(self, seen: Seen, state: Any) -> tuple[jax.Array, Any]:
        a, first = self.first.test(seen, state[0])
        b, second = self.second.test(seen, state[1])
        return self.join(a, b).astype(jnp.int8), (first, second)

    def __repr__(self) -> str:
        return f"({self.first!r} {self.sign} {self.second!r})"


@rule
class Either(Pair):
    """Stops when one of two tests does, with the status of the first that did."""

    first: Any
    second: Any
    sign = "|"

    def join(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(a > 0, a, b)


@rule
class Both(Pair):
    """Stops when two tests do at the same step, with the graver of their statuses."""

    first: Any
    second: Any
    sign = "&"

    def join(self, a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where((a > 0) & (b > 0), jnp.maximum(a, b), 0)


__all__ = ["Diverged", "GradNorm", "MaxSteps", "Plateau", "StepNorm", "Stop", "Target"]
