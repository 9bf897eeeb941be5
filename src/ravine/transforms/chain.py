"""One transform after another."""

import re
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any

from ravine.core.rule import rule
from ravine.core.types import Params, Standing, State, Transform, Updates


@rule
class Chain(Transform):
    """Apply transforms from left to right, each to what the one before it returned.

    The state is a named tuple with a field a transform, named after its class, so that
    adding a transform renames nothing: ``state.scale_by_adam.mu``. A second transform of
    the same class has ``_2`` behind its name, and one whose own state has a field of that
    name has ``_state`` behind it, so that a search by name finds one: ``state.trace_state.trace``.
    It takes no names of one's own, since none is needed to find a part or to keep its place.
    Write it ``chain(a, b, ...)``.
    """

    transforms: tuple[Transform, ...]

    def __post_init__(self) -> None:
        for i, t in enumerate(self.transforms):
            if not isinstance(t, Transform):
                raise TypeError(
                    f"chain: part {i} must be a ravine transform, got {type(t).__name__}. Bring an "
                    "Optax optimizer in with from_optax(optax.adam, learning_rate=...)."
                )

    def init(self, params: Params) -> State:
        return self.named([t.init(params) for t in self.transforms])

    def named(self, states: Sequence[State]) -> State:
        """The state of the chain, made of those of its parts."""
        names = tuple(
            f"{name}_state" if name in getattr(state, "_fields", ()) else name
            for name, state in zip(part_names(self.transforms), states, strict=True)
        )
        return _state_class(names)(*states)

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        if len(state) != len(self.transforms):
            raise ValueError(
                f"chain has {len(self.transforms)} parts and the state {len(state)}: the state is "
                "from another optimizer. Call init of this one."
            )
        states = []
        for transform, part in zip(self.transforms, state, strict=True):
            updates, part = transform.update(updates, part, params, **extra)
            states.append(part)
        return updates, type(state)(*states)

    def eval_params(self, state: State, params: Params) -> Params:
        for transform, part in zip(self.transforms, state, strict=True):
            params = transform.eval_params(part, params)
        return params

    def standing(self, state: State, here: Standing) -> Standing:
        for transform, part in zip(self.transforms, state, strict=True):
            here = transform.standing(part, here)
        return here

    def parts(self) -> tuple[Transform, ...]:
        return tuple(part for transform in self.transforms for part in transform.parts())

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.transforms))})"


def chain(*transforms: Transform | Iterable[Transform]) -> Chain:
    """Apply ``transforms`` from left to right.

    >>> import ravine as rv
    >>> rv.chain(rv.ClipByGlobalNorm(1.0), rv.SGD(0.1))
    chain(ClipByGlobalNorm(max_norm=1.0), SGD(learning_rate=0.1))
    """
    return Chain(tuple(transforms))  # type: ignore[arg-type]


def part_names(transforms: Sequence[Transform]) -> tuple[str, ...]:
    """A name for every part: its class in snake case, numbered from the second on."""
    names: list[str] = []
    for transform in transforms:
        stem = snake_case(type(transform).__name__)
        taken = sum(re.fullmatch(rf"{stem}(_\d+)?", name) is not None for name in names)
        names.append(f"{stem}_{taken + 1}" if taken else stem)
    return tuple(names)


def snake_case(name: str) -> str:
    """``ScaleByAdam`` as ``scale_by_adam``, ``AMSGrad`` as ``amsgrad``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name).lower()


_STATE_CLASSES: dict[tuple[str, ...], type] = {}


def _state_class(names: tuple[str, ...]) -> type:
    """The named tuple with these fields: the same class each time, so states compare."""
    if names in _STATE_CLASSES:
        return _STATE_CLASSES[names]

    def reduce(self: Any) -> tuple[Any, ...]:
        return _restore, (names, tuple(self))

    cls = namedtuple("ChainState", names)  # type: ignore[misc]
    cls.__reduce__ = reduce  # type: ignore[method-assign]
    # Two threads that come at once must get one class: setdefault keeps the first.
    return _STATE_CLASSES.setdefault(names, cls)


def _restore(names: tuple[str, ...], states: tuple[Any, ...]) -> Any:
    return _state_class(names)(*states)
