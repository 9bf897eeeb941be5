"""Checking what a user hands in, before anything is compiled."""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.paths import leaf_paths
from ravine.core.types import Transform
from ravine.engine.batches import Batches
from ravine.engine.lanes import loss_inputs
from ravine.engine.stop import Diverged, Stop
from ravine.engine.trial import Operands, Program, define, settings, starting_point
from ravine.spaces.sampling import canonical


def check_optimizer(name: str, optimizer: Any) -> Transform:
    """Check that an argument is an optimizer of this package.

    Raises:
        TypeError: naming the argument and the likely fix.
    """
    if isinstance(optimizer, Transform):
        return optimizer
    hint = "Give one such as Adam(1e-3)."
    if isinstance(optimizer, type) and issubclass(optimizer, Transform):
        hint = f"Give it its hyperparameters: {optimizer.__name__}(...)."
    elif hasattr(optimizer, "update") and hasattr(optimizer, "init"):
        hint = "Bring an Optax optimizer in with from_optax(optax.adam, learning_rate=...)."
    raise TypeError(f"{name} must be a ravine optimizer, got {type(optimizer).__name__}. {hint}")


def check_count(name: str, n: Any, least: int = 1) -> int:
    """Check that an argument is a whole number of at least ``least``.

    Raises:
        TypeError, ValueError: naming the argument.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"{name} must be an int, got {n!r}.")
    if int(n) < least:
        raise ValueError(f"{name} must be at least {least}, got {n}.")
    return int(n)


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
    return stop


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


def split_init(init: Any) -> tuple[Callable[[jax.Array], Any] | None, Any]:
    """Tell a function that makes starting points from starting points.

    Returns the function and ``None``, or ``None`` and the canonical points.

    Raises:
        TypeError: naming the leaf that cannot be a parameter.
    """
    if callable(init) and jax.tree.leaves(init) == [init]:
        return init, None
    for path, leaf in zip(leaf_paths(init), jax.tree.leaves(init), strict=True):
        where = f"params at {path or 'the root'}"
        if callable(leaf) or isinstance(leaf, str | bytes):
            raise TypeError(
                f"{where} is {leaf!r}, not an array. Keep only arrays in params: close over the "
                "rest, or split it off (equinox.partition, flax.nnx.split)."
            )
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(
                f"{where} is traced: minimize and sweep compile and drive their own loop and cannot "
                "run inside jit, vmap or grad. Use the optimizer's init and update there."
            )
        if not jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.inexact):
            raise TypeError(
                f"{where} has dtype {jnp.asarray(leaf).dtype}; a gradient needs floats. Write 1.0 "
                "for 1, or convert it with jnp.asarray(x, float)."
            )
    if not jax.tree.leaves(init):
        raise TypeError("params hold no arrays: there is nothing to optimize.")
    return None, canonical(init)


def check_loss(program: Program, operands: Operands) -> None:
    """Check that the loss can be called as it will be, and returns a real scalar.

    Raises:
        TypeError: saying how the loss is called and what came back.
    """
    given = [("batch", operands.data), ("args", operands.template[1])]
    names = ["params", *(n for n, x in given if x is not None)]
    names += ["key"] if program.stochastic else []
    called = f"loss({', '.join(names)})"
    try:
        inspect.signature(program.loss).bind(*names)
    except ValueError:
        pass  # a builtin without a signature
    except TypeError as error:
        raise TypeError(
            f"loss is called as {called}, and yours does not take that: {error}. The batch comes "
            "with batches=, args with args=, the key with stochastic=True."
        ) from None

    def evaluate(id: jax.Array) -> tuple[Any, Any]:
        trial = define(program, operands, id)
        _, args, _ = settings(operands, trial)
        params = starting_point(program, operands, trial)
        zero = jnp.zeros((), jnp.int32)
        inputs = loss_inputs(program, operands.data, operands.order, args, trial.seed, zero, trial.key)
        return params, program.loss(params, *inputs)

    params, out = jax.eval_shape(evaluate, jnp.zeros((), jnp.int32))
    if program.init is not None:
        for path, leaf in zip(leaf_paths(params), jax.tree.leaves(params), strict=True):
            if not jnp.issubdtype(leaf.dtype, jnp.inexact):
                raise TypeError(f"init made params with dtype {leaf.dtype} at {path or 'the root'}; floats are needed.")
    if program.has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(f"with has_aux=True, {called} must return (value, aux), got {_shown(out)}.")
        out = out[0]
    elif isinstance(out, tuple):
        raise TypeError(f"{called} must return a scalar, got {_shown(out)}. For (value, aux) say has_aux=True.")
    if not isinstance(out, jax.ShapeDtypeStruct) or out.shape != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(
            f"{called} must return a real scalar, got {_shown(out)}. Possible causes: (a) no mean over "
            "the batch; (b) a complex or integer loss; (c) a missing return."
        )


def _shown(out: Any) -> str:
    shapes = jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", out)
    return str(shapes)


__all__ = ["check_batches", "check_count", "check_loss", "check_optimizer", "check_stop", "split_init"]
