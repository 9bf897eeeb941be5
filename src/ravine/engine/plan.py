"""From the arguments of a sweep to a program and its operands."""

import math
from collections.abc import Callable
from math import gcd
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.types import Transform
from ravine.engine.batches import Batches, Data, Feed
from ravine.engine.door import (
    check_args,
    check_count,
    check_flag,
    check_key,
    check_prune,
    check_traceable,
    split_init,
)
from ravine.engine.loss import check_loss
from ravine.engine.prune import Judge
from ravine.engine.stop import Diverged, Stop
from ravine.engine.stream import Stream, check_passes
from ravine.engine.trial import Operands, Program, Starts, numbers, order_keys
from ravine.spaces.qmc import unit_points
from ravine.spaces.sampling import canonical, grid_size, spaces

_LANES = 64
_SEGMENT = 64
_MOST_RECORDS = 2**25
"""At most so many losses are recorded by default, over all trials."""


class Plan(NamedTuple):
    """One group of trials that share an executable."""

    program: Program
    operands: Operands
    trials: int
    names: tuple[str, ...]
    """The swept hyperparameters' readable names, in the order of a trial's numbers."""


def plan(
    loss: Callable[..., Any],
    init: Any,
    optimizer: Transform,
    *,
    trials: int | None,
    steps: int,
    stop: Stop,
    batches: Batches | Stream | None,
    args: Any,
    key: Any,
    seeds: Any,
    lanes: int | None,
    workers: int,
    metric: Callable[[Any], Any] | None,
    metric_every: int | None,
    prune: Judge | None,
    sampler: str,
    keep: int | None,
    record_every: int | None,
    has_aux: bool,
    stochastic: bool,
) -> Plan:
    """Check the arguments and lay out one group of trials."""
    steps = check_count("steps", steps, 0)
    seeds = _seed_list(seeds)
    make, start = split_init(init)
    template = (optimizer, check_args(args), stop)
    configs = _configs(template, start, trials, len(seeds), make is not None)
    total = check_count("trials times seeds", configs * max(len(seeds), 1))
    if record_every is None:
        record_every = max(1, steps // min(100, max(1, _MOST_RECORDS // total)))
    every = check_count("record_every", record_every, 0)
    streamed = isinstance(batches, Stream)
    if lanes is None:
        lanes = total if streamed else min(_LANES, -(-total // workers))
    lanes = check_count("lanes", lanes)
    settings = (canonical(optimizer, one_float=True), canonical(args))
    template = (*settings, canonical(stop, one_float=True))
    root = check_key(key)
    check_prune(prune)
    metric_every = _metric_every(metric, metric_every, prune, steps)
    segment = segment_length(steps, gcd(metric_every, prune.interval if prune else 0))
    order_seeds, order, feed = jnp.asarray(seeds or [0], jnp.int32), None, None
    if isinstance(batches, Stream):
        check_passes(batches, lanes, total)
        segment = max(k for k in range(1, min(segment, batches.longest) + 1) if segment % k == 0)
        data, feed = batches.blank(segment), Feed("stream", 0, 0)
    elif batches is not None:
        order = batches.order(order_keys(root, order_seeds), steps + 1)
        data, feed = batches.data, batches.feed
    else:
        data = None
    program = Program(
        loss=loss,
        init=make,
        has_aux=check_flag("has_aux", has_aux),
        stochastic=check_flag("stochastic", stochastic),
        seeds=len(seeds),
        lanes=lanes,
        room=_room(lanes, steps // every + 1 if every else 0, start if keep is None else ()),
        steps=steps,
        segment=segment,
        every=every,
        keep=keep if keep is None else min(keep, total),
        feed=feed,
        in_step=_in_step(feed, prune, bool(seeds), stop),
        metric=metric,
        metric_every=metric_every,
        prune=prune,
    )
    operands = Operands(template, start, root, order_seeds, None, Data(data, order))
    check_traceable(operands)
    paired = isinstance(start, Starts)
    unit = unit_points(sampler, template, configs, _seed_of(root), paired=paired)
    operands = operands._replace(unit=None if unit is None else jnp.asarray(unit))
    check_loss(program, operands)
    return Plan(program, operands, total, tuple(name_of(n) for n in spaces(template)))


def name_of(path: str) -> str:
    """A space's path in the template as the user knows it: the optimizer goes unnamed."""
    part, _, rest = path.partition(".")
    return {"0": rest, "1": f"args.{rest}" if rest else "args", "2": f"stop.{rest}"}[part]


def numbers_of(plan: Plan) -> tuple[np.ndarray, ...]:
    """The swept numbers of every trial of the group: one array of shape (N,) a space."""
    if not plan.names:
        return ()
    ids = jnp.arange(plan.trials, dtype=jnp.int32)
    return tuple(np.asarray(x) for x in numbers(plan.program, plan.operands, ids))


def _seed_list(seeds: Any) -> list[int]:
    if seeds is None:
        return []
    if np.ndim(seeds) == 0 and hasattr(seeds, "__index__") and not isinstance(seeds, bool):
        return list(range(check_count("seeds", seeds)))
    if isinstance(seeds, str | bytes) or not np.iterable(seeds):
        raise TypeError(f"seeds must be a number of seeds or a list of them, got {seeds!r}.")
    listed = [check_count("each of seeds", s, 0) for s in seeds]
    if not listed or len(set(listed)) < len(listed):
        raise ValueError(f"seeds must be a number of seeds or distinct seeds, got {seeds!r}.")
    return listed


def _configs(template: Any, start: Any, trials: int | None, seeds: int, drawn_start: bool) -> int:
    """How many configurations: as asked for, or as many as the grids and starts make."""
    axes = grid_size(template)
    if isinstance(start, Starts):
        axes = (axes or 1) * len(start)
    if trials is not None:
        return check_count("trials", trials)
    if axes is not None:
        return axes
    if spaces(template) or (drawn_start and not seeds):
        raise TypeError(
            "trials is needed: the hyperparameters or starts are drawn at random, so say how many "
            "to draw, as in sweep(..., trials=256)."
        )
    return 1


def _room(lanes: int, records: int, start: Any) -> int:
    """How many ended trials to hold for the host: enough that it need not come often.

    With each come its records, and its parameters if ``start`` is where they begin.
    """
    if start is None:  # a function makes it, of whatever size
        return 2 * lanes
    points = len(start) if isinstance(start, Starts) else 1
    numbers = records + sum(x.size for x in jax.tree.leaves(start)) // points
    return max(lanes, min(16 * lanes, 2**22 // max(numbers, 1)))


def _metric_every(metric: Any, every: Any, prune: Judge | None, steps: int) -> int:
    """How often the metric is evaluated; 0 without one."""
    if metric is None:
        if every is not None:
            raise TypeError("metric_every says how often, and there is no metric to evaluate.")
        return 0
    if every is not None:
        return check_count("metric_every", every)
    return prune.interval if prune else max(1, steps // 20)


def _in_step(feed: Feed | None, prune: Judge | None, seeds: bool, stop: Stop) -> bool:
    """Whether lanes begin together: because they must, or can only end together."""
    if (prune is not None and prune.together) or (feed is not None and feed.kind == "stream"):
        return True
    may_end_apart = seeds or prune is not None or not isinstance(stop, Diverged)
    return feed is not None and feed.kind == "shared" and not may_end_apart


def _seed_of(key: Any) -> int:
    """A number that follows from a key, for what draws on the host."""
    return int.from_bytes(np.asarray(jax.random.key_data(key)).tobytes(), "little")


def segment_length(steps: int, interval: int = 0) -> int:
    """A length near 64 of which about a whole number makes up a trial.

    A trial of T steps takes T + 1 evaluations; what is left of its last segment is idle.
    With an ``interval``, at whose multiples something is to be done, one that divides it.
    """
    total = steps + 1
    if interval:
        divisors = [k for k in range(1, min(interval, _SEGMENT**2) + 1) if interval % k == 0]
        return min(divisors, key=lambda k: abs(math.log(k / _SEGMENT)))
    if total <= _SEGMENT:
        return total
    lengths = range(_SEGMENT * 3 // 4, _SEGMENT * 3 // 2 + 1)
    return min(lengths, key=lambda k: (-(-total // k) * k - total, abs(k - _SEGMENT)))
