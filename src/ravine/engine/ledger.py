"""The host's book of a group of trials: an array a quantity, a row a trial."""

from threading import Lock
from typing import Any

import jax
import numpy as np

from ravine.engine.lane import RUNNING
from ravine.engine.lanes import Carry
from ravine.engine.readout import Kept, Rows
from ravine.engine.status import Status
from ravine.engine.trial import Program


class Ledger:
    """What is known of every trial so far. Several workers write to it.

    ``rows`` has a row a trial, in the order of the ids, which follow each other: NaN and
    status running where a trial has not begun.
    """

    def __init__(self, program: Program, ids: range, shapes: Carry) -> None:
        def blank(x: Any) -> np.ndarray:
            fill = np.nan if np.issubdtype(x.dtype, np.floating) else 0
            return np.full((len(ids), *x.shape[1:]), fill, x.dtype)

        self.rows: Rows = jax.tree.map(blank, shapes.finished.rows)
        self.rows.ids[:] = ids
        self.rows.status[:] = RUNNING
        for nowhere in (self.rows.lane, self.rows.begun, self.rows.until):
            nowhere[:] = -1
        self.workers = np.full(len(ids), -1, np.int32)
        """By which worker a trial was run; -1 if it has not begun."""
        self.executed = 0
        """Lane-steps that were run, with a trial in the lane or without."""
        self.finished = self.diverged = 0
        self.best = np.inf
        self._kept = [shapes.kept]
        self.program, self._first = program, ids.start
        self._lock = Lock()

    def add(self, rows: Rows, worker: int) -> None:
        """Write down trials that have ended."""
        diverged = rows.status == Status.DIVERGED.code
        score = rows.score(self.program)
        good = score[~diverged & np.isfinite(score)]
        with self._lock:
            # After a crash a trial may be run once more, to the same end.
            new = self.waiting[rows.ids - self._first]
            self.finished += int(np.sum(new))
            self.diverged += int(np.sum(new & diverged))
            self._put(rows, worker)
            self.best = min(self.best, float(np.min(good, initial=np.inf)))

    def restore(self, rows: Rows, kept: Kept, executed: int) -> None:
        """Write down what an earlier run had found out, as far as it is asked for."""
        end = self._first + len(self.rows.ids)
        self.add(jax.tree.map(lambda x: x[rows.ids < end], rows), -1)
        with self._lock:
            held = kept.ids < end
            self._kept.append(Kept(*jax.tree.map(lambda x: x[held], kept)))
            self.executed += executed * self.program.lanes

    def close(self, carry: Carry, busy: bool, worker: int, executed: int) -> None:
        """Write down what a worker leaves: what it kept, and what its lanes are busy with."""
        kept = jax.device_get(carry.kept)
        if busy:
            carry = jax.device_get(carry)
            running = carry.motion.status == RUNNING
            left = Rows.of(self.program, carry.trial, carry.motion, carry.segments - 1)
        with self._lock:
            if busy:
                self._put(jax.tree.map(lambda x: x[running], left), worker)
            self._kept.append(kept)
            self.executed += executed * self.program.lanes

    @property
    def waiting(self) -> np.ndarray:
        """Whether a trial has not ended, (N,)."""
        return self.rows.status == RUNNING

    def _put(self, rows: Rows, worker: int) -> None:
        place = rows.ids - self._first

        def put(old: np.ndarray, new: np.ndarray) -> None:
            old[place] = new

        jax.tree.map(put, self.rows, rows)
        self.workers[place] = worker

    @property
    def held(self) -> Kept:
        """Whose final parameters are held: of the best trials, best first, or of all."""
        if self.program.keep is None:
            ended = ~self.waiting
            return Kept(
                self.rows.ids[ended],
                self.rows.score(self.program)[ended],
                jax.tree.map(lambda x: x[ended], self.rows.params),
            )
        joined = jax.tree.map(lambda *xs: np.concatenate(xs), *self._kept)
        order = np.lexsort((joined.ids, joined.values))
        order = order[np.isfinite(joined.values[order])]
        _, once = np.unique(joined.ids[order], return_index=True)
        order = order[np.sort(once)][: self.program.keep]
        return Kept(*jax.tree.map(lambda x: x[order], joined))
