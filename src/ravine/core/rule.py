"""The one decorator behind every optimizer, schedule, space and stopping test.

``@rule`` makes a class a frozen dataclass and a pytree. Fields annotated ``Static``
are metadata; all others are children. Unflattening bypasses ``__init__``, so that JAX
may put anything it likes in a field (a tracer, ``None``, ``object()``, a batch axis),
while a user's own call is checked field by field.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from functools import cache, wraps
from typing import Annotated, Any, NamedTuple, TypeVar, dataclass_transform, get_args, get_origin

import jax
import numpy as np

from ravine.core.html import facts, panel
from ravine.core.types import (
    INTEGRAL,
    STATIC,
    Canonical,
    Interval,
    Marker,
    Schedule,
    Space,
    Transform,
)

C = TypeVar("C", bound=type)


class Kind(NamedTuple):
    """What an annotation says about a field."""

    static: bool
    integral: bool
    interval: Interval | None
    canonical: Callable[[Any], Any] | None
    types: tuple[type, ...]
    optional: bool


@dataclass_transform(frozen_default=True, eq_default=False)
def rule(cls: C) -> C:
    """Turn ``cls`` into plain data: frozen, checked, printable, comparable, a pytree.

    >>> from ravine.core.types import Decay, NonNegative, Static
    >>> @rule
    ... class Descent:
    ...     rate: NonNegative
    ...     momentum: Decay = 0.9
    ...     nesterov: Static[bool] = False
    >>> Descent(0.1)
    Descent(rate=0.1, momentum=0.9)
    >>> jax.tree.map(lambda x: 2 * x, Descent(0.1, momentum=0.25))
    Descent(rate=0.2, momentum=0.5)
    """
    own_check = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        for name, kind in _kinds(cls).items():
            object.__setattr__(self, name, _checked(self, name, kind, getattr(self, name)))
        if own_check is not None:
            own_check(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]
    if cls.__repr__ is object.__repr__:  # type: ignore[comparison-overlap]
        cls.__repr__ = described  # type: ignore[assignment,method-assign]
    if not hasattr(cls, "_repr_html_"):
        cls._repr_html_ = _repr_html  # type: ignore[attr-defined]
    cls.__is_rule__ = True  # type: ignore[attr-defined]
    cls.__eq__ = _eq  # type: ignore[assignment,method-assign]
    cls.__hash__ = _hash  # type: ignore[assignment,method-assign]
    cls = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)  # type: ignore[assignment]
    _name_what_is_unknown(cls)
    kinds = _kinds(cls)
    data = tuple(n for n, k in kinds.items() if not k.static)
    meta = tuple(n for n, k in kinds.items() if k.static)

    def flatten_with_keys(x: Any) -> tuple[list[Any], tuple[Any, ...]]:
        keys = [(jax.tree_util.GetAttrKey(n), getattr(x, n)) for n in data]
        return keys, tuple(getattr(x, n) for n in meta)

    def flatten(x: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(x, n) for n in data], tuple(getattr(x, n) for n in meta)

    def unflatten(aux: tuple[Any, ...], children: Any) -> Any:
        x: Any = object.__new__(cls)
        x.__dict__.update(zip(data, children, strict=True))
        x.__dict__.update(zip(meta, aux, strict=True))
        return x

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def _name_what_is_unknown(cls: type) -> None:
    """Let a call with a keyword that is no field say which fields there are."""
    make, names = cls.__init__, [f.name for f in dataclasses.fields(cls)]  # type: ignore[misc]

    @wraps(make)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in kwargs:
            if name not in names:
                raise TypeError(
                    f"{cls.__name__}: got an unexpected keyword argument {name!r}; it takes "
                    f"{', '.join(names) or 'none'}."
                )
        make(self, *args, **kwargs)

    cls.__init__ = __init__  # type: ignore[misc]


def is_rule(x: Any) -> bool:
    """Whether ``x`` is an instance of a class made by ``@rule``."""
    return getattr(type(x), "__is_rule__", False)


@cache
def static_fields(cls: type) -> tuple[str, ...]:
    """The names of the fields of a rule that are structure."""
    return tuple(n for n, k in _kinds(cls).items() if k.static)


@cache
def _kinds(cls: type) -> dict[str, Kind]:
    return {f.name: _kind(f.type) for f in dataclasses.fields(cls)}


def _kind(annotation: Any) -> Kind:
    """Read an annotation such as ``NonNegative | Schedule | None``."""
    marks, types, pending = [], [], [annotation]
    while pending:
        a = pending.pop()
        if get_origin(a) is Annotated:
            inner, *notes = get_args(a)
            marks += notes
            pending.append(inner)
        elif get_args(a) and get_origin(a) not in (tuple, dict, Callable):
            pending += get_args(a)
        else:
            types.append(get_origin(a) or a)
    return Kind(
        static=STATIC in marks,
        integral=INTEGRAL in marks,
        interval=next((m for m in marks if isinstance(m, Interval)), None),
        canonical=next((m.function for m in marks if isinstance(m, Canonical)), None),
        types=tuple(t for t in types if isinstance(t, type)),
        optional=type(None) in types or Any in types,
    )


def _checked(owner: Any, name: str, kind: Kind, value: Any) -> Any:
    """Return ``value`` as field ``name`` of ``owner`` holds it, or say what is wrong."""
    where = f"{type(owner).__name__}: {name}"
    if kind.static:
        return _checked_static(where, kind, value)
    if value is None:
        if kind.optional:
            return None
        raise TypeError(f"{where} needs a number, got None.")
    if Transform in kind.types:
        if not isinstance(value, Transform):
            raise TypeError(
                f"{where} must be a ravine transform, got {type(value).__name__}. Bring an Optax "
                "optimizer in with from_optax(optax.adam, learning_rate=...)."
            )
        return value
    if kind.interval is None and not kind.integral:
        return value
    if callable(value) and not isinstance(value, Space):
        if isinstance(value, Schedule) and Schedule in kind.types:
            return value
        if Schedule in kind.types:
            return Foreign(value)
        raise TypeError(f"{where} must be a number and cannot be a schedule, got {value!r}.")
    return _checked_number(where, kind, value)


def _checked_static(where: str, kind: Kind, value: Any) -> Any:
    if isinstance(value, Space | jax.Array | jax.core.Tracer | np.ndarray):
        raise TypeError(
            f"{where} is structure: it changes the program, so it can be neither swept nor traced. "
            "Give a plain value; to compare several, give sweep a dict of optimizers."
        )
    if isinstance(value, np.bool_):
        value = bool(value)
    if kind.types in ((bool,), (int,)) and type(value) is not kind.types[0]:
        wanted = "True or False" if kind.types[0] is bool else "an int"
        raise TypeError(f"{where} must be {wanted}, got {value!r}.")
    if kind.canonical is not None:
        try:
            value = kind.canonical(value)
        except TypeError as error:
            raise TypeError(f"{where} cannot be {value!r}: {error}.") from None
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{where} is structure and must be hashable, got a {type(value).__name__}."
        ) from None
    return value


def _checked_number(where: str, kind: Kind, value: Any) -> Any:
    if isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct):
        return value
    if isinstance(value, Space):
        values: Any = np.asarray(value.bounds())
    elif isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    else:
        values = np.asarray(value)
    real = np.issubdtype(values.dtype, np.floating) or np.issubdtype(values.dtype, np.integer)
    if not (real or jax.numpy.issubdtype(values.dtype, np.floating)):
        raise TypeError(
            f"{where} must be a number, an array, a space"
            f"{' or a schedule' if Schedule in kind.types else ''}, got {value!r}."
        )
    if kind.integral and kind.interval is None and not np.issubdtype(values.dtype, np.integer):
        raise TypeError(f"{where} must be an integer seed or a JAX random key, got {value!r}.")
    if kind.interval is not None and not kind.interval.contains(values):
        raise ValueError(f"{where} must be {kind.interval}, got {value!r}.")
    return float(value) if isinstance(value, int) and not kind.integral else value


def described(self: Any) -> str:
    """Show every field but those left at a default that switches them off."""
    parts = [f"{name}={show(value)}" for name, value in _telling(self)]
    return f"{type(self).__name__}({', '.join(parts)})"


def _repr_html(self: Any) -> str:
    """For notebooks: the same fields, a row each; parts that come in a row take a line each."""
    named = {
        name: [show(x) for x in value] if type(value) is tuple and value else show(value)
        for name, value in _telling(self)
    }
    return panel(type(self).__name__, facts(named) if named else "")


def _telling(self: Any) -> Iterator[tuple[str, Any]]:
    """The fields that are not left at a default that switches them off."""
    for f in dataclasses.fields(self):
        value = getattr(self, f.name)
        off = (
            f.default is None or f.default is False or (f.default == 0 and type(f.default) is float)
        )
        if off and type(value) in (type(None), bool, float) and value == f.default:
            continue
        yield f.name, value


def show(x: Any) -> str:
    """A value as the repr of a rule shows it: as one would write it, wherever that is short."""
    if isinstance(x, jax.core.Tracer):
        return f"<traced {x.dtype}{list(x.shape)}>"
    if isinstance(x, np.ndarray | np.generic | jax.Array):
        if x.ndim or not np.issubdtype(x.dtype, np.number):
            return f"<{x.dtype}{list(x.shape)}>"
        x = np.asarray(x)[()]
        return repr(int(x)) if np.issubdtype(x.dtype, np.integer) else repr(float(str(x)))
    if isinstance(x, np.dtype):
        return repr(x.name)
    if isinstance(x, type) or (callable(x) and hasattr(x, "__qualname__")):
        return str(x.__qualname__)
    if type(x) is tuple:
        return f"({', '.join(map(show, x))}{',' if len(x) == 1 else ''})"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{k!r}: {show(v)}" for k, v in x.items()) + "}"
    if isinstance(x, float) and math.isinf(x):
        return f"float('{x}')"
    return repr(x)


def _eq(self: Any, other: Any) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    structure: Any = jax.tree.structure(self)
    if structure != jax.tree.structure(other):
        return False
    return all(map(_same, jax.tree.leaves(self), jax.tree.leaves(other)))


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if any(isinstance(x, jax.core.Tracer) for x in (a, b)):
        return False
    arrays = [isinstance(x, np.ndarray | jax.Array) for x in (a, b)]
    if any(arrays):
        return all(arrays) and a.dtype == b.dtype and bool(np.array_equal(a, b))
    return bool(a == b)


def _hash(self: Any) -> int:
    leaves, tree = jax.tree.flatten(self)
    arrays = (np.ndarray, jax.Array)
    return hash((tree, *((x.shape if isinstance(x, arrays) else x) for x in leaves)))


@rule
class Foreign(Schedule):
    """Somebody else's schedule: a function of the step, kept as structure.

    A fresh function or lambda is a fresh program: define it once, at module level, or
    write it as a schedule of this package, whose numbers can be swept.
    """

    function: Annotated[Callable[[Any], Any], STATIC]

    def __call__(self, count: Any) -> jax.Array:
        return jax.numpy.asarray(self.function(count))

    def __repr__(self) -> str:
        return show(self.function)


__all__ = ["Foreign", "Kind", "Marker", "described", "is_rule", "rule", "show", "static_fields"]
