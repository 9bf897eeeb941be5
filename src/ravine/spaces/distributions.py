"""Random spaces: each trial of a sweep draws a number of its own."""

from dataclasses import fields
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.rule import rule, show
from ravine.core.types import INTEGRAL, Interval, Number, Positive, Real, Space

Whole: TypeAlias = Annotated[Number, Interval(), INTEGRAL]
"""A whole number of either sign. A leaf."""

_LARGEST = np.iinfo(np.int32).max


class Distribution(Space):
    """A space from which a trial draws with its own key."""

    def draw(self, key: jax.Array) -> jax.Array:
        """Return one number, a scalar in the default float or integer dtype."""
        raise NotImplementedError

    def quantile(self, u: jax.Array) -> jax.Array:
        """Return the number below which a share ``u`` in ``[0, 1)`` of the draws lies.

        It has the dtype of a draw; ``u`` is a scalar in the default float dtype.
        """
        raise NotImplementedError


def _single(space: Any) -> None:
    """Check that every number of a space is one number."""
    for f in fields(space):
        x = getattr(space, f.name)
        if isinstance(x, Space) or np.ndim(x):
            raise TypeError(f"{type(space).__name__}: {f.name} must be one number, got {x!r}.")


def ordered(space: Any) -> None:
    """Check that the ends of a range are finite and in order, where they are concrete."""
    _single(space)
    ends = (space.low, space.high)
    if any(isinstance(x, jax.core.Tracer) for x in ends):
        return
    name = type(space).__name__
    if not np.all(np.isfinite(np.asarray(ends, float))):
        raise ValueError(f"{name}: low and high must be finite, got {ends[0]!r} and {ends[1]!r}.")
    if ends[0] > ends[1]:
        raise ValueError(f"{name}: low must not exceed high, got {ends[0]!r} > {ends[1]!r}.")


@rule
class Uniform(Distribution):
    """Evenly spread over ``[low, high)``.

    >>> Uniform(0.0, 0.5)
    Uniform(low=0.0, high=0.5)
    """

    low: Real
    high: Real

    def __post_init__(self) -> None:
        ordered(self)

    def bounds(self) -> tuple[Any, Any]:
        return self.low, self.high

    def draw(self, key: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low, float), jnp.asarray(self.high, float)
        return jax.random.uniform(key, dtype=low.dtype, minval=low, maxval=high)

    def quantile(self, u: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low, float), jnp.asarray(self.high, float)
        return jnp.clip(low + u * (high - low), low, high)


@rule
class LogUniform(Distribution):
    """Evenly spread over ``[low, high)`` on a logarithmic scale; ``low > 0``.

    >>> LogUniform(1e-5, 1.0)
    LogUniform(low=1e-05, high=1.0)
    """

    low: Positive
    high: Positive

    def __post_init__(self) -> None:
        ordered(self)

    def bounds(self) -> tuple[Any, Any]:
        return self.low, self.high

    def draw(self, key: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low, float), jnp.asarray(self.high, float)
        drawn = jax.random.uniform(key, dtype=low.dtype, minval=jnp.log(low), maxval=jnp.log(high))
        return jnp.clip(jnp.exp(drawn), low, high)

    def quantile(self, u: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low, float), jnp.asarray(self.high, float)
        log_low, log_high = jnp.log(low), jnp.log(high)
        return jnp.clip(jnp.exp(log_low + u * (log_high - log_low)), low, high)


@rule
class Normal(Distribution):
    """Normally distributed with the given mean and standard deviation."""

    mean: Real = 0.0
    std: Positive = 1.0

    def __post_init__(self) -> None:
        _single(self)

    def bounds(self) -> tuple[Any, Any]:
        return -np.inf, np.inf

    def draw(self, key: jax.Array) -> jax.Array:
        mean, std = jnp.asarray(self.mean, float), jnp.asarray(self.std, float)
        return mean + std * jax.random.normal(key, dtype=mean.dtype)

    def quantile(self, u: jax.Array) -> jax.Array:
        # Older releases of JAX load SciPy with this module.
        from jax.scipy.special import ndtri

        mean, std = jnp.asarray(self.mean, float), jnp.asarray(self.std, float)
        # The lower tail ends where the upper one does, or u = 0 would give -inf.
        edge = jnp.finfo(mean.dtype).epsneg
        return mean + std * ndtri(jnp.clip(u, edge, 1 - edge))


@rule
class IntUniform(Distribution):
    """A whole number from ``low`` to ``high``, both included.

    >>> IntUniform(1, 6)
    IntUniform(low=1, high=6)
    """

    low: Whole
    high: Whole

    def __post_init__(self) -> None:
        ordered(self)
        ends: dict[str, Any] = {"low": self.low, "high": self.high}
        for name, x in ends.items():
            if not jnp.issubdtype(np.result_type(x), np.integer):
                raise TypeError(f"IntUniform: {name} must be a whole number, got {x!r}.")
            if not isinstance(x, jax.core.Tracer) and not -_LARGEST < int(x) < _LARGEST:
                raise ValueError(f"IntUniform: {name} must lie within 32 bits, got {x!r}.")

    def bounds(self) -> tuple[Any, Any]:
        return self.low, self.high

    def draw(self, key: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low, jnp.int32), jnp.asarray(self.high, jnp.int32)
        return jax.random.randint(key, (), low, high + 1)

    def quantile(self, u: jax.Array) -> jax.Array:
        low, high = jnp.asarray(self.low, jnp.int32), jnp.asarray(self.high, jnp.int32)
        # The widest range has almost 2**32 numbers: 32 bits count it without a sign only.
        start, last = low.astype(jnp.uint32), (high - low).astype(jnp.uint32)
        return (start + _counted(u, last)).astype(jnp.int32).astype(int)


@rule
class Choice(Distribution):
    """One of several numbers, each as likely.

    >>> Choice([0.8, 0.9, 0.95])
    Choice([0.8, 0.9, 0.95])
    """

    options: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", as_numbers("Choice", self.options))

    def bounds(self) -> tuple[Any, Any]:
        return self.options.min(), self.options.max()

    def draw(self, key: jax.Array) -> jax.Array:
        options = jnp.asarray(self.options)
        return options[jax.random.randint(key, (), 0, options.shape[0])]

    def quantile(self, u: jax.Array) -> jax.Array:
        options = jnp.sort(jnp.asarray(self.options))
        return options[_counted(u, jnp.uint32(options.shape[0] - 1))]

    def __repr__(self) -> str:
        return f"Choice({listed(self.options)})"


def _counted(u: jax.Array, last: jax.Array) -> jax.Array:
    """Which of the numbers 0 to ``last`` lies at ``u``, where each is as likely."""
    return jnp.minimum((u * (last.astype(u.dtype) + 1)).astype(jnp.uint32), last)


def as_numbers(owner: str, values: Any) -> np.ndarray:
    """Check a non-empty sequence of finite numbers and return it as a flat array."""
    if isinstance(values, str | bytes | dict) or not np.iterable(values):
        raise TypeError(f"{owner} takes a sequence of numbers, got {values!r}.")
    # An array of numbers need not be looked at one by one.
    is_array = isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf"
    numbers = values if is_array else list(values)
    for v in () if is_array else numbers:
        if not _is_number(v):
            raise TypeError(
                f"{owner} holds numbers, got {v!r}. To compare structures (flags, schedules, whole "
                "optimizers), give sweep a dict of optimizers."
            )
    array = np.asarray(numbers)
    # Integers that 32 bits cannot hold would wrap around in compiled code.
    if np.issubdtype(array.dtype, np.object_) or np.any(np.abs(array) > _LARGEST):
        array = np.asarray(numbers, float)
    if not array.size or not np.all(np.isfinite(array)):
        raise ValueError(f"{owner} needs at least one number, all finite, got {values!r}.")
    return array


def listed(numbers: Any) -> str:
    """The numbers of a space as one would write them; a placeholder as it is."""
    if isinstance(numbers, jax.core.Tracer) or not isinstance(numbers, np.ndarray | jax.Array):
        return show(numbers)
    return f"[{', '.join(map(show, np.asarray(numbers).ravel()))}]"


def _is_number(x: Any) -> bool:
    if isinstance(x, bool | int | float):
        return not isinstance(x, bool)
    if not isinstance(x, np.generic | np.ndarray | jax.Array) or x.ndim:
        return False
    return any(jnp.issubdtype(x.dtype, kind) for kind in (np.integer, np.floating))
