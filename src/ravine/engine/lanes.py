"""The lanes: a batch of fixed width that is refilled the moment a trial ends.

The compiled program runs segment after segment. A segment refills the lanes whose trial
has ended, advances all lanes by K steps, in which a lane whose trial ends stands still,
and writes what happened to buffers indexed by trial. Axis letters: B lanes, N trials,
K steps of a segment, R records of a history, P a parameter's own axes.
"""

from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.batches import take
from ravine.engine.lane import CODE_BITS, RUNNING, Motion, Moving, begin, step
from ravine.engine.status import Status
from ravine.engine.trial import Abstract, Operands, Program, Trial

Buffer: TypeAlias = Any
"""A JAX array; before the first segment and after the last, a NumPy array."""


class Kept(NamedTuple):
    """Final parameters: of the best k trials, best first, or of all N, by trial."""

    ids: Buffer  # (k,) int32, N where there is none
    values: Buffer  # (k,) float
    params: Any  # (k or N, *P)


class Outputs(NamedTuple):
    """What is known of every trial; each leaf has a first axis N."""

    values: Buffer
    best_values: Buffer
    steps: Buffer
    status: Buffer
    history: Buffer  # (N, R)


class Carry(NamedTuple):
    """Everything that goes from one segment to the next."""

    trial: Trial
    motion: Motion
    next_id: Buffer
    segments: Buffer
    outputs: Outputs
    kept: Kept


class Tally(NamedTuple):
    """What the host reads between calls."""

    finished: Buffer
    diverged: Buffer
    best: Buffer
    busy: Buffer


def empty(program: Program, operands: Operands) -> Carry:
    """The carry before the first segment: idle lanes, empty buffers; made on the host."""
    b, n = program.lanes, program.trials
    trial, motion = _lane_shapes(program, Abstract.of(operands))
    records = program.steps // program.every + 1 if program.every else 0
    floating = motion.value.dtype
    count = n if program.keep is None else program.keep
    held = jax.tree.map(
        lambda p: jax.ShapeDtypeStruct((count, *p.shape[1:]), p.dtype), motion.params
    )
    carry = Carry(
        trial=trial,
        motion=motion,
        next_id=np.zeros((), np.int32),
        segments=np.zeros((), np.int32),
        outputs=Outputs(
            values=np.full(n, np.nan, floating),
            best_values=np.full(n, np.nan, floating),
            steps=np.zeros(n, np.int32),
            status=np.full(n, RUNNING, np.int8),
            history=np.full((n, records), np.nan, floating),
        ),
        kept=Kept(np.full(count, n, np.int32), np.full(count, np.inf, floating), held),
    )
    carry = jax.tree.map(_zeros, carry)
    ended = np.full(b, Status.MAX_STEPS.code, np.int8)
    idle = carry.trial._replace(id=np.full(b, n, np.int32))
    return carry._replace(trial=idle, motion=carry.motion._replace(status=ended))


@lru_cache(maxsize=256)
def _lane_shapes(program: Program, abstract: Abstract) -> Any:
    ids = jax.ShapeDtypeStruct((program.lanes,), jnp.int32)
    mapped = jax.vmap(partial(begin, program), in_axes=(None, 0))
    return jax.eval_shape(mapped, abstract.operands(), ids)


def _zeros(x: Any) -> Any:
    if not isinstance(x, jax.ShapeDtypeStruct):
        return x
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), x.shape) if x.shape else jax.random.key(0)
    return np.zeros(x.shape, x.dtype)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def advance(
    program: Program, operands: Operands, carry: Carry, segments: jax.Array
) -> tuple[Carry, Tally]:
    """Run up to ``segments`` segments, fewer if every trial has ended."""
    last = carry.segments + segments

    def busy(carry: Carry) -> jax.Array:
        return (carry.next_id < program.trials) | jnp.any(carry.motion.status == RUNNING)

    carry = jax.lax.while_loop(
        lambda c: (c.segments < last) & busy(c), partial(_segment, program, operands), carry
    )
    return carry, _tally(carry, busy(carry))


def _segment(program: Program, operands: Operands, carry: Carry) -> Carry:
    carry = _refill(program, operands, carry)
    trial, before = carry.trial, carry.motion
    # Lanes in step share one batch, which is cheaper to fetch and to multiply with.
    one_batch = program.in_step or operands.order is None
    batch_of = partial(take, operands.data, operands.order)
    step_all = jax.vmap(
        partial(step, program, operands), in_axes=(None if one_batch else 0, 0, 0, 0, None)
    )
    clock = jnp.max(jnp.where(before.status == RUNNING, before.step, 0))

    def body(moving: Moving, j: jax.Array) -> tuple[Moving, jax.Array]:
        now = before.step + j
        batch = batch_of(0, clock + j) if one_batch else jax.vmap(batch_of)(trial.seed, now)
        return step_all(batch, trial, moving, now, j)

    moving = Moving(before.params, before.state, before.stop_state, before.status.astype(jnp.int32))
    js = jnp.arange(program.segment, dtype=jnp.int32)
    moving, values = jax.lax.scan(body, moving, js)
    return _write(program, carry._replace(segments=carry.segments + 1), moving, values)


def _refill(program: Program, operands: Operands, carry: Carry) -> Carry:
    """Hand the next ids of the queue to the idle lanes, in the order of the lanes."""
    idle = carry.motion.status != RUNNING
    waiting = program.trials - carry.next_id

    def refilled(carry: Carry) -> tuple[Trial, Motion]:
        place = jnp.cumsum(idle, dtype=jnp.int32) - 1
        fresh = idle & (place < waiting)
        trial, motion = jax.vmap(partial(begin, program, operands))(carry.next_id + place)
        return jax.tree.map(partial(_pick, fresh), (trial, motion), (carry.trial, carry.motion))

    # Lanes in step begin together; others as soon as they are idle.
    ready = jnp.all(idle) if program.in_step else jnp.any(idle)
    trial, motion = jax.lax.cond(
        ready & (waiting > 0), refilled, lambda c: (c.trial, c.motion), carry
    )
    taken = jnp.where(ready, jnp.minimum(jnp.sum(idle, dtype=jnp.int32), waiting), 0)
    return carry._replace(trial=trial, motion=motion, next_id=carry.next_id + taken)


def _write(program: Program, carry: Carry, moving: Moving, values: jax.Array) -> Carry:
    """Read out the segment's (K, B) values; lanes without a trial write nowhere."""
    n, before, outputs = program.trials, carry.motion, carry.outputs
    alive = before.status == RUNNING
    ids = jnp.where(alive, carry.trial.id, n)
    status = (moving.ended & ((1 << CODE_BITS) - 1)).astype(jnp.int8)
    ended = alive & (status != RUNNING)
    last = jnp.where(ended, moving.ended >> CODE_BITS, program.segment - 1)

    js = jnp.arange(program.segment, dtype=jnp.int32)[:, None]
    values = jnp.where(alive[None] & (js <= last[None]), values, jnp.nan)
    finite = jnp.where(jnp.isfinite(values), values, jnp.inf)
    best = jnp.fmin(before.best_value, jnp.min(finite, axis=0))
    motion = Motion(
        params=moving.params,
        state=moving.state,
        stop_state=moving.stop_state,
        step=jnp.where(alive, before.step + last + jnp.where(ended, 0, 1), before.step),
        value=jnp.where(alive, jnp.take_along_axis(values, last[None], axis=0)[0], before.value),
        best_value=jnp.where(jnp.isinf(best), jnp.nan, best),
        status=status,
    )
    history = outputs.history
    if program.every:
        # Lane b evaluated steps before.step[b] + j; every E-th of them is recorded.
        offsets = jnp.arange(-(-program.segment // program.every), dtype=jnp.int32) * program.every
        j = (-before.step % program.every)[:, None] + offsets[None, :]
        column = (before.step[:, None] + j) // program.every
        column = jnp.where(j < program.segment, column, history.shape[1])
        picked = jnp.take_along_axis(values.T, jnp.minimum(j, program.segment - 1), axis=1)
        history = history.at[ids[:, None], column].set(picked, mode="drop")
    outputs = Outputs(
        values=outputs.values.at[ids].set(motion.value, mode="drop"),
        best_values=outputs.best_values.at[ids].set(motion.best_value, mode="drop"),
        steps=outputs.steps.at[ids].set(motion.step, mode="drop"),
        status=outputs.status.at[ids].set(motion.status, mode="drop"),
        history=history,
    )
    return carry._replace(
        motion=motion, outputs=outputs, kept=_keep(program, carry.kept, motion, ids, ended)
    )


def _keep(program: Program, kept: Kept, motion: Motion, ids: jax.Array, ended: jax.Array) -> Kept:
    """Store the parameters of trials that ended: all of them, or the best k so far."""
    if program.keep == 0:
        return kept
    if program.keep is None:
        return jax.lax.cond(
            jnp.any(ended), _keep_all, lambda kept, *_: kept, kept, motion.params, ids, ended
        )
    ranked = ended & (motion.status != Status.DIVERGED.code) & jnp.isfinite(motion.value)
    values = jnp.where(ranked, motion.value, jnp.inf)
    return jax.lax.cond(
        jnp.any(ranked & (values <= kept.values[-1])),
        _keep_best,
        lambda kept, *_: kept,
        kept, motion.params, jnp.where(ranked, ids, program.trials), values,
    )  # fmt: skip


def _keep_all(kept: Kept, params: Any, ids: jax.Array, ended: jax.Array) -> Kept:
    place = jnp.where(ended, ids, kept.ids.shape[0])
    put = partial(jax.tree.map, lambda old, new: old.at[place].set(new, mode="drop"))
    return kept._replace(params=put(kept.params, params))


def _keep_best(kept: Kept, params: Any, ids: jax.Array, values: jax.Array) -> Kept:
    k = kept.ids.shape[0]
    values = jnp.concatenate([kept.values, values])
    ids = jnp.concatenate([kept.ids, ids])
    place = jnp.arange(values.shape[0], dtype=jnp.int32)
    # Ties go to the lower id, so that no lane's place in the batch decides.
    values, ids, place = (x[:k] for x in jax.lax.sort((values, ids, place), num_keys=2))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b])[place], kept.params, params)
    return Kept(ids, values, joined)


def _tally(carry: Carry, busy: jax.Array) -> Tally:
    status, values = carry.outputs.status, carry.outputs.values
    good = (status == Status.CONVERGED.code) | (status == Status.MAX_STEPS.code)
    return Tally(
        finished=jnp.sum(status != RUNNING, dtype=jnp.int32),
        diverged=jnp.sum(status == Status.DIVERGED.code, dtype=jnp.int32),
        best=jnp.min(jnp.where(good & jnp.isfinite(values), values, jnp.inf), initial=jnp.inf),
        busy=busy,
    )


def _pick(condition: jax.Array, new: Any, old: Any) -> Any:
    """``new`` where the (leading axes') condition holds, else ``old``."""
    shape = condition.shape + (1,) * (new.ndim - condition.ndim)
    return jnp.where(condition.reshape(shape), new, old)
