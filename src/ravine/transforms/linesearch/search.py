"""What a line search is: a flat state machine that is told one point at a time.

Nothing here knows of trees: along a direction ``d`` from a base point, a search sees the
function ``phi(t) = f(x + t d)`` and its slope, and says at which ``t`` to look next.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.numerics import at, concrete, hidden, safe_sqrt

GO_ON, ACCEPT, RETURN, FAIL = 0, 1, 2, 3
"""What a search says of a trial: look at the next point; take this one; take one that it saw
before, the best, which needs another look; or nothing was found."""


class Sample(NamedTuple):
    """A point on the line: the step ``t``, the value and the slope there; float scalars."""

    t: jax.Array
    value: jax.Array
    slope: jax.Array

    def told(self, base: "Sample") -> "Sample":
        """This point, with what the slopes tell of its value where rounding may hide the change."""
        change = jnp.maximum(jnp.abs(self.value - base.value), jnp.abs(self.t * base.slope))
        value = base.value + self.t * (base.slope + self.slope) / 2
        return self._replace(value=jnp.where(change <= hidden(base.value), value, self.value))


class Verdict(NamedTuple):
    """What to do after a trial, and the step at which to look next, unless this one is taken."""

    code: jax.Array  # int32
    t: jax.Array


class Search:
    """A line search: plain data, with numbers as leaves.

    A trial whose value or slope is infinite or NaN reaches ``advance`` with the value
    infinity and the slope 0, so every comparison with it means what it seems to.
    """

    def init(self, dtype: Any) -> Any:
        """Return the state before the first line, for values of this dtype."""
        raise NotImplementedError

    def begin(self, state: Any, base: Sample) -> Any:
        """Return the state with which to begin at a base point, which has ``t = 0``."""
        raise NotImplementedError

    def advance(self, state: Any, base: Sample, trial: Sample) -> tuple[Any, Verdict]:
        """Return the next state, and what to do after this trial."""
        raise NotImplementedError


def check_search(owner: str, search: Any) -> None:
    """Check that a field is a line search.

    Raises:
        TypeError: naming the class whose field it is.
    """
    if not isinstance(search, Search):
        raise TypeError(
            f"{owner}: linesearch must be a line search such as StrongWolfe(), got {search!r}."
        )


def finite_sample(t: jax.Array, value: jax.Array, slope: jax.Array) -> Sample:
    """A trial as searches see it: the value infinity and the slope 0 where either is no number."""
    ok = jnp.isfinite(value) & jnp.isfinite(slope)
    return Sample(t, jnp.where(ok, value, jnp.inf), jnp.where(ok, slope, 0))


def verdict(accept: Any, spent: jax.Array, best: jax.Array, t: jax.Array) -> Verdict:
    """Take the trial, or else, where the trials are spent, the one at ``best`` unless that is 0."""
    code = jnp.where(spent, jnp.where(best > 0, RETURN, FAIL), GO_ON)
    code = jnp.where(accept, ACCEPT, code).astype(jnp.int32)
    return Verdict(code, jnp.where(spent, best, t))


def noise(rtol: Any, base: Sample) -> jax.Array:
    """How far rounding may lift a value: ``rtol |f|``, ten units of rounding for ``None``."""
    f = base.value
    return (10 * jnp.finfo(f.dtype).eps if rtol is None else at(rtol, f)) * jnp.abs(f)


def reached(steps: jax.Array, most: Any) -> jax.Array:
    """Whether a count has come to a number of steps."""
    return steps >= jnp.asarray(concrete(most)).astype(steps.dtype)


def pick(condition: jax.Array, a: Sample, b: Sample) -> Sample:
    """``a`` where the condition holds, else ``b``."""
    return Sample(*(jnp.where(condition, x, y) for x, y in zip(a, b, strict=True)))


def nowhere(dtype: Any) -> Sample:
    """The missing end of a bracket: infinitely far, and infinitely bad."""
    inf = jnp.full((), jnp.inf, dtype)
    return Sample(inf, inf, jnp.zeros((), dtype))


def cubic_share(a: Sample, b: Sample, otherwise: float) -> jax.Array:
    """Where the cubic through two points with their slopes has its minimum: 0 at a, 1 at b.

    ``otherwise`` if it has none, or if b is infinitely far, high or steep. Nocedal and Wright,
    Numerical optimization, 2006, equation 3.59.
    """
    known = jnp.isfinite(b.t) & jnp.isfinite(b.value)
    h = jnp.where(known & (b.t != a.t), b.t - a.t, 1)
    rise = jnp.where(known, b.value - a.value, 0)
    d1 = a.slope + b.slope - 3 * rise / h
    square = d1 * d1 - a.slope * b.slope
    d2 = jnp.sign(h) * safe_sqrt(square)
    share = 1 - divided(b.slope + d2 - d1, b.slope - a.slope + 2 * d2, 1 - otherwise)
    # Squares of what is huge, and yet finite, may not be.
    return jnp.where(known & (square >= 0) & jnp.isfinite(share), share, otherwise)


def divided(x: jax.Array, d: jax.Array, otherwise: Any) -> jax.Array:
    """``x / d``, and ``otherwise`` where ``d`` is 0."""
    zero = d == 0
    return jnp.where(zero, otherwise, x / jnp.where(zero, 1, d))
