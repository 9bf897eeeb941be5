"""Checking what a user hands in, before anything is compiled."""

from collections.abc import Callable
from functools import cache
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import as_key
from ravine.core.paths import leaf_paths, path_name
from ravine.core.types import Transform
from ravine.engine.batches import Batches, is_numeric
from ravine.engine.prune import Judge
from ravine.engine.stop import Diverged, Stop
from ravine.engine.stream import Stream
from ravine.engine.trial import Operands
from ravine.spaces.sampling import canonical, is_space

_MOST = 2**31 - 1
"""Trials and steps are counted in 32 bits."""
_IMPL = "threefry2x32"


def check_optimizer(name: str, optimizer: Any) -> Transform:
    """Check that an argument is an optimizer of this package, made of single numbers.

    Raises:
        TypeError, ValueError: naming the argument and the likely fix.
    """
    if isinstance(optimizer, Transform):
        _check_single(name, optimizer)
        return optimizer
    hint = "Give one such as Adam(1e-3)."
    if isinstance(optimizer, type) and issubclass(optimizer, Transform):
        hint = f"Give it its hyperparameters: {optimizer.__name__}(...)."
    elif hasattr(optimizer, "update") and hasattr(optimizer, "init"):
        hint = "Bring an Optax optimizer in with from_optax(optax.adam, learning_rate=...)."
    raise TypeError(f"{name} must be a ravine optimizer, got {type(optimizer).__name__}. {hint}")


def check_count(name: str, n: Any, least: int = 1) -> int:
    """Check that an argument is a whole number of at least ``least``, in 32 bits.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    try:
        count = index(n)
    except TypeError:  # JAX's error for a traced number is one too
        count = None
    if count is None or isinstance(n, bool | np.bool_):
        raise TypeError(f"{name} must be an int, got {n!r}.")
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {n}.")
    if count >= _MOST:
        raise ValueError(f"{name} must be less than 2**31 - 1, got {n}.")
    return count


def check_flag(name: str, flag: Any) -> bool:
    """Check that an argument is true or false.

    Raises:
        TypeError: naming the argument.
    """
    if not isinstance(flag, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {flag!r}.")
    return bool(flag)


def check_key(key: Any) -> jax.Array:
    """Check the source of randomness and return it as one JAX random key.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    hint = "Give an integer seed or a key such as jax.random.key(0)."
    is_seed = isinstance(key, int | np.integer) and not isinstance(key, bool)
    if is_seed and not -(2**31) <= int(key) < 2**32:  # JAX would cut off the higher bits
        raise ValueError(f"key must lie within 32 bits, got {key}. {hint}")
    if not is_seed and not isinstance(key, jax.Array | np.ndarray):
        raise TypeError(f"key must be a seed or a JAX random key, got {key!r}. {hint}")
    try:
        made = jax.random.key(int(key), impl=_IMPL) if is_seed else as_key(key)
    except (TypeError, ValueError) as error:
        raise TypeError(f"key must be a seed or a JAX random key, got {key!r}. {hint}") from error
    if made.ndim:
        raise ValueError(f"key must be one random key, got {made.shape[0]} of them. {hint}")
    if made.dtype != _key_dtype():
        raise ValueError(
            f"key must be of JAX's default kind, {_IMPL}, got {made.dtype}: with other kinds the "
            f"numbers of one lane depend on the other lanes. {hint}"
        )
    return made


@cache
def _key_dtype() -> Any:
    return jax.random.key(0, impl=_IMPL).dtype


def check_stop(stop: Any) -> Stop:
    """Check a stopping test; ``None`` is the default, ``Diverged()``.

    Raises:
        TypeError: with the likely fix.
    """
    if stop is None:
        return Diverged()
    if not isinstance(stop, Stop):
        raise TypeError(
            f"stop must be a stopping test such as GradNorm(1e-6) | Diverged(), got {stop!r}."
        )
    _check_single("stop", stop)
    return stop


def _check_single(name: str, rule: Any) -> None:
    """Check that what could be a list of numbers to try was not given as an array."""

    def whole(x: Any) -> bool:
        return is_space(x) or getattr(x, "takes_arrays", False)

    found = jax.tree_util.tree_flatten_with_path(rule, is_leaf=whole)[0]
    for path, leaf in found:
        shape = () if whole(leaf) else jnp.shape(leaf)
        if shape and jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(
                f"{name}: {path_name(path)} is an array of shape {shape}, where one number is "
                "needed. To try several, write a Grid([...]) and call sweep."
            )


def check_batches(batches: Any) -> Batches | Stream | None:
    """Check the data; what is no ``Batches`` but can be gone through is a stream of them.

    Raises:
        TypeError, ValueError: with the likely fix.
    """
    if batches is None or isinstance(batches, Batches):
        return batches
    is_data = isinstance(batches, tuple | dict | str | bytes) or hasattr(batches, "shape")
    if is_data or not np.iterable(batches):
        raise TypeError(
            f"batches must be Batches(data, size=...) or an iterable of batches, got "
            f"{type(batches).__name__}. Batches(data) without a size is the full batch."
        )
    return Stream(batches)


def check_prune(prune: Any) -> None:
    """Check what gives up trials.

    Raises:
        TypeError: with the likely fix.
    """
    if prune is not None and not isinstance(prune, Judge):
        hint = " Give it its numbers: SuccessiveHalving(eta=3, min_steps=100)."
        raise TypeError(
            f"prune must be a pruner such as SuccessiveHalving(min_steps=100), got {prune!r}."
            f"{hint if isinstance(prune, type) else ''}"
        )


def check_args(args: Any) -> Any:
    """Check the loss's further arguments: arrays, numbers and spaces.

    Raises:
        TypeError: naming the leaf that is something else.
    """
    for path, leaf in zip(leaf_paths(args), jax.tree.leaves(args), strict=True):
        if not is_numeric(leaf):
            raise TypeError(
                f"args at {path or 'the root'} is {leaf!r}, not a number or an array. What is no "
                "data belongs into the loss itself: define it with functools.partial."
            )
    return args


def check_traceable(operands: Operands) -> None:
    """Check that nothing is traced: the engine drives its own compiled loop.

    Raises:
        TypeError: if it is called inside a transformation of JAX.
    """
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(operands)):
        raise TypeError(
            "minimize and sweep compile and drive their own loop and cannot run inside jit, vmap "
            "or grad, where one of their arguments is traced. Call them outside; inside, call "
            "ravine.solution, or the optimizer's init and update."
        )


def split_init(init: Any) -> tuple[Callable[[jax.Array], Any] | None, Any]:
    """Tell a function that makes starting points from starting points.

    Returns the function and ``None``, or ``None`` and the canonical points.

    Raises:
        TypeError: naming the leaf that cannot be a parameter.
    """
    if callable(init) and jax.tree_util.all_leaves([init]):
        return init, None
    check_leaves("params", init)
    return None, canonical(init)


def check_leaves(what: str, params: Any) -> None:
    """Check that every leaf can be a parameter: an array, or a number, of floats.

    Raises:
        TypeError: naming the leaf that cannot.
    """
    if not jax.tree.leaves(params):
        raise TypeError(f"{what} hold no arrays: there is nothing to optimize.")
    for path, leaf in zip(leaf_paths(params), jax.tree.leaves(params), strict=True):
        where = f"{what} at {path or 'the root'}"
        if not isinstance(leaf, jax.ShapeDtypeStruct) and not is_numeric(leaf):
            raise TypeError(
                f"{where} is {leaf!r}, not an array. Keep only arrays in params: close over the "
                "rest, or split it off (equinox.partition, flax.nnx.split)."
            )
        dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(
                f"{where} has dtype {dtype}; a gradient needs floats. Write 1.0 for 1, or convert "
                "it with jnp.asarray(x, float)."
            )


__all__ = [
    "check_args",
    "check_batches",
    "check_count",
    "check_flag",
    "check_key",
    "check_leaves",
    "check_optimizer",
    "check_prune",
    "check_stop",
    "check_traceable",
    "split_init",
]
