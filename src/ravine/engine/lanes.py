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

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.engine.batches import take
from ravine.engine.status import STATUSES, Status
from ravine.engine.stop import Seen
from ravine.engine.trial import Abstract, Operands, Program, Trial, define, settings, starting_point

_RUNNING = Status.RUNNING.code
_CODE_BITS = 8

Buffer: TypeAlias = Any
"""A JAX array; before the first segment and after the last, a NumPy array."""


class Motion(NamedTuple):
    """How far the lanes are, between segments; each leaf has a first axis B."""

    params: Any
    state: Any
    stop_state: Any
    step: jax.Array  # int32
    value: jax.Array  # the loss at params; float
    best_value: jax.Array  # the smallest finite value so far; float
    status: jax.Array  # code of a Status; int8


class Moving(NamedTuple):
    """What a step changes in a lane, as little as can be; each leaf has a first axis B."""

    params: Any
    state: Any
    stop_state: Any
    ended: jax.Array  # 0 while running, else a status code + (j << 8); int32


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
            status=np.full(n, _RUNNING, np.int8),
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
    begin = partial(_begin, program)
    return jax.eval_shape(jax.vmap(begin, in_axes=(None, 0)), abstract.operands(), ids)


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
        return (carry.next_id < program.trials) | jnp.any(carry.motion.status == _RUNNING)

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
    step = jax.vmap(
        partial(_step, program, operands), in_axes=(None if one_batch else 0, 0, 0, 0, None)
    )
    clock = jnp.max(jnp.where(before.status == _RUNNING, before.step, 0))

    def body(moving: Moving, j: jax.Array) -> tuple[Moving, jax.Array]:
        now = before.step + j
        batch = batch_of(0, clock + j) if one_batch else jax.vmap(batch_of)(trial.seed, now)
        return step(batch, trial, moving, now, j)

    moving = Moving(before.params, before.state, before.stop_state, before.status.astype(jnp.int32))
    js = jnp.arange(program.segment, dtype=jnp.int32)
    moving, values = jax.lax.scan(body, moving, js)
    return _write(program, carry._replace(segments=carry.segments + 1), moving, values)


def _refill(program: Program, operands: Operands, carry: Carry) -> Carry:
    """Hand the next ids of the queue to the idle lanes, in the order of the lanes."""
    idle = carry.motion.status != _RUNNING
    waiting = program.trials - carry.next_id

    def refilled(carry: Carry) -> tuple[Trial, Motion]:
        place = jnp.cumsum(idle, dtype=jnp.int32) - 1
        fresh = idle & (place < waiting)
        trial, motion = jax.vmap(partial(_begin, program, operands))(carry.next_id + place)
        return jax.tree.map(partial(_pick, fresh), (trial, motion), (carry.trial, carry.motion))

    # Lanes in step begin together; others as soon as they are idle.
    ready = jnp.all(idle) if program.in_step else jnp.any(idle)
    trial, motion = jax.lax.cond(
        ready & (waiting > 0), refilled, lambda c: (c.trial, c.motion), carry
    )
    taken = jnp.where(ready, jnp.minimum(jnp.sum(idle, dtype=jnp.int32), waiting), 0)
    return carry._replace(trial=trial, motion=motion, next_id=carry.next_id + taken)


def _begin(program: Program, operands: Operands, id: jax.Array) -> tuple[Trial, Motion]:
    """A trial and its lane before the first step."""
    trial = define(program, operands, id)
    optimizer, _, stop = settings(operands, trial)
    params = tree.copy(starting_point(program, operands, trial))
    motion = Motion(
        params=params,
        state=optimizer.init(params),
        stop_state=stop.init(),
        step=jnp.zeros((), jnp.int32),
        value=jnp.full((), jnp.nan, float),
        best_value=jnp.full((), jnp.nan, float),
        status=jnp.full((), _RUNNING, jnp.int8),
    )
    return trial, motion


def _step(
    program: Program,
    operands: Operands,
    batch: Any,
    trial: Trial,
    moving: Moving,
    step: jax.Array,
    j: jax.Array,
) -> tuple[Moving, jax.Array]:
    """Evaluate one lane at its point; stop there, or take the step."""
    optimizer, args, stop = settings(operands, trial)
    key = jax.random.fold_in(jax.random.fold_in(trial.key, 1), step)
    inputs = loss_inputs(program, batch, args, key)

    def value_fn(params: Any) -> Any:
        out = program.loss(params, *inputs)
        return out[0] if program.has_aux else out

    # The barriers keep the compiler from evaluating per element what holds for a whole lane.
    loss, grads = jax.lax.optimization_barrier(jax.value_and_grad(value_fn)(moving.params))
    # For complex parameters JAX gives the conjugate of the direction of steepest ascent.
    grads = jax.tree.map(jnp.conj, grads)
    updates, state = optimizer.update(
        grads, moving.state, moving.params,
        value=loss, grad=grads, value_fn=value_fn, key=jax.random.fold_in(key, 1),
    )  # fmt: skip
    value = loss.astype(jnp.result_type(float))
    code, stop_state = stop.test(Seen(value, grads, updates, step), moving.stop_state)
    spent = jnp.where(jnp.isfinite(value), Status.MAX_STEPS.code, Status.DIVERGED.code)
    code = jnp.where((code == 0) & (step >= program.steps), spent, code.astype(jnp.int32))

    running = moving.ended == 0
    code, go = jax.lax.optimization_barrier((code, running & (code == 0)))
    # A lane that has stopped keeps its parameters; its states are never looked at again.
    moved = Moving(
        params=tree.where(go, apply_updates(moving.params, updates), moving.params),
        state=state,
        stop_state=stop_state,
        ended=jnp.where(running & (code != 0), code + (j << _CODE_BITS), moving.ended),
    )
    return moved, value


def loss_inputs(program: Program, batch: Any, args: Any, key: jax.Array) -> tuple[Any, ...]:
    """What the loss takes after the parameters, as far as it was asked for."""
    return tuple(x for x in (batch, args) if x is not None) + ((key,) if program.stochastic else ())


def _write(program: Program, carry: Carry, moving: Moving, values: jax.Array) -> Carry:
    """Read out the segment's (K, B) values; lanes without a trial write nowhere."""
    n, before, outputs = program.trials, carry.motion, carry.outputs
    alive = before.status == _RUNNING
    ids = jnp.where(alive, carry.trial.id, n)
    status = (moving.ended & ((1 << _CODE_BITS) - 1)).astype(jnp.int8)
    ended = alive & (status != _RUNNING)
    last = jnp.where(ended, moving.ended >> _CODE_BITS, program.segment - 1)

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
        finished=jnp.sum(status != _RUNNING, dtype=jnp.int32),
        diverged=jnp.sum(status == Status.DIVERGED.code, dtype=jnp.int32),
        best=jnp.min(jnp.where(good & jnp.isfinite(values), values, jnp.inf), initial=jnp.inf),
        busy=busy,
    )


def _pick(condition: jax.Array, new: Any, old: Any) -> Any:
    """``new`` where the (leading axes') condition holds, else ``old``."""
    shape = condition.shape + (1,) * (new.ndim - condition.ndim)
    return jnp.where(condition.reshape(shape), new, old)


__all__ = ["STATUSES", "Carry", "Tally", "advance", "empty"]
