"""What a sweep is, in words and hashes: whether a folder belongs to this call."""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.lane import Moving, begin, loss_inputs, step
from ravine.engine.plan import Plan, name_of
from ravine.engine.replace import replace
from ravine.engine.trial import Abstract, Operands, Starts, batch_at, settings
from ravine.spaces.grids import Axis
from ravine.spaces.sampling import is_space, spaces

_ADVICE = "Give another folder, or the arguments of the sweep that is in it."


def identity(plan: Plan, sampler: str) -> dict[str, Any]:
    """Everything on which the results of a group of trials depend, but how many there are."""
    program, operands = plan.program, plan.operands
    blank = jax.tree.map(
        lambda x: 0.0 if isinstance(x, Axis) else x, operands.template, is_leaf=is_space
    )
    start, inputs, step_inputs = operands.start, *_inputs(plan)
    given = isinstance(start, Starts)
    return {
        # What a function takes comes before the function, which then looks different too.
        "params": "" if given else _hash(start),
        "init": _traced(program.init, operands.key) if program.init else "",
        "args": _words(blank[1]),
        "the data": _hash(operands.data.arrays) + str(program.feed),
        "the loss": _traced(program.loss, *inputs),
        "the metric": _traced(program.metric, inputs[0]) if program.metric else "",
        "the optimizer": _words(blank[0]),
        "stop": _words(blank[2]),
        "key": _hash(operands.key),
        "seeds": np.asarray(operands.seeds).tolist() if program.seeds else [],
        "lanes": program.lanes,
        "steps": program.steps,
        "record_every": program.every,
        "metric_every": program.metric_every,
        "keep": "all" if program.keep is None else "best",
        "prune": repr(program.prune),
        "sampler": [sampler, plan.trials if sampler == "latin" else 0],
        "stochastic": program.stochastic,
        "has_aux": program.has_aux,
        "the version of JAX": jax.__version__,
        "the device": jax.default_backend(),
        # What is in none of the above: what functions within an optimizer compute, gradients.
        "what a step computes": _traced(_step(plan), *step_inputs),
        "the order of the data": _hash(operands.data.order),
        "trials": plan.trials,
        # Trials count through these, the first slowest: behind its end there is room for more.
        "grids": [
            *([["the starting points", _each(start.params)]] if given else []),
            *([name, np.asarray(s.values()).tolist()] for name, s in _axes(operands.template)),
        ],
    }


def known_lanes(folder: Any, name: str) -> int | None:
    """The width of a group of the sweep in the folder; ``None`` if it cannot be told."""
    try:
        lanes = json.loads((Path(folder) / "sweep.json").read_text())[name]["lanes"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return lanes if isinstance(lanes, int) else None


def check_identity(folder: Path, groups: dict[str, dict[str, Any]]) -> str:
    """Check that the folder holds this sweep, or nothing yet; return the words for it.

    Raises:
        ValueError: naming what differs.
    """
    path = folder / "sweep.json"
    if path.exists():
        try:
            known = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is not the description of a sweep: {error}.") from error
        if not isinstance(known, dict) or not all(
            isinstance(x, dict) and "grids" in x and "trials" in x for x in known.values()
        ):
            raise ValueError(f"{path} is not the description of a sweep. Give another folder.")
        _compare(path, known, json.loads(json.dumps(groups)))
        groups = {
            name: new | {"trials": max(new["trials"], known[name]["trials"])}
            for name, new in groups.items()
        }
    return json.dumps(groups, indent=1)


def write_identity(folder: Path, text: str) -> None:
    """Write down which sweep the folder holds."""
    replace(folder / "sweep.json", lambda file: file.write(text.encode()), keep=1)


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
            if what not in ("grids", "trials") and old.get(what) != new[what]:
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
        points = math.prod(len(values) for _, values in old["grids"])
        configs = old["trials"] // max(len(old["seeds"]), 1)
        if old["grids"] != new["grids"] and configs > points:
            raise ValueError(
                f"checkpoint: {path.parent} holds {configs} configurations{of}, which went "
                f"through the {points} points of the grids more than once. So "
                f"{old['grids'][0][0]} cannot grow. {_ADVICE}"
            )


def _axes(template: Any) -> list[tuple[str, Axis]]:
    return [(name_of(n), s) for n, s in spaces(template).items() if isinstance(s, Axis)]


def _each(params: Any) -> list[str]:
    leaves = [np.asarray(x) for x in jax.tree.leaves(params)]
    return [_hash([x[i] for x in leaves]) for i in range(len(leaves[0]))]


def _words(x: Any) -> str:
    """Readable, and a hash where there are arrays or it is too long to be read."""
    plain = re.sub(r" at 0x[0-9a-f]+", "", repr(x))
    leaves = [v for v in jax.tree.leaves(x, is_leaf=is_space) if not is_space(v)]
    if not leaves and len(plain) <= 500:
        return plain
    return f"{plain[:500]} {_hash(leaves, plain)}"


def _hash(x: Any, text: str = "") -> str:
    digest = hashlib.sha256(text.encode())
    for leaf in jax.tree.leaves(x):
        key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if key else leaf)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:12]


def _traced(function: Any, *shapes: Any) -> str:
    """A hash of what a function computes, as JAX sees it: of its text and its constants."""
    closed = jax.make_jaxpr(function)(*shapes)
    return _hash(list(_constants(closed)), re.sub(r" at 0x[0-9a-f]+", "", str(closed.jaxpr)))


def _constants(x: Any) -> Iterator[Any]:
    """The constants of a traced function and of the functions within, which it hides."""
    yield from getattr(x, "consts", ())
    for equation in getattr(x, "eqns", ()):
        yield from (v.val for v in equation.invars if hasattr(v, "val"))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_function):
            if _is_function(inner):
                yield from _constants(inner)


def _is_function(x: Any) -> bool:
    return hasattr(x, "eqns")


def _inputs(plan: Plan) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The shapes of what the loss is called with, the parameters first; and of a step's inputs."""
    program = plan.program

    def inputs(operands: Operands, id: jax.Array) -> Any:
        trial, motion = begin(program, operands, id)
        template = settings(operands, trial)
        batch = batch_at(program, operands, trial, id)
        moving = Moving(motion.params, motion.state, motion.stop_state, id)
        of_loss = motion.params, *loss_inputs(program, batch, template[1], trial.key)
        return of_loss, (template, batch, trial._replace(numbers=()), moving, id)

    id = jax.ShapeDtypeStruct((), jnp.int32)
    return jax.eval_shape(inputs, Abstract.of(plan.operands).operands(), id)


def _step(plan: Plan) -> Any:
    """A step of one trial, whose hyperparameters have been filled in."""

    def once(template: Any, batch: Any, trial: Any, moving: Moving, t: jax.Array) -> Any:
        operands = plan.operands._replace(template=template)
        return step(plan.program, operands, batch, trial, moving, t, t)

    return once
