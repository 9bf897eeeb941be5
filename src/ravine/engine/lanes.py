"""The lanes: a batch of fixed width that is refilled the moment a trial ends.

The compiled program runs segment after segment. A segment refills the lanes whose trial
has ended, advances all lanes by up to K steps, in which a lane whose trial ends stands still,
and writes the trials that ended to a buffer, which the host empties between two calls.
Nothing in it depends on the number of trials. Axis letters: B lanes, K steps of a segment,
R records of a history, P a parameter's own axes.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.lane import (
    CODE_BITS,
    RUNNING,
    Motion,
    Moving,
    begin,
    evaluation_point,
    step,
)
from ravine.engine.readout import Buffer, Finished, Kept, keep, write
from ravine.engine.status import Status
from ravine.engine.trial import Abstract, Operands, Program, Trial, batch_at, key_of

PATIENCE = 2
"""A refill costs about as much as so many steps of all lanes."""


class Carry(NamedTuple):
    """Everything that goes from one segment to the next."""

    trial: Trial
    motion: Motion
    queue: Buffer  # int32; the ids that wait to be handed out, from place next up to place end
    next: Buffer
    end: Buffer
    segments: Buffer
    executed: Buffer  # uint32, wraps round; the steps that all lanes were advanced by
    finished: Finished
    kept: Kept
    pruning: Any


class Tally(NamedTuple):
    """What the host reads between calls."""

    finished: Buffer
    next: Buffer
    segments: Buffer
    executed: Buffer
    running: Buffer
    busy: Buffer


def empty(program: Program, operands: Operands) -> Carry:
    """The carry before the first segment: idle lanes, empty buffers; made on the host."""
    trial, motion = _lane_shapes(program, Abstract.of(operands))
    idle = jax.tree.map(_zeros, motion)
    ended = np.full(program.lanes, Status.MAX_STEPS.code, np.int8)
    zero = np.zeros((), np.int32)
    return Carry(
        trial=jax.tree.map(_zeros, trial._replace(key=None)),
        motion=idle._replace(status=ended),
        queue=np.zeros(program.room, np.int32),
        next=zero,
        end=zero,
        segments=zero,
        executed=np.zeros((), np.uint32),
        finished=jax.tree.map(_zeros, Finished.shapes(program, trial, motion)),
        kept=Kept.none(jax.tree.map(_zeros, Kept.shapes(program, motion))),
        pruning=jax.tree.map(np.asarray, program.prune and program.prune.init(program.steps)),
    )


@lru_cache(maxsize=256)
def _lane_shapes(program: Program, abstract: Abstract) -> Any:
    ids = jax.ShapeDtypeStruct((program.lanes,), jnp.int32)
    mapped = jax.vmap(partial(begin, program), in_axes=(None, 0))
    return jax.eval_shape(mapped, abstract.operands(), ids)


def _zeros(x: Any) -> Any:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        key = jax.random.key(0, impl="threefry2x32")
        return jax.random.split(key, x.shape) if x.shape else key
    return np.zeros(x.shape, x.dtype)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def advance(
    program: Program, operands: Operands, carry: Carry, segments: jax.Array, more: jax.Array
) -> tuple[Carry, Tally]:
    """Run up to ``segments`` segments.

    Fewer if all that was handed out has ended, if the buffer is full, or if there are
    ``more`` ids to be had for lanes that stand idle.
    """
    last = carry.segments + segments

    def idle(carry: Carry) -> jax.Array:
        return carry.motion.status != RUNNING

    def busy(carry: Carry) -> jax.Array:
        return (carry.next < carry.end) | ~jnp.all(idle(carry))

    def go_on(carry: Carry) -> jax.Array:
        ready = jnp.all(idle(carry)) if program.in_step else jnp.any(idle(carry))
        starving = more & (carry.next >= carry.end) & ready
        room = carry.finished.count + program.lanes <= program.room
        return (carry.segments < last) & busy(carry) & ~starving & room

    carry = jax.lax.while_loop(go_on, partial(_segment, program, operands, more), carry)
    running = ~jnp.all(idle(carry))
    counts = carry.finished.count, carry.next, carry.segments, carry.executed
    return carry, Tally(*counts, running, busy(carry))


def _segment(program: Program, operands: Operands, more: jax.Array, carry: Carry) -> Carry:
    carry = _refill(program, operands, carry)
    keys = jax.vmap(partial(key_of, program, operands))(carry.trial.id)
    trial, before = carry.trial._replace(key=keys), carry.motion
    # Lanes in step share one batch, which is cheaper to fetch and to multiply with.
    kind = "full" if program.feed is None else program.feed.kind
    same_order = kind == "stream" or (kind == "shared" and not program.seeds)
    one_batch = kind == "full" or (program.in_step and same_order)
    first = jax.tree.map(lambda x: x[0], trial)
    batch_of = partial(batch_at, program, operands)
    step_all = jax.vmap(
        partial(step, program, operands), in_axes=(None if one_batch else 0, 0, 0, 0, None)
    )
    clock = jnp.max(jnp.where(before.status == RUNNING, before.step, 0))

    def body(moving: Moving, j: jax.Array) -> tuple[Moving, Any]:
        now = before.step + j
        batch = batch_of(first, clock + j) if one_batch else jax.vmap(batch_of)(trial, now)
        return step_all(batch, trial, moving, now, j)

    moving = Moving(before.params, before.state, before.stop_state, before.status.astype(jnp.int32))
    awaited = more | (carry.next < carry.end)
    length, moving, (values, aux) = _steps(program, body, moving, awaited)
    motion = _read_out(program, before, moving, length, values, aux)
    point = jax.vmap(partial(evaluation_point, operands))
    motion = _measured(program, motion, before, point(trial, motion).params)
    pruning = carry.pruning
    if program.prune is not None:
        score = jnp.mean(values, axis=0) if program.metric is None else motion.metric
        pruning, trial, motion = program.prune.apply(
            program, operands, pruning, trial, motion, score
        )
    ended = (before.status == RUNNING) & (motion.status != RUNNING)
    shown = point(trial, motion)
    return carry._replace(
        trial=trial._replace(key=None),
        motion=motion,
        pruning=pruning,
        segments=carry.segments + 1,
        executed=carry.executed + length.astype(jnp.uint32),
        finished=write(program, carry.finished, trial, shown, ended, carry.segments),
        kept=keep(program, carry.kept, trial.id, shown, ended),
    )


def _steps(
    program: Program, body: Any, moving: Moving, awaited: jax.Array
) -> tuple[jax.Array, Moving, Any]:
    """Advance the lanes by K steps, or by fewer if standing still has cost what a refill costs.

    So idling and refilling together cost at most twice what the best moments to refill would.
    Where something is to be done after every K steps, or no trial waits, there is no choice.
    """
    if program.metric is not None or program.prune is not None or program.in_step:
        js = jnp.arange(program.segment, dtype=jnp.int32)
        moving, given = jax.lax.scan(body, moving, js)
        return jnp.full((), program.segment, jnp.int32), moving, given

    # Most steps are short, so that each small operation beside the body's tells.
    budget = jnp.where(awaited, PATIENCE * program.lanes, np.iinfo(np.int32).max)

    def ended(moving: Moving) -> jax.Array:
        return jnp.sum(moving.ended != 0, dtype=jnp.int32)

    def go_on(loop: Any) -> jax.Array:
        j, still, idle, *_ = loop
        return (j < program.segment) & (idle < budget) & (still < program.lanes)

    def one(loop: Any) -> Any:
        j, _, idle, moving, given = loop
        moving, new = body(moving, j)
        given = jax.tree.map(partial(_put, j), given, new)
        still = ended(moving)
        return j + 1, still, idle + still, moving, given

    zero = jnp.zeros((), jnp.int32)
    given = jax.tree.map(
        lambda x: jnp.zeros((program.segment, *x.shape), x.dtype),
        jax.eval_shape(body, moving, zero)[1],
    )
    start = (zero, ended(moving), zero, moving, given)
    j, _, _, moving, given = jax.lax.while_loop(go_on, one, start)
    return j, moving, given


def _put(j: jax.Array, old: jax.Array, new: jax.Array) -> jax.Array:
    """``old`` with row j replaced; an unsigned index is not looked at for being negative."""
    at = (j.astype(jnp.uint32), *(jnp.uint32(0),) * new.ndim)
    return jax.lax.dynamic_update_slice(old, new[None], at)


def _refill(program: Program, operands: Operands, carry: Carry) -> Carry:
    """Hand the next ids of the queue to the idle lanes, in the order of the lanes."""
    idle = carry.motion.status != RUNNING
    waiting = carry.end - carry.next

    def refilled(carry: Carry) -> tuple[Trial, Motion]:
        place = jnp.cumsum(idle, dtype=jnp.int32) - 1
        fresh = idle & (place < waiting)
        ids = carry.queue[carry.next + place]
        trial, motion = jax.vmap(partial(begin, program, operands))(ids)
        trial = trial._replace(key=None)
        motion = motion._replace(begun=jnp.full_like(motion.begun, carry.segments))
        return jax.tree.map(partial(_pick, fresh), (trial, motion), (carry.trial, carry.motion))

    # Lanes in step begin together; others as soon as they are idle.
    ready = jnp.all(idle) if program.in_step else jnp.any(idle)
    trial, motion = jax.lax.cond(
        ready & (waiting > 0), refilled, lambda c: (c.trial, c.motion), carry
    )
    taken = jnp.where(ready, jnp.minimum(jnp.sum(idle, dtype=jnp.int32), waiting), 0)
    return carry._replace(trial=trial, motion=motion, next=carry.next + taken)


def _read_out(
    program: Program,
    before: Motion,
    moving: Moving,
    length: jax.Array,
    values: jax.Array,
    aux: Any,
) -> Motion:
    """The lanes after a segment of so many steps, from its (K, B) values and its aux."""
    alive = before.status == RUNNING
    status = (moving.ended & ((1 << CODE_BITS) - 1)).astype(jnp.int8)
    ended = alive & (status != RUNNING)
    last = jnp.where(ended, moving.ended >> CODE_BITS, length - 1)

    js = jnp.arange(program.segment, dtype=jnp.int32)[:, None]
    seen = alive[None] & (js <= last[None])
    finite = jnp.where(seen & jnp.isfinite(values), values, jnp.inf)
    best = jnp.fmin(before.best_value, jnp.min(finite, axis=0))
    recorded = partial(_recorded, program, before, seen)
    return before._replace(
        params=moving.params,
        state=moving.state,
        stop_state=moving.stop_state,
        step=jnp.where(alive, before.step + last + jnp.where(ended, 0, 1), before.step),
        value=jnp.where(alive, jnp.take_along_axis(values, last[None], axis=0)[0], before.value),
        best_value=jnp.where(jnp.isinf(best), jnp.nan, best),
        status=status,
        history=before.history._replace(
            values=recorded(before.history.values, values),
            aux=jax.tree.map(recorded, before.history.aux, aux),
        ),
    )


def _recorded(
    program: Program, before: Motion, seen: jax.Array, old: jax.Array, new: jax.Array
) -> jax.Array:
    """The records of (B, R) lanes with every E-th of the (K, B) new ones in its place."""
    if not program.every:
        return old
    # Lane b evaluated steps before.step[b] + j; every E-th of them is recorded.
    offsets = jnp.arange(-(-program.segment // program.every), dtype=jnp.int32) * program.every
    j = (-before.step % program.every)[:, None] + offsets[None, :]
    lane = jnp.arange(program.lanes, dtype=jnp.int32)[:, None]
    at = jnp.minimum(j, program.segment - 1), lane
    column = (before.step[:, None] + j) // program.every
    column = jnp.where((j < program.segment) & seen[at], column, old.shape[1])
    return old.at[lane, column].set(new[at].astype(old.dtype), mode="drop")


def _measured(program: Program, motion: Motion, before: Motion, params: Any) -> Motion:
    """Evaluate the metric of lanes at a multiple of M steps, at a possible rung, or at an end."""
    metric = program.metric
    if metric is None:
        return motion
    alive = before.status == RUNNING
    whole = motion.step % program.metric_every == 0
    due = alive & (whole | (motion.status != RUNNING))
    if program.prune is not None:
        due |= alive & (motion.step % program.prune.interval == 0)

    def evaluated(motion: Motion) -> Motion:
        new = jax.vmap(metric)(params).astype(motion.metric.dtype)
        metrics = motion.history.metrics
        column = jnp.where(due & whole, motion.step // program.metric_every - 1, metrics.shape[1])
        # Step 0 has no column.
        column = jnp.where(column < 0, metrics.shape[1], column)
        lane = jnp.arange(program.lanes, dtype=jnp.int32)
        metrics = metrics.at[lane, column].set(new, mode="drop")
        return motion._replace(
            metric=jnp.where(due, new, motion.metric),
            history=motion.history._replace(metrics=metrics),
        )

    return jax.lax.cond(jnp.any(due), evaluated, lambda m: m, motion)


def _pick(condition: jax.Array, new: Any, old: Any) -> Any:
    """``new`` where the (leading axes') condition holds, else ``old``."""
    shape = condition.shape + (1,) * (new.ndim - condition.ndim)
    return jnp.where(condition.reshape(shape), new, old)
