"""Arithmetic on step counts, shared by all schedules.

Integers stay integers until the last division: float32 cannot tell 2**24 + 1 from 2**24,
int32 goes on to 2**31. Whatever cannot be selected stays finite, so that gradients do too.
"""

from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import concrete
from ravine.core.rule import rule
from ravine.core.types import INTEGRAL, Interval, NonNegative, Number, Space, Steps

PositiveSteps: TypeAlias = Annotated[Number, Interval(0.0, above=True), INTEGRAL]
"""A number of steps greater than 0; integers stay integers. A leaf."""


def real(number: Any) -> jax.Array:
    """A hyperparameter in the default float dtype, strongly typed."""
    return jnp.asarray(concrete(number), float)


def aligned(*steps: Any) -> list[jax.Array]:
    """Step counts in one dtype: the default integer if all are integers, else the default float."""
    arrays = [_as_array(x) for x in steps]
    whole = all(jnp.issubdtype(x.dtype, jnp.integer) for x in arrays)
    return [x.astype(int if whole else float) for x in arrays]


def elapsed(count: Any, begin: Any = 0) -> jax.Array:
    """The steps from ``begin`` to ``count``, and none before: ``max(count - begin, 0)``."""
    count, begin = aligned(count, begin)
    return jnp.maximum(count, begin) - begin  # cannot overflow, as count - begin could


def total(*steps: Any) -> jax.Array:
    """The sum of step counts."""
    first, *rest = aligned(*steps)
    return sum(rest, start=first)


def progress(count: Any, begin: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """The shares of a transition that are done and left, each rounded once; their sum is 1.

    A transition of length 0 is over as soon as it begins.
    """
    passed, length = aligned(elapsed(count, begin), length)
    count, begin = aligned(count, begin)
    lasts = length > 0
    whole = real(jnp.where(lasts, length, 1))
    over = real(count >= begin)
    done = jnp.where(lasts, real(jnp.minimum(passed, length)) / whole, over)
    left = jnp.where(lasts, real(jnp.maximum(length - passed, 0)) / whole, 1 - over)
    return done, left


def periods(count: Any, begin: Any, length: Any, staircase: bool) -> jax.Array:
    """How many times ``length`` steps have passed since ``begin``; whole times on a staircase.

    It stays 0 for a length of 0, which the door refuses and only a traced number can be.
    """
    passed, length = aligned(elapsed(count, begin), length)
    lasts = length > 0
    length = jnp.where(lasts, length, 1)
    times = real(passed // length) if staircase else real(passed) / real(length)
    return jnp.where(lasts, times, 0)


def half_cosine(left: jax.Array) -> jax.Array:
    """Half a cosine from 0 at 0 to 1 at 1, written as a square, which keeps the digits near 0."""
    return jnp.square(jnp.sin(jnp.pi / 2 * left))


def blend(start: jax.Array, end: jax.Array, weight: jax.Array) -> jax.Array:
    """Between ``start`` at weight 1 and ``end`` at weight 0, exact at both."""
    return start * weight + end * (1 - weight)


def is_known(*numbers: Any) -> bool:
    """Whether all are plain numbers, neither traced nor left to a sweep."""
    unknown = (Space, jax.core.Tracer, jax.ShapeDtypeStruct)
    return not any(isinstance(x, unknown) for x in numbers)


@rule
class Jump:
    """A boundary and what happens there.

    Args:
        boundary: the first step, at least 0, at which the jump has happened.
        scale: the factor, at least 0, by which a value is multiplied there.

    Raises:
        ValueError: if a number is negative.
        TypeError: if an argument is no number.

    >>> Jump(100, 0.5)
    Jump(boundary=100, scale=0.5)
    """

    boundary: Steps
    scale: NonNegative = 1.0


def checked_jump(where: str, boundary: Any, scale: Any = 1.0) -> Jump:
    """A jump, or an error that says ``where`` it was given."""
    try:
        return Jump(boundary, scale)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {str(error).removeprefix('Jump: ')}") from None


def _as_array(steps: Any) -> jax.Array:
    steps = concrete(steps)
    if not isinstance(steps, jax.Array):
        steps = np.asarray(steps)
        if np.any(np.abs(steps) > jnp.iinfo(jnp.result_type(int)).max):  # billions, of tokens
            steps = steps.astype(float)
    return jnp.asarray(steps)
