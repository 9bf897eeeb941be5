"""The loss: how it is called, and what it must return; checked before anything is compiled."""

import inspect
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.paths import leaf_paths
from ravine.engine.batches import is_numeric
from ravine.engine.door import check_leaves
from ravine.engine.lane import loss_inputs
from ravine.engine.trial import (
    Abstract,
    Operands,
    Program,
    batch_at,
    define,
    settings,
    starting_point,
)


def check_loss(program: Program, operands: Operands) -> None:
    """Check that the loss can be called as it will be, and returns a real scalar.

    Raises:
        TypeError: saying how the loss is called and what came back.
    """
    given = [("batch", operands.data.arrays), ("args", operands.template[1])]
    names = ["params", *(n for n, x in given if x is not None)]
    names += ["key"] if program.stochastic else []
    hint = "The batch comes with batches=, args with args=, the key with stochastic=True."
    _check_function("loss", program.loss, names, hint)
    if program.init is not None:
        _check_function("init", program.init, ["key"], "It makes params from a random key.")
    if program.metric is not None:
        _check_function("metric", program.metric, ["params"], "Close over the data it looks at.")
    _check_outputs(program, Abstract.of(operands), f"loss({', '.join(names)})")


def check_call(loss: Any, params: Any, args: Any) -> None:
    """Check the same of a loss that is called as it is, where its inputs may be traced.

    Raises:
        TypeError: saying how the loss is called and what came back.
    """
    names = ["params"] if args is None else ["params", "args"]
    _check_function("loss", loss, names, "The args come with args=; there are no batches here.")
    inputs = () if args is None else (args,)
    out = jax.eval_shape(loss, params, *inputs)
    _check_value(out, False, f"loss({', '.join(names)})")


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
        batch = batch_at(program, operands, trial, jnp.zeros((), jnp.int32))
        inputs = loss_inputs(program, batch, args, trial.key)
        made.append(jax.tree.map(_shape, program.loss(params, *inputs)))

    def measure(operands: Operands, id: jax.Array) -> None:
        params = starting_point(program, operands, define(program, operands, id))
        made.append(jax.tree.map(_shape, program.metric(params)))  # type: ignore[misc]

    # The results are looked at outside, so that a traceback does not go through JAX.
    inputs = abstract.operands(), jnp.zeros((), jnp.int32)
    if program.init is not None:
        jax.eval_shape(start, *inputs)
        check_leaves("the params that init makes", made.pop())
    jax.eval_shape(evaluate, *inputs)
    _check_value(made.pop(), program.has_aux, called)
    if program.metric is not None:
        jax.eval_shape(measure, *inputs)
        _check_value(made.pop(), False, "metric(params)")


def _shape(x: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, jax.Array) else x


def _check_value(out: Any, has_aux: bool, called: str) -> None:
    """Check what a loss returned, arrays by their shapes."""
    if has_aux:
        if not (isinstance(out, tuple) and len(out) == 2):
            raise TypeError(
                f"with has_aux=True, {called} must return (value, aux), got {_shown(out)}."
            )
        out, aux = out
        for path, leaf in zip(leaf_paths(aux), jax.tree.leaves(aux), strict=True):
            if not isinstance(leaf, jax.ShapeDtypeStruct) and not is_numeric(leaf):
                raise TypeError(
                    f"the aux that {called} returns is recorded and holds arrays; at "
                    f"{path or 'the root'} is {leaf!r}."
                )
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
