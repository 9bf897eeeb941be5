"""From the options of ``ravine sweep`` to a job, everything checked before anything runs."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import jax

from ravine.engine.batches import Batches
from ravine.engine.prune import Hyperband, MedianPruning, Pruner, SuccessiveHalving
from ravine.engine.stop import Diverged, GradNorm, Stop, Target
from ravine.optimizers import Optimizer
from ravine.problems.problem import Problem
from ravine.report.choose import choose
from ravine.report.find import find
from ravine.report.folder import open_folder
from ravine.report.job import Job
from ravine.report.measure import check_metrics
from ravine.spaces.grids import Axis
from ravine.spaces.sampling import grid_size, spaces

TRIALS = 256
STEPS, STEPS_ON_DATA = 1000, 200
DIVERGED_ABOVE = {"digits": 25.0, "digits_softmax": 25.0}
"""Ten times the loss of a blind guess: units of a network may all die before it is infinite."""

PRUNERS: dict[str, Callable[[int], Pruner]] = {
    "halving": lambda after: SuccessiveHalving(min_steps=after),
    "hyperband": lambda after: Hyperband(min_steps=after),
    "median": lambda after: MedianPruning(every=after),
}
"""The pruners by name, made from the steps after which trials are first judged."""

_HELD = 2**30
"""At most so many bytes of final parameters are held."""
_RECORDED = 2**27
"""At most so many losses are recorded in all the learning curves."""


def prepare(options: Any) -> Job:
    """Check what the options ask for, the folder last of all, and lay it out.

    Raises:
        ValueError, TypeError: saying in a sentence or two what to change.
    """
    if options.pictures and importlib.util.find_spec("matplotlib") is None:
        raise ValueError('pictures need matplotlib: pip install "ravine[plot]" or --no-pictures.')
    problem = find(options.problem)
    optimizers = choose(options.optimizers, options.settings)
    start = _start(problem)
    check_metrics(problem.metrics, start)
    steps = options.steps or (STEPS if problem.data is None else STEPS_ON_DATA)
    prune = _prune(options, steps)
    trials = options.trials or _usual_trials(problem, optimizers, options.seeds)
    repeats = options.seeds if isinstance(options.seeds, int) else len(options.seeds or [0])
    sizes = {n: (trials or grid_size(o) or 1) * repeats for n, o in optimizers.items()}
    total = sum(sizes.values())
    each = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(start))
    room = _HELD // max(each, 1)
    arguments = {
        "trials": trials,
        "steps": steps,
        "stop": _stop(problem, options),
        "batches": _batches(problem, options.batch_size),
        "key": options.seed,
        "seeds": options.seeds,
        "lanes": options.lanes,
        "workers": options.workers,
        "prune": prune,
        # Only a pruner needs it in the course of a trial; else it is measured once, at the end.
        "metric": problem.metrics.get("validation_loss") if prune is not None else None,
        "sampler": options.sampler,
        "keep": "all" if total <= room else max(room, 1),
        "record_every": max(1, steps // 100, ceil(steps * total / _RECORDED)),
    }
    path = options.output or Path("ravine-" + re.sub(r"[^\w.-]+", "-", problem.name).strip("-"))
    return Job(
        problem=problem,
        optimizers=optimizers,
        sizes=sizes,
        arguments=arguments,
        folder=open_folder(path),
        keep=options.keep,
        pictures=options.pictures,
    )


def _start(problem: Problem) -> Any:
    """The shapes of a start, without making one."""
    try:
        return jax.eval_shape(lambda: problem.start(0))
    except Exception as error:
        raise ValueError(f"{problem.name}: init failed: {type(error).__name__}: {error}") from error


def _usual_trials(problem: Problem, optimizers: Mapping[str, Optimizer], seeds: Any) -> int | None:
    """``None``, for as many as the grids make, if nothing is left to chance but seeds."""
    drawn_start = problem.has_init_function and seeds is None
    for optimizer in optimizers.values():
        found = spaces(optimizer).values()
        if not all(isinstance(s, Axis) for s in found) or (drawn_start and not found):
            return TRIALS
    return None


def _stop(problem: Problem, options: Any) -> Stop:
    """The stopping tests, those that mean convergence first."""
    above = options.diverged_above
    if above is None:
        above = DIVERGED_ABOVE.get(problem.name, float("inf"))
    stop: Stop = Diverged(above)
    if options.target is not None:
        stop = Target(options.target) | stop
    if options.grad_norm is not None:
        stop = GradNorm(options.grad_norm) | stop
    return stop


def _prune(options: Any, steps: int) -> Pruner | None:
    """The pruner, which must have something to judge before the last step."""
    after = options.prune_after
    if options.prune is None:
        if after is not None:
            raise ValueError(f"--prune-after {after}: say how with --prune halving, for one.")
        return None
    if after is not None and after >= steps:
        raise ValueError(
            f"--prune-after {after}: no trial would be given up, for all end at {steps} steps. "
            "Take fewer, or more --steps."
        )
    return PRUNERS[options.prune](_prune_after(steps) if after is None else after)


def _prune_after(steps: int) -> int:
    """So many steps that tripling them three times takes a trial to its end, or just beyond.

    Segments divide it: a large one is a multiple of 32, so that they need not be short.

    >>> [_prune_after(steps) for steps in (1, 200, 1000, 10_000)]
    [1, 8, 38, 384]
    """
    least = max(1, ceil(steps / 27))
    return least if least <= 64 else ceil(least / 32) * 32


def _batches(problem: Problem, size: int | None) -> Batches | None:
    """The data in batches of ``size``; of the problem's own size by default, of all for 0."""
    if problem.data is None:
        if size is not None:
            raise ValueError(f"--batch-size: the problem {problem.name} has no data.")
        return None
    return Batches(problem.data, (problem.batch_size if size is None else size) or None)
