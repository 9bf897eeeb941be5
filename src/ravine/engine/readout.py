"""What a lane leaves behind when its trial ends: a record, and its parameters if they are kept.

Axis letters: B lanes, C records of the buffer, k trials kept, R records of a history, P a
parameter's own axes.
"""

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.lane import History, Motion
from ravine.engine.status import Status
from ravine.engine.trial import Program, Trial

Buffer: TypeAlias = Any
"""A JAX array; before the first call and after the last, a NumPy array."""

NOBODY = np.int32(2**31 - 1)
"""Stands where an id would, and comes behind all of them."""


class Rows(NamedTuple):
    """Trials and how they ended, a row a trial."""

    ids: Buffer  # int32
    numbers: tuple[Buffer, ...]  # the hyperparameters, if they change on the way
    values: Buffer
    best_values: Buffer
    steps: Buffer
    status: Buffer
    metric: Buffer
    lane: Buffer  # int32; which of a worker's lanes, and from which of its segments
    begun: Buffer  # to which, both included
    until: Buffer
    history: History  # (C, R), (C, M)
    params: Any  # (C, *P) if the parameters of all trials are kept, else None

    @classmethod
    def of(cls, program: Program, trial: Trial, motion: Motion, segment: Any) -> "Rows":
        """What is written down of each lane, at the end of a segment."""
        lane = np.arange(program.lanes, dtype=np.int32)
        until = np.zeros(program.lanes, np.int32) + segment
        params = motion.params if program.keep is None else None
        numbers = trial.numbers if program.prune is not None and program.prune.together else ()
        return cls(
            trial.id, numbers, motion.value, motion.best_value, motion.step, motion.status,
            motion.metric, lane, motion.begun, until, motion.history, params,
        )  # fmt: skip

    def score(self, program: Program) -> Buffer:
        """What trials are ranked by: the metric if there is one, else the loss."""
        return self.values if program.metric is None else self.metric


class Finished(NamedTuple):
    """The trials that ended since the host last looked; the first ``count`` rows hold."""

    count: Buffer
    rows: Rows

    @classmethod
    def shapes(cls, program: Program, trial: Trial, motion: Motion) -> "Finished":
        """The buffer's shapes, from those of the lanes."""
        rows = jax.tree.map(partial(_rows, program.room), Rows.of(program, trial, motion, 0))
        return cls(jax.ShapeDtypeStruct((), jnp.int32), rows)


class Kept(NamedTuple):
    """Final parameters of the best k trials, best first."""

    ids: Buffer  # (k,) int32, NOBODY where there is none
    values: Buffer  # (k,) float
    params: Any  # (k, *P)

    @classmethod
    def shapes(cls, program: Program, motion: Motion) -> "Kept":
        """The shapes of k places, from those of the lanes; no place where all are kept."""
        rows = partial(_rows, program.keep or 0)
        ids = jax.ShapeDtypeStruct((program.keep or 0,), jnp.int32)
        return cls(ids, rows(motion.value), jax.tree.map(rows, motion.params))

    @classmethod
    def none(cls, zeros: "Kept") -> "Kept":
        """All places free."""
        return cls(np.full_like(zeros.ids, NOBODY), np.full_like(zeros.values, np.inf), zeros[2])


def _rows(n: int, lanes: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((n, *lanes.shape[1:]), lanes.dtype)


def write(
    program: Program,
    finished: Finished,
    trial: Trial,
    motion: Motion,
    ended: jax.Array,
    segment: jax.Array,
) -> Finished:
    """Append the lanes that ended, in the order of the lanes."""

    def appended(finished: Finished) -> Finished:
        count = finished.count + jnp.cumsum(ended, dtype=jnp.int32)
        place = jnp.where(ended, count - 1, program.room)
        put = partial(jax.tree.map, lambda old, row: old.at[place].set(row, mode="drop"))
        return Finished(count[-1], put(finished.rows, Rows.of(program, trial, motion, segment)))

    return jax.lax.cond(jnp.any(ended), appended, lambda f: f, finished)


def keep(program: Program, kept: Kept, ids: jax.Array, motion: Motion, ended: jax.Array) -> Kept:
    """Store the parameters of lanes that ended, if they are among the best k so far."""
    if not program.keep:
        return kept
    score = motion.value if program.metric is None else motion.metric
    ranked = ended & (motion.status != Status.DIVERGED.code) & jnp.isfinite(score)
    values = jnp.where(ranked, score, jnp.inf)
    return jax.lax.cond(
        jnp.any(ranked & (values <= kept.values[-1])),
        _keep_best,
        lambda kept, *_: kept,
        kept, motion.params, jnp.where(ranked, ids, NOBODY), values,
    )  # fmt: skip


def _keep_best(kept: Kept, params: Any, ids: jax.Array, values: jax.Array) -> Kept:
    k = kept.ids.shape[0]
    values = jnp.concatenate([kept.values, values])
    ids = jnp.concatenate([kept.ids, ids])
    place = jnp.arange(values.shape[0], dtype=jnp.int32)
    # Ties go to the lower id, so that no lane's place in the batch decides.
    values, ids, place = (x[:k] for x in jax.lax.sort((values, ids, place), num_keys=2))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b])[place], kept.params, params)
    return Kept(ids, values, joined)
