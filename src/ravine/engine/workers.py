"""Workers: threads that each drive a set of lanes, all fed from the same queues.

One worker an accelerator, several on a CPU, where a program of small steps keeps about
one core busy. A worker takes up a program that nobody runs yet, or helps with the one of
which most is left; so all are busy until the last queue is empty.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from threading import Condition, Event
from time import perf_counter
from typing import Any

import jax

from ravine.core.numerics import same_precision
from ravine.engine.drive import PERIOD, Drive
from ravine.engine.executable import Executable, executable
from ravine.engine.group import Group


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
        while wait(futures, timeout=PERIOD, return_when=FIRST_EXCEPTION).not_done:
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
                Drive(group, worker, device).run(crew.stop)
    except BaseException:
        crew.stop.set()
        raise
