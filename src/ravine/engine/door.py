"""Checking what a user hands in, before anything is compiled."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import as_key
from ravine.core.paths import leaf_paths, path_name
from ravine.core.types import Transform
from ravine.engine.batches import Batches, is_numeric, take
from ravine.engine.lane import loss_inputs
from ravine.engine.stop import Diverged, Stop
from ravine.engine.trial import Abstract, Operands, Program, define, settings, starting_point
from ravine.spaces.sampling import canonical, is_space

_MOST = 2**31 - 1
"""Trials and steps are counted in 32 bits."""


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
        made = as_key(int(key) if is_seed else key)
    except (TypeError, ValueError) as error:
        raise TypeError(f"key must be a seed or a JAX random key, got {key!r}. {hint}") from error
    if made.ndim:
        raise ValueError(f"key must be one random key, got {made.shape[0]} of them. {hint}")
    return made


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
    found = jax.tree_util.tree_flatten_with_path(rule, is_leaf=is_space)[0]
    for path, leaf in found:
        shape = () if is_space(leaf) else jnp.shape(leaf)
        if shape and jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(
                f"{name}: {path_name(path)} is an array of shape {shape}, where one number is "
                "needed. To try several, write a Grid([...]) and call sweep."
            )


def check_batches(batches: Any) -> Batches | None:
    """Check the data.

    Raises:
        TypeError: with the likely fix.
    """
    if batches is not None and not isinstance(batches, Batches):
        raise TypeError(
            f"batches must be Batches(data, size=...), got {type(batches).__name__}. "
            "Batches(data) without a size is the full batch."
        )
    return batches


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
            "or grad, where one of their arguments is traced. Call them outside, or use the "
            "optimizer's init and update there."
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


def check_loss(program: Program, operands: Operands) -> None:
    """Check that the loss can be called as it will be, and returns a real scalar.

    Raises:
        TypeError: saying how the loss is called and what came back.
    """
    given = [("batch", operands.data), ("args", operands.template[1])]
    names = ["params", *(n for n, x in given if x is not None)]
    names += ["key"] if program.stochastic else []
    hint = "The batch comes with batches=, args with args=, the key with stochastic=True."
    _check_function("loss", program.loss, names, hint)
    if program.init is not None:
        _check_function("init", program.init, ["key"], "It makes params from a random key.")
    _check_outputs(program, Abstract.of(operands), f"loss({', '.join(names)})")


def _check_function(name: str, function: Any, inputs: list[str], hint: str) -> None:
    called = f"{name}({', '.join(inputs)})"
    if not callable(function):
        raise TypeError(f"{name} must be a function, called as {called}, got {function!r}.")
    try:
        hash(function)
    except TypeError:
        raise TypeError(
            f"{name} must be hashable, as functions are: a {type(function).__name__} is not. "
            f"Wrap it: def {called}: ..."
        ) from None
    try:
        inspect.signature(function).bind(*inputs)
    except ValueError:
        pass  # a builtin without a signature
    except TypeError as error:
        raise TypeError(
            f"{name} is called as {called}, and yours does not take that: {error}. {hint}"
        ) from None


@lru_cache(maxsize=256)
def _check_outputs(program: Program, abstract: Abstract, called: str) -> None:
    """Check it once for each structure: a loss is not traced anew for other numbers."""
    made: list[Any] = []

    def start(operands: Operands, id: jax.Array) -> None:
        trial = define(program, operands, id)
        made.append(jax.tree.map(_shape, starting_point(program, operands, trial)))

    def evaluate(operands: Operands, id: jax.Array) -> None:
        trial = define(program, operands, id)
        _, args, _ = settings(operands, trial)
        params = starting_point(program, operands, trial)
        batch = take(operands.data, operands.order, trial.seed, jnp.zeros((), jnp.int32))
        inputs = loss_inputs(program, batch, args, trial.key)
        made.append(jax.tree.map(_shape, program.loss(params, *inputs)))

    # The results are looked at outside, so that a traceback does not go through JAX.
    inputs = abstract.operands(), jnp.zeros((), jnp.int32)
    if program.init is not None:
        jax.eval_shape(start, *inputs)
        check_leaves("the params that init makes", made.pop())
    jax.eval_shape(evaluate, *inputs)
    _check_value(made.pop(), program.has_aux, called)


def _shape(x: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, jax.Array) else x


def _check_value(out: Any, has_aux: bool, called: str) -> None:
    """Check what a loss returned, arrays by their shapes."""
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(
                f"with has_aux=True, {called} must return (value, aux), got {_shown(out)}."
            )
        out = out[0]
    elif isinstance(out, tuple):
        raise TypeError(
            f"{called} must return a scalar, got {_shown(out)}. For (value, aux) say has_aux=True."
        )
    real = isinstance(out, jax.ShapeDtypeStruct) and jnp.issubdtype(out.dtype, jnp.floating)
    if not real or out.shape:
        raise TypeError(
            f"{called} must return a real scalar array, got {_shown(out)}. Possible causes: (a) no "
            "mean over the batch; (b) a complex or integer loss; (c) a missing return; (d) a "
            "constant that does not depend on params."
        )


def _shown(out: Any) -> str:
    def leaf(x: Any) -> str:
        is_array = isinstance(x, jax.ShapeDtypeStruct)
        return f"{x.dtype}{list(x.shape)}" if is_array else type(x).__name__

    return str(jax.tree.map(leaf, out)).replace("'", "")


__all__ = [
    "check_args",
    "check_batches",
    "check_count",
    "check_flag",
    "check_key",
    "check_loss",
    "check_optimizer",
    "check_stop",
    "check_traceable",
    "split_init",
]
