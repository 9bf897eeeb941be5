"""From the ledgers of a sweep's groups to its results."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ravine.core.types import Transform
from ravine.engine.group import Group
from ravine.engine.ledger import Ledger
from ravine.engine.plan import Plan, numbers_of
from ravine.engine.readout import Kept, Rows
from ravine.engine.result import SweepResult
from ravine.engine.status import STATUSES, Status


def collect(
    optimizers: dict[str, Transform],
    plans: dict[str, Plan],
    groups: dict[str, Group],
    kept: int | None,
    info: dict[str, Any],
    again: Callable[[int, int], tuple[Any, Any]],
) -> SweepResult:
    """Join the groups, one after the other, into arrays indexed by trial."""
    ledgers = {name: group.ledger for name, group in groups.items()}
    sizes = [p.trials for p in plans.values()]
    names = np.repeat(np.array(list(plans), dtype=object), sizes)
    offsets = np.cumsum([0, *sizes])[:-1]
    # The parameters are not joined: optimizers may be few and networks large.
    rows: Rows = jax.tree.map(
        lambda *xs: np.concatenate(xs),
        *(x.rows._replace(params=None, numbers=()) for x in ledgers.values()),
    )
    program = next(iter(plans.values())).program
    executed = sum(x.executed for x in ledgers.values())
    # A trial of T steps takes T + 1 evaluations; one that is still running or pruned has taken T.
    cut_short = np.isin(rows.status, [Status.RUNNING.code, Status.PRUNED.code])
    useful = float(np.sum(rows.steps + ~cut_short))
    held = _held([x.held for x in ledgers.values()], offsets, kept)
    return SweepResult(
        values=rows.values,
        best_values=rows.best_values,
        metrics=None if program.metric is None else rows.metric,
        steps=rows.steps,
        status=np.array(STATUSES, dtype=object)[rows.status],
        names=names,
        hyperparameters=_columns(plans, ledgers, names),
        seeds=_seed_column(plans, rows.ids) if program.seeds else None,
        history=rows.history.values,
        history_steps=np.arange(rows.history.values.shape[1]) * program.every,
        aux=rows.history.aux,
        metric_history=rows.history.metrics,
        metric_steps=np.arange(1, rows.history.metrics.shape[1] + 1) * program.metric_every,
        placement={
            "worker": np.concatenate([x.workers for x in ledgers.values()]),
            "lane": rows.lane,
            "first": rows.begun,
            "last": rows.until,
        },
        kept_ids=held.ids,
        params=held.params,
        templates=dict(optimizers),
        swept={name: p.names for name, p in plans.items()},
        info=info | {
            "lanes": max(group.program.lanes for group in groups.values()),
            "occupancy": useful / max(executed, 1),
        },
        again=again,
    )  # fmt: skip


def _columns(
    plans: dict[str, Plan], ledgers: dict[str, Ledger], names: np.ndarray
) -> dict[str, np.ndarray]:
    """The swept numbers of all trials by readable name; NaN where an optimizer has none."""
    columns: dict[str, np.ndarray] = {}
    for name, group in plans.items():
        changed = ledgers[name].rows.numbers
        for column, numbers in zip(group.names, changed or numbers_of(group), strict=True):
            if len(plans) == 1:
                columns[column] = numbers
                continue
            blank = np.full(len(names), np.nan, np.float16)
            full = columns.get(column, blank)
            full = full.astype(np.result_type(full.dtype, numbers.dtype))
            full[names == name] = numbers
            columns[column] = full
    return columns


def _seed_column(plans: dict[str, Plan], config: np.ndarray) -> np.ndarray:
    seeds = np.asarray(next(iter(plans.values())).operands.seeds)
    return seeds[config % len(seeds)]


def _held(groups: list[Kept], offsets: np.ndarray, kept: int | None) -> Kept:
    """Whose parameters the groups hold, cut to the best of all."""
    moved = [g._replace(ids=g.ids + o) for g, o in zip(groups, offsets, strict=True)]
    joined: Kept = jax.tree.map(lambda *xs: np.concatenate(xs), *moved)
    if kept is None:
        return joined
    order = np.lexsort((joined.ids, joined.values))[:kept]
    return Kept(*jax.tree.map(lambda x: x[order], joined))
