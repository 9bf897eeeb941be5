"""Many optimizations at once."""

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, Literal

import jax
import numpy as np

from ravine.core.types import Transform
from ravine.engine.batches import Batches
from ravine.engine.door import check_batches, check_count, check_flag, check_optimizer, check_stop
from ravine.engine.driver import compiling_ahead, run, watching
from ravine.engine.lanes import Carry
from ravine.engine.plan import Plan, numbers_of, plan
from ravine.engine.result import SweepResult
from ravine.engine.status import STATUSES, Status
from ravine.engine.stop import Stop


def sweep(
    loss: Callable[..., Any],
    init: Any,
    optimizer: Transform | Mapping[str, Transform],
    *,
    trials: int | None = None,
    steps: int,
    stop: Stop | None = None,
    batches: Batches | None = None,
    args: Any = None,
    key: Any = 0,
    seeds: Any = None,
    lanes: int | None = None,
    keep: int | Literal["best", "all"] = "best",
    record_every: int | None = None,
    has_aux: bool = False,
    stochastic: bool = False,
    progress: bool = False,
) -> SweepResult:
    r"""Run many optimizations side by side, in lanes that are refilled as trials end.

    Each trial minimizes ``loss`` by ``optimizer``. A space written in place of a number
    (``LogUniform(1e-5, 1.0)``, ``Grid([...])``) is drawn from, or counted through, for
    each trial; so is a space in ``args`` or in ``stop``. What a trial is follows from its
    id and ``key`` alone, so adding trials changes none of the others.

    Args:
        loss: ``loss(params)``, with these behind it as far as they are asked for: the batch
            (``batches``), ``args`` (``args``), a random key (``stochastic``). Returns a real
            scalar, or ``(scalar, aux)`` with ``has_aux``; the aux is dropped.
        init: parameters at which all trials start; or a function ``key -> params``; or
            ``Starts(stacked)``, whose points are one more axis of the grid.
        optimizer: an optimizer with spaces in it, or a dict of optimizers by name, each of
            which gets ``trials`` trials.
        trials: how many configurations. By default as many as the grids and starts make.
            Point ``i`` of the grids belongs to trial ``i`` modulo their number.
        steps: at most so many steps a trial.
        stop: when else to stop; ``Diverged()`` by default. Tests compose with ``|`` and ``&``.
        batches: the data, ``Batches((x, y), size=128)``.
        args: a tree of further arguments, which may hold spaces.
        key: an integer seed or a JAX random key, from which everything random follows.
        seeds: repeat every configuration with so many seeds, or with the seeds listed. A
            seed fixes start, noise and data order, the same for every configuration.
            Without it, each trial has a start of its own, and all share the data order.
        lanes: the width B, how many trials run at once; 64 by default. Results at one
            width do not depend on the other trials; between widths they differ by rounding.
        keep: whose final parameters to hold: ``"best"``, the best so many, or ``"all"``.
        record_every: record the loss every so many steps; 0 for no history. By default
            about a hundred records a trial.
        has_aux: whether the loss returns ``(value, aux)``.
        stochastic: whether the loss takes a random key, a new one each step.
        progress: whether to show a progress bar.

    Returns:
        A ``SweepResult``: arrays indexed by trial, ``.best``, ``.top(k)``, ``.to_pandas()``.
        With Ctrl-C it comes early; what had ended by then is in it.

    Raises:
        TypeError, ValueError: naming the argument, before anything runs.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> results = rv.sweep(
    ...     lambda x: jnp.sum(x**2), jnp.ones(3), rv.SGD(rv.Grid([0.1, 0.4, 2.0])), steps=50
    ... )
    >>> [str(s) for s in results.status]
    ['max_steps', 'max_steps', 'diverged']
    >>> results.best.optimizer
    SGD(learning_rate=0.4...)
    """
    began = perf_counter()
    optimizers = _named(optimizer)
    kept = _keep_count(keep)
    check_flag("progress", progress)
    lay_out = partial(
        plan, loss, init,
        trials=trials, steps=steps, stop=check_stop(stop), batches=check_batches(batches),
        args=args, key=key, seeds=seeds, lanes=lanes, keep=kept, record_every=record_every,
        has_aux=has_aux, stochastic=stochastic,
    )  # fmt: skip
    plans = {name: lay_out(optimizer=opt) for name, opt in optimizers.items()}
    total = sum(p.program.trials for p in plans.values())
    carries, complete = {}, True
    groups = [(p.program, p.operands) for p in plans.values()]
    with watching(total, progress, "sweep") as watch, compiling_ahead(groups) as compiled:
        for name, group, future in zip(plans, groups, compiled, strict=True):
            if complete:
                carries[name], complete = run(*group, watch, future)
    info = {"seconds": perf_counter() - began, "complete": complete}
    return _collect(optimizers, plans, carries, kept, info)


def _named(optimizer: Any) -> dict[str, Transform]:
    if not isinstance(optimizer, Mapping):
        return {"": check_optimizer("optimizer", optimizer)}
    if not optimizer:
        raise ValueError("optimizer is an empty dict: name at least one, {'adam': Adam(1e-3)}.")
    named = {str(n): check_optimizer(f"optimizer[{n!r}]", o) for n, o in optimizer.items()}
    if len(named) < len(optimizer):
        raise ValueError(f"optimizer has two entries of the same name: {list(optimizer)}.")
    return named


def _keep_count(keep: Any) -> int | None:
    if not isinstance(keep, str):
        return check_count("keep", keep, 0)
    if keep not in ("best", "all"):
        raise ValueError(f'keep must be "best", "all" or a number of trials, got {keep!r}.')
    return 1 if keep == "best" else None


def _collect(
    optimizers: dict[str, Transform],
    plans: dict[str, Plan],
    carries: dict[str, Carry],
    kept: int | None,
    info: dict[str, Any],
) -> SweepResult:
    """Join the groups, one after the other, into arrays indexed by trial."""
    sizes = {name: p.program.trials for name, p in plans.items()}
    done = [plans[name].program for name in carries]
    outputs = jax.tree.map(lambda *xs: np.concatenate(xs), *(c.outputs for c in carries.values()))
    waiting = sum(sizes.values()) - outputs.values.shape[0]
    names = np.repeat(np.array(list(sizes), dtype=object), list(sizes.values()))
    program = done[0]
    executed = sum(
        int(c.segments) * p.segment * p.lanes for c, p in zip(carries.values(), done, strict=True)
    )
    # A trial of T steps takes T + 1 evaluations; one that is still running has taken T.
    useful = float(np.sum(outputs.steps + (outputs.status != Status.RUNNING.code)))
    ids, params = _kept(carries, sizes, kept)
    statuses = np.array(STATUSES, dtype=object)[outputs.status]
    config = np.concatenate([np.arange(n) for n in sizes.values()])
    return SweepResult(
        values=_padded(outputs.values, waiting, np.nan),
        best_values=_padded(outputs.best_values, waiting, np.nan),
        steps=_padded(outputs.steps, waiting, 0),
        status=_padded(statuses, waiting, STATUSES[0]),
        names=names,
        hyperparameters=_columns(plans, names),
        seeds=_seed_column(plans, config) if program.seeds else None,
        history=_padded(outputs.history, waiting, np.nan),
        history_steps=np.arange(outputs.history.shape[1]) * program.every,
        kept_ids=ids,
        params=params,
        templates=dict(optimizers),
        swept={name: p.names for name, p in plans.items()},
        info=info | {
            "lanes": program.lanes,
            "occupancy": useful / max(executed, 1),
        },
    )  # fmt: skip


def _columns(plans: dict[str, Plan], names: np.ndarray) -> dict[str, np.ndarray]:
    """The swept numbers of all trials by readable name; NaN where an optimizer has none."""
    columns: dict[str, np.ndarray] = {}
    for name, group in plans.items():
        for column, numbers in zip(group.names, numbers_of(group), strict=True):
            if len(plans) == 1:
                columns[column] = numbers
                continue
            blank = np.full(len(names), np.nan, np.float16)
            full = columns.get(column, blank)
            full = full.astype(np.result_type(full.dtype, numbers.dtype))
            full[names == name] = numbers
            columns[column] = full
    return columns


def _padded(x: np.ndarray, rows: int, value: Any) -> np.ndarray:
    """``x`` with rows behind it for the trials of groups that an interrupt kept from starting."""
    return np.concatenate([x, np.full((rows, *x.shape[1:]), value, x.dtype)]) if rows else x


def _seed_column(plans: dict[str, Plan], config: np.ndarray) -> np.ndarray:
    seeds = np.asarray(next(iter(plans.values())).operands.seeds)
    return seeds[config % len(seeds)]


def _kept(
    carries: dict[str, Carry], sizes: dict[str, int], kept: int | None
) -> tuple[np.ndarray, Any]:
    """The ids and the stacked parameters that the groups kept, cut to the best of all."""
    offsets = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    ids: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for name, carry in carries.items():
        if kept is None:
            group, held = np.arange(sizes[name]), carry.outputs.status != 0
        else:
            group, held = carry.kept.ids, carry.kept.ids < sizes[name]
        ids.append(np.where(held, group + offsets[name], -1))
        values.append(carry.outputs.values if kept is None else carry.kept.values)
    joined, value = np.concatenate(ids), np.concatenate(values)
    order = np.flatnonzero(joined >= 0)
    if kept is not None:
        order = order[np.lexsort((joined[order], value[order]))][:kept]
    params = jax.tree.map(
        lambda *xs: np.concatenate(xs)[order], *(c.kept.params for c in carries.values())
    )
    return joined[order], params
