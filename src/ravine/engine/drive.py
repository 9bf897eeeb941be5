"""One worker's set of lanes: what the host does between two calls of the compiled program."""

from collections.abc import Iterator
from functools import partial
from threading import Event
from time import perf_counter
from typing import Any

import jax
import numpy as np

from ravine.engine.batches import Data
from ravine.engine.group import Group
from ravine.engine.readout import Rows

PERIOD = 0.25
"""Seconds between two looks at a running program."""
SAVE_PERIOD = 10.0
"""Seconds between two checkpoints; more if 19 times what one costs is more."""


class Drive:
    """Lanes on a device, kept going until the group's queue is empty and they are idle."""

    def __init__(self, group: Group, worker: int, device: jax.Device) -> None:
        self._group, self._worker, self._device = group, worker, device
        self._executable = group.executables[device]
        self._program, seconds = self._executable.get()
        group.compile_seconds += seconds
        carry = group.adopt() or group.blank
        self._done, self._clock = int(carry.segments), int(carry.executed)
        self._executed = self._saved = 0
        self._operands = jax.tree.map(partial(_placed, device), group.operands)
        # What lies on the host is copied in the first call, the rest here: it will be given away.
        carry = jax.tree.map(
            lambda x: jax.device_put(x, device, may_alias=False) if isinstance(x, jax.Array) else x,
            carry,
        )
        self._carry = carry._replace(next=np.int32(0), end=np.int32(0))
        self._next = self._end = 0
        self._busy, self._running = True, False
        self._segments = self._in_a_period()
        self._chunks: Iterator[Any] = iter(())
        self._unsaved: list[Rows] = []
        self._save_at, self._save_cost = perf_counter(), 0.0

    def run(self, stop: Event) -> None:
        """Go on until there is nothing left to do, or ``stop`` is set; then write down the rest."""
        while not stop.is_set() and (self._take() or self._busy):
            self._feed()
            self._advance()
            wait = max(SAVE_PERIOD, 19 * self._save_cost)
            if perf_counter() - self._save_at > wait:
                self._save()
        self._group.ledger.close(self._carry, self._busy, self._worker, self._executed)
        self._save()

    def _take(self) -> bool:
        """Take ids from the queue, if those taken before are used up; whether there were any."""
        if self._next < self._end or (ids := self._group.queue.take()) is None:
            return False
        self._next, self._end = 0, len(ids)
        queue = np.zeros(self._group.program.room, np.int32)
        queue[: len(ids)] = ids
        self._carry = self._carry._replace(queue=queue, next=np.int32(0), end=np.int32(len(ids)))
        return True

    def _feed(self) -> None:
        """Hand the next batches of a stream to the lanes: from its start, if they all begin."""
        stream, program = self._group.stream, self._group.program
        if stream is None:
            return
        if not self._running:
            self._chunks = stream.chunks(program.segment, program.steps + 1)
        data = jax.device_put(next(self._chunks), self._device)
        self._operands, self._segments = self._operands._replace(data=Data(data, None)), 1

    def _advance(self) -> None:
        """Call the program for about a period, and write down what has ended."""
        began, before = perf_counter(), self._done
        more = np.bool_(self._group.queue.waiting > 0)
        self._carry, tally = self._program(
            self._operands, self._carry, np.int32(self._segments), more
        )
        count, self._next, self._done, clock, self._running, self._busy = (
            np.asarray(x).item() for x in tally
        )
        self._executed += (clock - self._clock) % 2**32
        self._clock = clock
        finished = self._carry.finished
        if count:
            rows = jax.tree.map(partial(_head, count), finished.rows)
            self._group.ledger.add(rows, self._worker)
            self._carry = self._carry._replace(finished=finished._replace(count=np.int32(0)))
            if self._group.store is not None:
                self._unsaved.append(rows)
        if self._done - before == self._segments:
            self._executable.pace = max(perf_counter() - began, 1e-6) / self._segments
            self._segments = min(self._in_a_period(), 8 * self._segments)

    def _in_a_period(self) -> int:
        """How many segments to run in one call: as far as is known, as many as take a period."""
        return int(np.clip(PERIOD / self._executable.pace, 1, 2**20))

    def _save(self) -> None:
        """Save what has ended, and the lanes, if there is a place for it."""
        if self._group.store is None:
            return
        began = perf_counter()
        none = jax.tree.map(partial(_head, 0), self._carry.finished.rows)
        rows = jax.tree.map(lambda *xs: np.concatenate(xs), none, *self._unsaved)
        carry, executed = jax.device_get(self._carry), self._executed - self._saved
        if self._group.store.save(self._worker, rows, carry, executed):
            self._unsaved, self._saved = [], self._executed
        self._save_at = perf_counter()
        self._save_cost = self._save_at - began


def _placed(device: jax.Device, x: Any) -> Any:
    """On the device; single numbers are faster given anew in each call than put there."""
    single = isinstance(x, np.ndarray | np.generic) and x.ndim == 0
    there = isinstance(x, jax.Array) and x.devices() == {device}
    return x if single or there else jax.device_put(x, device)


def _head(n: int, x: jax.Array) -> np.ndarray:
    return np.asarray(x)[:n].copy()  # the array itself is given away in the next call
