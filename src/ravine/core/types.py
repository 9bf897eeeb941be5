"""The protocols everything shares, and the vocabulary of field annotations.

Axis letters used across the package: B lanes, N trials, T steps, P parameters.
"""

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

Params: TypeAlias = Any
"""A pytree of arrays (or Python numbers): the point being optimized."""
Updates: TypeAlias = Any
"""A pytree shaped like the parameters: gradients going in, steps coming out."""
State: TypeAlias = Any
"""What a transform carries from step to step: a NamedTuple of arrays."""


class EmptyState(NamedTuple):
    """The state of a transform that has nothing to remember."""


class Standing(NamedTuple):
    """A point by which an optimizer is to be judged, and the step it is about to take from it."""

    params: Params
    value: Any
    grads: Updates
    updates: Updates
    stalled: Any = False
    """Whether it has found that no step leads lower, and will stay there for good."""
    restless: bool = False
    """Whether an update at that very point would move it on; a Python bool."""


class Transform:
    """Maps gradients to updates: a pair of pure functions, and plain data.

    Every subclass is a frozen dataclass and a pytree: its numbers are leaves, its
    structure is static. ``init, update = transform`` unpacks the pair.
    """

    def init(self, params: Params) -> State:
        """Return the state with which to start at ``params``."""
        raise NotImplementedError

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        """Return the transformed updates and the next state.

        Extra keyword arguments (``value``, ``value_fn``, ``key``, ...) are for the
        transforms that need them; the others ignore them.
        """
        raise NotImplementedError

    def eval_params(self, state: State, params: Params) -> Params:
        """Return the point at which to evaluate: ``params``, or the average that is kept of it."""
        return params

    def standing(self, state: State, here: "Standing") -> "Standing":
        """Return where the optimizer stands after an update: ``here``, where it was called.

        Line searches move the parameters to trial points, and stand at the last one accepted.
        """
        return here

    @property
    def elementwise(self) -> bool:
        """Whether what an element becomes depends on that element alone.

        That is, on the gradient, the parameter and the state in its own place, and on scalars,
        such as the learning rate. ``Packed`` then joins leaves into longer arrays.
        """
        return False

    def parts(self) -> "tuple[Transform, ...]":
        """The transforms that this one applies in turn: itself, unless it stands for a chain."""
        return (self,)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        yield self.init
        yield self.update


class Schedule:
    """A number that changes with the step: a pytree, called with the step count."""

    def __call__(self, count: Any) -> jax.Array:
        """Return the value at step ``count``, an integer scalar counted from 0."""
        raise NotImplementedError


class Space:
    """A set of numbers written where one number would stand, for a sweep to fill in."""

    def bounds(self) -> tuple[Any, Any]:
        """Return the smallest and the largest number that can come out."""
        raise NotImplementedError


class Interval(NamedTuple):
    """The numbers a field accepts: ``low <= x <= high``, strict where said."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def contains(self, x: Any) -> bool:
        """Whether every element of ``x`` lies inside; NaN lies nowhere."""
        x = np.asarray(x)
        over = x > self.low if self.above else x >= self.low
        under = x < self.high if self.below else x <= self.high
        return bool(np.all(over & under))

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "a number other than NaN"
        if math.isinf(self.high):
            return f"greater than {self.low:g}" if self.above else f"at least {self.low:g}"
        left, right = "(" if self.above else "[", ")" if self.below else "]"
        return f"in {left}{self.low:g}, {self.high:g}{right}"


class Marker(NamedTuple):
    """Says in an annotation what a field is, beyond its type."""

    name: str


class Canonical(NamedTuple):
    """Says in an annotation which function brings a value into its one hashable form."""

    function: Callable[[Any], Any]


def as_dtype(x: Any) -> np.dtype[Any] | None:
    """``x`` as a NumPy dtype, so that a name and a scalar type compare equal."""
    return None if x is None else jax.numpy.dtype(x)


STATIC, INTEGRAL = Marker("static"), Marker("integral")

T = TypeVar("T")
Number: TypeAlias = float | int | jax.Array | np.ndarray | Space

Static: TypeAlias = Annotated[T, STATIC]
"""Structure: it changes the program, so it is metadata and never traced."""
Real: TypeAlias = Annotated[Number, Interval()]
"""Any real number. A leaf."""
NonNegative: TypeAlias = Annotated[Number, Interval(0.0)]
"""A real number of at least 0. A leaf."""
Positive: TypeAlias = Annotated[Number, Interval(0.0, above=True)]
"""A real number greater than 0. A leaf."""
Decay: TypeAlias = Annotated[Number, Interval(0.0, 1.0, below=True)]
"""A decay rate in [0, 1). A leaf."""
Fraction: TypeAlias = Annotated[Number, Interval(0.0, 1.0)]
"""A share in [0, 1]. A leaf."""
Steps: TypeAlias = Annotated[Number, Interval(0.0), INTEGRAL]
"""A number of steps, at least 0; integers stay integers. A leaf."""
Period: TypeAlias = Annotated[Number, Interval(1.0), INTEGRAL]
"""A number of steps, at least 1; integers stay integers. A leaf."""
Seed: TypeAlias = Annotated[int | jax.Array, INTEGRAL]
"""An integer seed or a JAX random key. A leaf."""
DType: TypeAlias = Annotated[Any, Canonical(as_dtype)]
"""Anything that NumPy or JAX takes for a dtype, or ``None``; kept as a NumPy dtype."""
