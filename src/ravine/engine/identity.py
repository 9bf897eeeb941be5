"""What a sweep is, in words and hashes: whether a folder belongs to this call."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.lane import loss_inputs
from ravine.engine.plan import Plan
from ravine.engine.replace import replace
from ravine.engine.trial import (
    Abstract,
    Operands,
    Starts,
    batch_at,
    define,
    settings,
    starting_point,
)
from ravine.spaces.grids import Axis
from ravine.spaces.sampling import is_space, spaces

_ADVICE = "Give another folder, or the arguments of the sweep that is in it."


def identity(plan: Plan, sampler: str) -> dict[str, Any]:
    """Everything on which the results of a group of trials depend, but how many there are."""
    program, operands = plan.program, plan.operands
    blank = jax.tree.map(
        lambda x: 0.0 if isinstance(x, Axis) else x, operands.template, is_leaf=is_space
    )
    start, inputs = operands.start, _inputs(plan)
    given = isinstance(start, Starts)
    return {
        "the loss": _traced(program.loss, *inputs),
        "init": _traced(program.init, operands.key) if program.init else "",
        "params": "" if given else _hash(start),
        "the metric": _traced(program.metric, inputs[0]) if program.metric else "",
        "the optimizer": _words(blank[0]),
        "args": _words(blank[1]),
        "stop": _words(blank[2]),
        "the data": _hash(operands.data.arrays) + str(program.feed),
        "key": _hash(jax.random.key_data(operands.key)),
        "seeds": np.asarray(operands.seeds).tolist() if program.seeds else [],
        "lanes": program.lanes,
        "steps": program.steps,
        "record_every": program.every,
        "metric_every": program.metric_every,
        "keep": program.keep,
        "prune": repr(program.prune),
        "sampler": [sampler, plan.trials if sampler == "latin" else 0],
        "stochastic": program.stochastic,
        "has_aux": program.has_aux,
        "the version of JAX": jax.__version__,
        "the device": jax.default_backend(),
        # Trials count through these, the first slowest: behind its end there is room for more.
        "grids": [
            *([["the starting points", _each(start.params)]] if given else []),
            *([name, np.asarray(s.values()).tolist()] for name, s in _axes(operands.template)),
        ],
    }


def check_identity(folder: Path, groups: dict[str, dict[str, Any]]) -> None:
    """Check that the folder holds this sweep, or nothing yet; then write down what it holds.

    Raises:
        ValueError: naming what differs.
    """
    path = folder / "sweep.json"
    if path.exists():
        try:
            known = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is not the description of a sweep: {error}.") from error
        _compare(path, known, json.loads(json.dumps(groups)))
    text = json.dumps(groups, indent=1)
    replace(path, lambda file: file.write(text.encode()), keep=1)


def _compare(path: Path, known: dict[str, Any], now: dict[str, Any]) -> None:
    if list(known) != list(now):
        raise ValueError(
            f"checkpoint: {path.parent} holds a sweep of the optimizers {list(known)}, not of "
            f"{list(now)}. {_ADVICE}"
        )
    for name, old in known.items():
        of = f" of {name!r}" if name else ""
        new = now[name]
        for what in new:
            if what != "grids" and old.get(what) != new[what]:
                raise ValueError(
                    f"checkpoint: {path.parent} holds another sweep: {what}{of} was "
                    f"{old.get(what)!r} and is {new[what]!r}. {_ADVICE}"
                )
        for i, (before, after) in enumerate(zip(old["grids"], new["grids"], strict=False)):
            longer = after[1][: len(before[1])] == before[1] if i == 0 else after[1] == before[1]
            if before[0] != after[0] or not longer:
                raise ValueError(
                    f"checkpoint: {path.parent} holds another sweep: {after[0]}{of} was "
                    f"{before[1]} and is {after[1]}. Only the first grid may grow, at its end. "
                    f"{_ADVICE}"
                )
        if len(old["grids"]) != len(new["grids"]):
            raise ValueError(
                f"checkpoint: {path.parent} holds a sweep over {len(old['grids'])} grids{of}, "
                f"not over {len(new['grids'])}. {_ADVICE}"
            )


def _axes(template: Any) -> list[tuple[str, Axis]]:
    return [(name[2:], s) for name, s in spaces(template).items() if isinstance(s, Axis)]


def _each(params: Any) -> list[str]:
    leaves = [np.asarray(x) for x in jax.tree.leaves(params)]
    return [_hash([x[i] for x in leaves]) for i in range(len(leaves[0]))]


def _words(x: Any) -> str:
    """Readable, and a hash where arrays are too long to be read."""
    plain = re.sub(r" at 0x[0-9a-f]+", "", repr(x))
    leaves = [v for v in jax.tree.leaves(x, is_leaf=is_space) if not is_space(v)]
    return plain if not leaves else f"{plain[:500]} {_hash(leaves)}"


def _hash(x: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(x):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:12]


def _traced(function: Any, *shapes: Any) -> str:
    """A hash of what a function computes, as JAX sees it: of its text and its constants."""
    closed = jax.make_jaxpr(function)(*shapes)
    text = re.sub(r" at 0x[0-9a-f]+", "", str(closed.jaxpr))
    return hashlib.sha256((text + _hash(closed.consts)).encode()).hexdigest()[:12]


def _inputs(plan: Plan) -> tuple[Any, ...]:
    """The shapes of what the loss is called with, the parameters first."""

    def inputs(operands: Operands, id: jax.Array) -> tuple[Any, ...]:
        trial = define(plan.program, operands, id)
        _, args, _ = settings(operands, trial)
        batch = batch_at(plan.program, operands, trial, id)
        params = starting_point(plan.program, operands, trial)
        return params, *loss_inputs(plan.program, batch, args, trial.key)

    id = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.eval_shape(inputs, Abstract.of(plan.operands).operands(), id)
