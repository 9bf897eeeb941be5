"""To Optax and back: any transform as a gradient transformation, any factory as a rule.

Optax itself is imported only when a function here is called.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ravine.core.numerics import concrete
from ravine.core.rule import rule, show
from ravine.core.types import Params, Schedule, Space, State, Static, Transform, Updates


def to_optax(transform: Transform) -> Any:
    """``transform`` as an ``optax.GradientTransformationExtraArgs``.

    It works in ``optax.chain``, in ``flax.nnx.Optimizer`` and wherever else Optax's own
    optimizers do; extra arguments such as ``value`` come through.

    Raises:
        TypeError: if ``transform`` is no transform of this package, or has a space in it.

    >>> import optax
    >>> from ravine.optimizers.sgd import SGD
    >>> optimizer = optax.chain(optax.clip(1.0), to_optax(SGD(0.5)))
    >>> updates, state = optimizer.update(4.0, optimizer.init(2.0))
    >>> print(updates)
    -0.5
    """
    import optax

    if not isinstance(transform, Transform):
        raise TypeError(
            f"to_optax takes a ravine transform or optimizer, got {type(transform).__name__}. "
            "What is Optax's already needs no conversion."
        )
    for leaf in jax.tree.leaves(transform, is_leaf=lambda x: isinstance(x, Space)):
        concrete(leaf)

    def update(
        updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        return transform.update(updates, state, params, **extra)

    return optax.GradientTransformationExtraArgs(transform.init, update)


@rule
class FromOptax(Transform):
    """An Optax factory and its arguments: data, from which each trace builds the closures.

    Make one with ``from_optax``. The state is Optax's own.

    Args:
        factory: the function that returns a gradient transformation.
        hyperparams: the arguments that are numbers, arrays, spaces, schedules or transforms:
            leaves, which ``jit``, ``vmap``, ``grad`` and ``sweep`` see.
        settings: the other arguments, name and value: structure.
    """

    factory: Static[Callable[..., Any]]
    hyperparams: dict[str, Any]
    settings: Static[tuple[tuple[str, Any], ...]] = ()

    def build(self) -> Any:
        """The gradient transformation, with extra arguments passed on if it takes them."""
        import optax

        given = {name: _for_optax(x) for name, x in self.hyperparams.items()}
        made = self.factory(**given, **dict(self.settings))
        if not (hasattr(made, "init") and hasattr(made, "update")):
            raise TypeError(
                f"from_optax: {_name(self.factory)} returned a {type(made).__name__}, and not a "
                "gradient transformation with init and update."
            )
        if isinstance(made, optax.GradientTransformation):
            return optax.with_extra_args_support(made)
        return made

    def init(self, params: Params) -> State:
        return self.build().init(params)

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        return self.build().update(updates, state, params, **extra)

    def __repr__(self) -> str:
        # In the order of the signature, as one would write the call.
        given = {**self.hyperparams, **dict(self.settings)}
        known = [n for n in inspect.signature(self.factory).parameters if n in given]
        names = [*known, *(n for n in given if n not in known)]
        parts = [_name(self.factory), *(f"{n}={show(given[n])}" for n in names)]
        return f"from_optax({', '.join(parts)})"


def from_optax(factory: Callable[..., Any], *args: Any, **hyperparams: Any) -> FromOptax:
    """Bring in an Optax optimizer or transform as data, by its factory and its arguments.

    Floats, arrays, spaces, schedules of this package and transforms become leaves and can
    be swept, mapped over and differentiated. Bools, ints, strings, ``None``, dtypes, tuples
    and functions, which Optax's schedules are, become structure.

    Args:
        factory: the function, such as ``optax.adam``, not what it returns.
        args: its positional arguments.
        hyperparams: its keyword arguments.

    Raises:
        TypeError: if ``factory`` is no function, or does not take these arguments.

    >>> import optax
    >>> optimizer = from_optax(optax.lion, 1e-3, b1=0.95)
    >>> optimizer
    from_optax(optax.lion, learning_rate=0.001, b1=0.95)
    >>> jax.tree.leaves(optimizer)
    [0.95, 0.001]
    """
    while isinstance(factory, functools.partial):
        # A partial equals no other, not even its own copy; what it abbreviates does.
        args, hyperparams = (*factory.args, *args), {**factory.keywords, **hyperparams}
        factory = factory.func
    built = hasattr(factory, "update") and not isinstance(factory, type)
    if built or not callable(factory):
        raise TypeError(
            f"from_optax takes a factory and its arguments, got a {type(factory).__name__}. An "
            "optimizer that is already built is closures: its numbers can be neither swept nor "
            "traced. Pass the factory: from_optax(optax.adam, learning_rate=1e-3)."
        )
    signature = inspect.signature(factory)
    try:
        bound = signature.bind(*args, **hyperparams)
    except TypeError as error:
        raise TypeError(
            f"from_optax: {_name(factory)} does not take these arguments: {error}. "
            f"Its signature is {_name(factory)}{_plain(signature)}."
        ) from None
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            raise TypeError(
                f"from_optax: {_name(factory)} takes any number of arguments, which have no "
                "names. Bring its parts in one by one, and put them together with chain."
            )
        given.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    numbers = {name: x for name, x in given.items() if _is_leaf(x)}
    settings = {name: _setting(x) for name, x in given.items() if name not in numbers}
    for name, value in settings.items():
        try:
            hash(value)
        except TypeError:
            raise TypeError(
                f"from_optax: the argument {name} is structure and must be hashable, got a "
                f"{type(value).__name__}. Possible fixes: (a) a tuple for a list; (b) for a mask, "
                "a function that returns the tree."
            ) from None
    return FromOptax(factory, numbers, tuple(sorted(settings.items())))


def _is_leaf(x: Any) -> bool:
    """Whether an argument is a number that can vary, or data made of such numbers."""
    if isinstance(x, bool | int | np.bool_):
        return False
    return isinstance(x, float | np.number | np.ndarray | jax.Array | Space | Schedule | Transform)


def _setting(x: Any) -> Any:
    """An argument that is structure; a scalar type is a dtype, which has one form only."""
    return np.dtype(x) if isinstance(x, type) and hasattr(x, "dtype") else x


def _for_optax(x: Any) -> Any:
    """An argument as Optax wants it."""
    return to_optax(x) if isinstance(x, Transform) else concrete(x)


def _name(factory: Any) -> str:
    """What one would write for ``factory``: its public name in Optax, or its own."""
    import optax

    for module, prefix in ((optax, "optax"), (optax.contrib, "optax.contrib")):
        name = getattr(factory, "__name__", "")
        if getattr(module, name, None) is factory:
            return f"{prefix}.{name}"
    return str(getattr(factory, "__qualname__", None) or repr(factory))


def _plain(signature: inspect.Signature) -> str:
    """A signature without its annotations, which are long."""
    empty = inspect.Parameter.empty
    bare = [p.replace(annotation=empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))
