"""Workers: threads that each drive a set of lanes, all fed from the same queues.

One worker an accelerator, several on a CPU, where a program of small steps keeps about
one core busy. A worker takes up a program that nobody runs yet, or helps with the one of
which most is left; so all are busy until the last queue is empty.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from threading import Condition, Event
from time import perf_counter
from typing import Any

import jax
import numpy as np

from ravine.core.numerics import same_precision
from ravine.engine.batches import Data
from ravine.engine.checkpoint import Store
from ravine.engine.executable import Executable, executable
from ravine.engine.lane import RUNNING
from ravine.engine.lanes import Carry, empty
from ravine.engine.ledger import Ledger
from ravine.engine.queue import Queue, ranges
from ravine.engine.readout import Rows
from ravine.engine.stream import Stream
from ravine.engine.trial import Operands, Program

_PERIOD = 0.25
"""Seconds between two looks at a running program."""
_SAVE_PERIOD = 10.0
"""Seconds between two checkpoints; more if 19 times what one costs is more."""


class Group:
    """Trials that share a program: their queue, their ledger, and an executable a device."""

    def __init__(
        self,
        program: Program,
        operands: Operands,
        ids: range,
        workers: int,
        store: Store | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.program, self.operands = program, operands
        self.store, self.stream, self._workers = store, stream, workers
        self.ledger = Ledger(program, ids, empty(program, operands))
        self.executables: dict[jax.Device, Executable] = {}
        self.started = False
        self.compile_seconds = 0.0
        self.left: list[Carry] = []
        """Lanes that an earlier run left, with trials in them, for a worker to go on with."""
        if store is not None:
            for entry in store.entries:
                self.ledger.restore(entry.rows, entry.kept, int(entry.segments))
            store.entries.clear()
            self.left = store.lanes()[:workers]
        self._queue_up()

    def _queue_up(self) -> None:
        """Let all wait that have not ended and stand in no lane."""
        first = int(self.ledger.rows.ids[0])
        waiting = self.ledger.waiting
        for carry in self.left:
            running = carry.trial.id[carry.motion.status == RUNNING] - first
            waiting[running[running < len(waiting)]] = False
        self.queue = Queue(
            ranges(waiting, first),
            width=self.program.lanes, workers=self._workers, whole=self.program.in_step,
        )  # fmt: skip

    def halve(self) -> None:
        """Go on in half as many lanes."""
        lanes = self.program.lanes // 2
        self.program = replace(self.program, lanes=lanes, room=max(lanes, self.program.room // 2))
        self.executables, self.left, self.started = {}, [], False
        self.ledger.program = self.program
        self._queue_up()

    @property
    def open(self) -> bool:
        """Whether there is something that no worker has taken up."""
        return bool(self.queue.waiting or self.left)


class Crew:
    """What the workers share: the groups, and whether to go on."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.stop = Event()
        self._changed = Condition()

    def ready(self, group: Group, device: jax.Device, made: Executable) -> None:
        """Say that a group can be run on a device."""
        with self._changed:
            group.executables[device] = made
            self._changed.notify_all()

    def claim(self, device: jax.Device) -> Group | None:
        """The group to work on next, ``None`` at the end; waits while one is being prepared."""
        with self._changed:
            while not self.stop.is_set():
                waiting = [g for g in self.groups if g.open]
                if not waiting:
                    return None
                able = [g for g in waiting if device in g.executables]
                fresh = [g for g in able if not g.started]
                if fresh or len(able) == len(waiting):
                    chosen = fresh[0] if fresh else max(able, key=lambda g: g.queue.waiting)
                    chosen.started = True
                    return chosen
                self._changed.wait(0.1)
        return None


def places(workers: int | None) -> list[jax.Device]:
    """The device of each worker: every accelerator once, or the CPU once for each core."""
    default = jax.config.jax_default_device  # type: ignore[attr-defined]
    if isinstance(default, str):
        found = jax.local_devices(backend=default)
    else:
        found = jax.local_devices() if default is None else [default]
    if workers is None:
        workers = cores() if found[0].platform == "cpu" else len(found)
    return [found[i % len(found)] for i in range(workers)]


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(groups: Sequence[Group], devices: Sequence[jax.Device], show: Callable[[], None]) -> bool:
    """Run all groups with a worker on each of the devices; return whether all trials ended.

    Ctrl-C ends the run early; what there is by then is in the groups' ledgers. Where the
    lanes do not fit into memory, those that have not ended begin anew in half as many.
    """
    while True:
        try:
            return _run(groups, devices, show)
        except jax.errors.JaxRuntimeError as error:
            wide = [g for g in groups if g.ledger.waiting.any() and g.program.lanes > 1]
            if "RESOURCE_EXHAUSTED" not in str(error) or not wide:
                raise
            for group in wide:
                group.halve()


def _run(groups: Sequence[Group], devices: Sequence[jax.Device], show: Callable[[], None]) -> bool:
    crew, complete = Crew(groups), True
    pool = ThreadPoolExecutor(len(devices), thread_name_prefix="ravine")
    futures = []
    try:
        # Settings made by a context manager hold for one thread only.
        for i, device in enumerate(devices):
            futures.append(pool.submit(_work, crew, i, device, same_precision()))
        for group in groups:
            for device in dict.fromkeys(devices):
                began = perf_counter()
                made = executable(group.program, group.operands, device)
                group.compile_seconds += perf_counter() - began
                crew.ready(group, device, made)
        while wait(futures, timeout=_PERIOD, return_when=FIRST_EXCEPTION).not_done:
            show()
            if crew.stop.is_set():
                break
        show()
    except KeyboardInterrupt:
        complete = False
    finally:
        crew.stop.set()
        pool.shutdown(wait=True)
    for future in futures:
        future.result()
    return complete


def _work(
    crew: Crew, worker: int, device: jax.Device, precision: AbstractContextManager[Any]
) -> None:
    try:
        with precision:
            while (group := crew.claim(device)) is not None:
                _drive(crew.stop, group, worker, device)
    except BaseException:
        crew.stop.set()
        raise


def _drive(stop: Event, group: Group, worker: int, device: jax.Device) -> None:
    """Advance a set of lanes until the group's queue is empty and the lanes are idle."""
    advance, seconds = group.executables[device].get()
    group.compile_seconds += seconds
    try:
        carry = group.left.pop()
    except IndexError:
        carry = empty(group.program, group.operands)
    done = saved = int(carry.segments)
    operands, carry = jax.device_put((group.operands, carry), device)
    next_id = end_id = 0
    carry = carry._replace(next_id=np.int32(0), end_id=np.int32(0))
    segments, busy, running, first = 1, True, False, done
    chunks: Iterator[Any] = iter(())
    unsaved: list[Rows] = []
    clock, cost = perf_counter(), 0.0
    while not stop.is_set():
        if next_id == end_id and (grant := group.queue.take()) is not None:
            next_id, end_id = grant
            carry = carry._replace(next_id=np.int32(next_id), end_id=np.int32(end_id))
        elif not busy:
            break
        if group.stream is not None:
            if not running:
                chunks = group.stream.chunks(group.program.segment, group.program.steps + 1)
            data = jax.device_put(next(chunks), device)
            operands, segments = operands._replace(data=Data(data, None)), 1
        began, before = perf_counter(), done
        more = np.bool_(group.queue.waiting > 0)
        carry, pending = advance(operands, carry, np.int32(segments), more)
        count, next_id, done, running, busy = (x.item() for x in jax.device_get(pending))
        if count:
            rows = jax.tree.map(partial(_first, count), carry.finished.rows)
            group.ledger.add(rows, worker)
            carry = carry._replace(finished=carry.finished._replace(count=np.int32(0)))
            if group.store is not None:
                unsaved.append(rows)
        if done - before == segments:
            growth = _PERIOD / max(perf_counter() - began, 1e-6)
            segments = int(np.clip(segments * min(growth, 8.0), 1, 2**20))
        if group.store is not None and perf_counter() - clock > max(_SAVE_PERIOD, 19 * cost):
            clock = perf_counter()
            if group.store.save(
                worker, _joined(carry, unsaved), jax.device_get(carry), done - saved
            ):
                unsaved, saved = [], done
            cost = perf_counter() - clock
    carry = jax.device_get(carry)
    group.ledger.close(carry, worker, done - first)
    if group.store is not None:
        group.store.save(worker, _joined(carry, unsaved), carry, done - saved)


def _joined(carry: Carry, rows: list[Rows]) -> Rows:
    none = jax.tree.map(partial(_first, 0), carry.finished.rows)
    return jax.tree.map(lambda *xs: np.concatenate(xs), none, *rows)


def _first(n: int, x: jax.Array) -> np.ndarray:
    return np.asarray(x)[:n].copy()  # the array itself is given away in the next call
