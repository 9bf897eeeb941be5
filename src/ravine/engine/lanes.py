"""The lanes: a batch of fixed width that is refilled the moment a trial ends.

The compiled program runs segment after segment. A segment refills the lanes whose trial
has ended, advances all lanes by K steps, in which a lane whose trial ends stands still,
and writes what happened to buffers indexed by trial. Axis letters: B lanes, N trials,
K steps of a segment, R records of a history, P a parameter's own axes.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.engine.batches import take
from ravine.engine.status import STATUSES, Status
from ravine.engine.stop import Seen
from ravine.engine.trial import Operands, Program, Trial, define, settings, starting_point

_RUNNING = Status.RUNNING.code


class Motion(NamedTuple):
    """What a step changes in a lane; each leaf has a first axis B."""

    params: Any
    state: Any
    stop_state: Any
    step: jax.Array  # int32
    value: jax.Array  # the loss at params; float
    best_value: jax.Array  # the smallest finite value so far; float
    status: jax.Array  # code of a Status; int8


class Kept(NamedTuple):
    """Final parameters: of the best k trials, best first, or of all N, by trial."""

    ids: jax.Array  # (k,) int32, N where there is none
    values: jax.Array  # (k,) float
    params: Any  # (k or N, *P)


class Outputs(NamedTuple):
    """What is known of every trial; each leaf has a first axis N."""

    values: jax.Array
    best_values: jax.Array
    steps: jax.Array
    status: jax.Array
    history: jax.Array  # (N, R)


class Carry(NamedTuple):
    """Everything that goes from one segment to the next."""

    trial: Trial
    motion: Motion
    next_id: jax.Array
    segments: jax.Array
    outputs: Outputs
    kept: Kept


class Tally(NamedTuple):
    """What the host reads between calls."""

    finished: jax.Array
    diverged: jax.Array
    best: jax.Array
    busy: jax.Array


def empty(program: Program, operands: Operands) -> Carry:
    """The carry before the first segment: idle lanes, empty buffers; made on the host."""
    b, n = program.lanes, program.trials
    ids = np.zeros(b, np.int32)
    trial, motion = jax.eval_shape(jax.vmap(partial(_begin, program, operands)), ids)
    records = program.steps // program.every + 1 if program.every else 0
    floating = motion.value.dtype
    count = n if program.keep is None else program.keep
    held = jax.tree.map(lambda p: jax.ShapeDtypeStruct((count, *p.shape[1:]), p.dtype), motion.params)
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


def _zeros(x: Any) -> Any:
    if not isinstance(x, jax.ShapeDtypeStruct):
        return x
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), x.shape) if x.shape else jax.random.key(0)
    return np.zeros(x.shape, x.dtype)


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def advance(program: Program, operands: Operands, carry: Carry, segments: jax.Array) -> tuple[Carry, Tally]:
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
    step = jax.vmap(partial(_step, program, operands), in_axes=(0, 0))

    def body(motion: Motion, _: None) -> tuple[Motion, Any]:
        motion, value = step(trial, motion)
        return motion, value if program.every else None

    motion, values = jax.lax.scan(
        body, before, None, length=program.segment, unroll=program.unroll
    )
    carry = carry._replace(motion=motion, segments=carry.segments + 1)
    return _write(program, carry, before, values)


def _refill(program: Program, operands: Operands, carry: Carry) -> Carry:
    """Hand the next ids of the queue to the idle lanes, in the order of the lanes."""
    idle = carry.motion.status != _RUNNING
    waiting = program.trials - carry.next_id

    def refilled(carry: Carry) -> tuple[Trial, Motion]:
        place = jnp.cumsum(idle, dtype=jnp.int32) - 1
        fresh = idle & (place < waiting)
        trial, motion = jax.vmap(partial(_begin, program, operands))(carry.next_id + place)
        return jax.tree.map(partial(_pick, fresh), (trial, motion), (carry.trial, carry.motion))

    trial, motion = jax.lax.cond(
        jnp.any(idle) & (waiting > 0), refilled, lambda c: (c.trial, c.motion), carry
    )
    taken = jnp.minimum(jnp.sum(idle, dtype=jnp.int32), waiting)
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


def _step(program: Program, operands: Operands, trial: Trial, motion: Motion) -> tuple[Motion, jax.Array]:
    """Evaluate one lane at its point; stop there, or take the step."""
    optimizer, args, stop = settings(operands, trial)
    key = jax.random.fold_in(jax.random.fold_in(trial.key, 1), motion.step)
    inputs = loss_inputs(program, operands.data, operands.order, args, trial.seed, motion.step, key)

    def value_fn(params: Any) -> Any:
        out = program.loss(params, *inputs)
        return out[0] if program.has_aux else out

    loss, grads = jax.value_and_grad(value_fn)(motion.params)
    updates, state = optimizer.update(
        grads, motion.state, motion.params,
        value=loss, grad=grads, value_fn=value_fn, key=jax.random.fold_in(key, 1),
    )  # fmt: skip
    value = loss.astype(motion.value.dtype)
    code, stop_state = stop.test(Seen(value, grads, updates, motion.step), motion.stop_state)
    spent = jnp.isfinite(value)
    spent = jnp.where(spent, Status.MAX_STEPS.code, Status.DIVERGED.code).astype(jnp.int8)
    code = jnp.where((code == 0) & (motion.step >= program.steps), spent, code)

    running = motion.status == _RUNNING
    go = running & (code == 0)
    improved = running & jnp.isfinite(value) & ~(value >= motion.best_value)
    pick = partial(jax.tree.map, partial(_pick, go))
    moved = Motion(
        params=pick(apply_updates(motion.params, updates), motion.params),
        state=pick(state, motion.state),
        stop_state=pick(stop_state, motion.stop_state),
        step=motion.step + go.astype(jnp.int32),
        value=jnp.where(running, value, motion.value),
        best_value=jnp.where(improved, value, motion.best_value),
        status=jnp.where(running, code, motion.status),
    )
    return moved, jnp.where(running, value, jnp.nan)


def loss_inputs(
    program: Program, data: Any, order: Any, args: Any, seed: Any, step: Any, key: Any
) -> tuple[Any, ...]:
    """What the loss takes after the parameters: batch, args, key, as far as asked for."""
    batch = () if data is None else (take(data, order, seed, step),)
    return (*batch, *(() if args is None else (args,)), *((key,) if program.stochastic else ()))


def _write(program: Program, carry: Carry, before: Motion, values: Any) -> Carry:
    """Write the segment to the buffers; lanes without a trial write nowhere."""
    n, motion, outputs = program.trials, carry.motion, carry.outputs
    ids = jnp.where(before.status == _RUNNING, carry.trial.id, n)
    history = outputs.history
    if program.every:
        # Lane b evaluated steps before.step[b] + j; every E-th of them is recorded.
        offsets = jnp.arange(-(-program.segment // program.every), dtype=jnp.int32) * program.every
        j = (-before.step % program.every)[:, None] + offsets[None, :]
        column = (before.step[:, None] + j) // program.every
        inside = j < program.segment
        picked = jnp.take_along_axis(values.T, jnp.minimum(j, program.segment - 1), axis=1)
        column = jnp.where(inside, column, history.shape[1])
        history = history.at[ids[:, None], column].set(picked, mode="drop")
    outputs = Outputs(
        values=outputs.values.at[ids].set(motion.value, mode="drop"),
        best_values=outputs.best_values.at[ids].set(motion.best_value, mode="drop"),
        steps=outputs.steps.at[ids].set(motion.step, mode="drop"),
        status=outputs.status.at[ids].set(motion.status, mode="drop"),
        history=history,
    )
    ended = (motion.status != _RUNNING) & (ids < n)
    kept = carry.kept
    if program.keep != 0:
        kept = jax.lax.cond(
            jnp.any(ended), partial(_keep, program), lambda kept, *_: kept, kept, motion, ids, ended
        )
    return carry._replace(outputs=outputs, kept=kept)


def _keep(program: Program, kept: Kept, motion: Motion, ids: jax.Array, ended: jax.Array) -> Kept:
    """Store the parameters of trials that ended: all of them, or the best k so far."""
    if program.keep is None:
        place = jnp.where(ended, ids, program.trials)
        put = partial(jax.tree.map, lambda old, new: old.at[place].set(new, mode="drop"))
        return kept._replace(params=put(kept.params, motion.params))
    ranked = ended & (motion.status != Status.DIVERGED.code) & jnp.isfinite(motion.value)
    values = jnp.concatenate([kept.values, jnp.where(ranked, motion.value, jnp.inf)])
    ids = jnp.concatenate([kept.ids, jnp.where(ranked, ids, program.trials)])
    place = jnp.arange(values.shape[0], dtype=jnp.int32)
    # Ties go to the lower id, so that no lane's place in the batch decides.
    values, ids, place = (x[: program.keep] for x in jax.lax.sort((values, ids, place), num_keys=2))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b])[place], kept.params, motion.params)
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
