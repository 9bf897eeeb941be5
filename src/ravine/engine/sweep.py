"""Many optimizations at once."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from time import perf_counter
from typing import Any, Literal

import jax

from ravine.core.types import Transform
from ravine.engine.batches import Batches
from ravine.engine.collect import collect
from ravine.engine.door import check_batches, check_count, check_flag, check_optimizer, check_stop
from ravine.engine.group import Group
from ravine.engine.plan import Plan, plan
from ravine.engine.prune import Judge
from ravine.engine.result import SweepResult
from ravine.engine.stop import Stop
from ravine.engine.stream import DataError, Stream, check_stream
from ravine.engine.watch import Progress, watching
from ravine.engine.workers import places, run


def sweep(
    loss: Callable[..., Any],
    init: Any,
    optimizer: Transform | Mapping[str, Transform],
    *,
    trials: int | None = None,
    steps: int,
    stop: Stop | None = None,
    batches: Batches | Iterable[Any] | None = None,
    args: Any = None,
    key: Any = 0,
    seeds: Any = None,
    lanes: int | Literal["auto"] | None = None,
    workers: int | None = None,
    metric: Callable[[Any], Any] | None = None,
    metric_every: int | None = None,
    prune: Judge | None = None,
    sampler: Literal["random", "latin", "sobol"] = "random",
    keep: int | Literal["best", "all"] = "best",
    record_every: int | None = None,
    has_aux: bool = False,
    stochastic: bool = False,
    checkpoint: str | PathLike[str] | None = None,
    callback: Callable[[Progress], Any] | None = None,
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
            scalar, or ``(scalar, aux)`` with ``has_aux``.
        init: parameters at which all trials start; or a function ``key -> params``; or
            ``Starts(stacked)``, whose points are one more axis of the grid.
        optimizer: an optimizer with spaces in it, or a dict of optimizers by name, each of
            which gets ``trials`` trials.
        trials: how many configurations. By default as many as the grids and starts make.
            Point ``i`` of the grids belongs to trial ``i`` modulo their number.
        steps: at most so many steps a trial.
        stop: when else to stop; ``Diverged()`` by default, whose place it takes: with
            ``GradNorm(1e-6)`` alone a trial goes on after NaN, with ``GradNorm(1e-6) |
            Diverged()`` it does not. Tests compose with ``|`` and ``&``.
        batches: the data, ``Batches((x, y), size=128)``; or any iterable of batches, such as
            a ``DataLoader``, whose batches all lanes of one worker share.
        args: a tree of further arguments, which may hold spaces.
        key: an integer seed or a JAX random key, from which everything random follows.
        seeds: repeat every configuration with so many seeds, or with the seeds listed. A
            seed fixes start, noise and data order, the same for every configuration.
            Without it, each trial has a start of its own, and all share the data order.
        lanes: the width B, how many trials a worker runs at once; at most 64 by default.
            Results at one width do not depend on the other trials; between widths they
            differ by rounding. ``"auto"`` takes as many as should fit the cache, and in a sweep
            long enough to pay for it tries a few widths first; it remembers its choice.
        workers: how many sets of lanes run side by side, fed from one queue. By default
            one for each accelerator, or for each core of the CPU.
        metric: ``metric(params)``, a real scalar that the loss does not know, such as the loss
            on held-out data. Lower is better: it decides what is best, and what is pruned.
        metric_every: evaluate it every so many steps, and at a trial's end. By default as
            often as a pruner looks, or about 20 times a trial.
        prune: when to give up on a trial: ``SuccessiveHalving(min_steps=100)``, ``Hyperband``,
            ``MedianPruning``. A pruned trial's lane is refilled at once. Or
            ``PopulationBasedTraining(every=100)``, by which bad trials go on from good ones.
        sampler: how the random spaces are drawn: ``"random"``; ``"sobol"`` or ``"latin"``,
            which fill the space more evenly. With ``"latin"`` all points depend on ``trials``.
        keep: whose final parameters to hold: ``"best"``, the best so many, or ``"all"``.
        record_every: record the loss every so many steps; 0 for no history. By default
            about a hundred records a trial.
        has_aux: whether the loss returns ``(value, aux)``; the aux, a tree of arrays, is
            recorded as often as the loss.
        stochastic: whether the loss takes a random key, a new one each step.
        checkpoint: a folder in which to save, every ten seconds or more, what has ended and
            how the lanes stand. The same call goes on from there, to the same numbers; so
            does one with more ``trials``, or with a first grid that has more points behind.
        callback: called on the host a few times a second with a ``Progress``: how many trials
            have ended, how many diverged, the best so far. Returns true to end the sweep.
        progress: whether to show a progress bar.

    Returns:
        A ``SweepResult``: arrays indexed by trial, ``.best``, ``.top(k)``, ``.to_pandas()``.
        With Ctrl-C it comes early; what had ended by then is in it.

    Raises:
        TypeError, ValueError: naming the argument, before anything runs; so also if the
            folder of the checkpoint holds another sweep.

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
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of a Progress, got {callback!r}.")
    data = check_batches(batches)
    stream = data if isinstance(data, Stream) else None
    if stream is not None:
        check_stream(stream, len(optimizers), checkpoint)
    if workers is not None:
        check_count("workers", workers)
    devices = places(workers if stream is None else 1)
    lay_out = partial(
        plan, loss, init,
        trials=trials, steps=steps, stop=check_stop(stop), batches=data, args=args, key=key,
        seeds=seeds, workers=len(devices), metric=metric, metric_every=metric_every,
        prune=prune, sampler=sampler, keep=kept, record_every=record_every, has_aux=has_aux,
        stochastic=stochastic,
    )  # fmt: skip
    plans = {}
    for name, one in optimizers.items():
        known = None if checkpoint is None else _known_lanes(checkpoint, name)
        fitted = partial(lay_out, optimizer=one)
        plans[name] = fitted(lanes=_width(lanes, known, fitted, devices))
    devices = devices[: sum(-(-p.trials // p.program.lanes) for p in plans.values())]
    with _stores(checkpoint, plans, sampler) as on_disk:
        groups = {
            name: Group(
                p.program, p.operands, range(p.trials), len(devices),
                on_disk.get(name), stream,
            )
            for name, p in plans.items()
        }  # fmt: skip

        def results(complete: bool) -> SweepResult:
            info = {
                "seconds": perf_counter() - began,
                "compile_seconds": sum(g.compile_seconds for g in groups.values()),
                "workers": len(devices),
                "complete": complete,
            }
            again = partial(_again, list(plans.values()), devices[:1])
            return collect(optimizers, plans, groups, kept, info, again)

        ledgers = [group.ledger for group in groups.values()]
        try:
            with watching(ledgers, progress, callback) as show:
                return results(run(list(groups.values()), devices, show))
        except DataError as error:
            error.results = results(False)
            raise


def _stores(folder: Any, plans: dict[str, Plan], sampler: str) -> AbstractContextManager[Any]:
    """The places on disk, by optimizer; what they need is loaded only if there is a folder."""
    if folder is None:
        return nullcontext({})
    from ravine.engine.checkpoint import stores

    return stores(folder, plans, sampler)


def _known_lanes(folder: Any, name: str) -> int | None:
    from ravine.engine.identity import known_lanes

    return known_lanes(folder, name)


def _width(
    lanes: Any, known: int | None, lay_out: Callable[..., Plan], devices: list[jax.Device]
) -> int | None:
    """The width asked for, or the one of the checkpoint; for ``"auto"`` what proves best."""
    if isinstance(lanes, str) and lanes != "auto":
        raise ValueError(f'lanes must be a number or "auto", got {lanes!r}.')
    if lanes is not None and lanes != "auto":
        return lanes
    if known is not None or lanes is None:
        return known
    from ravine.engine.width import best_width

    trials = lay_out(lanes=1).trials
    return best_width(lambda n: lay_out(lanes=n)[:2], trials, devices[0], len(devices))


def _again(plans: list[Plan], devices: list[jax.Device], id: int, steps: int) -> tuple[Any, Any]:
    """Run one trial alone; return its final parameters and its loss at every step."""
    first = 0
    while id >= first + plans[0].trials:
        first += plans[0].trials
        plans = plans[1:]
    program = replace(plans[0].program, every=1, keep=None, room=plans[0].program.lanes)
    if program.prune is not None and program.prune.together:
        raise ValueError(
            "rerun: a trial of a population depends on the others, and runs with them."
        )
    if program.prune is not None:  # it may have been given up: go as far as it came
        program = replace(program, prune=None, steps=steps)
    group = Group(program, plans[0].operands, range(id - first, id - first + 1), 1)
    run([group], devices, lambda: None)
    rows = jax.tree.map(lambda x: x[0], group.ledger.rows)
    return rows.params, rows.history.values[: steps + 1]


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
