"""Trials that share a program, and what all workers on them have in common."""

from dataclasses import replace
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.executable import Executable
from ravine.engine.forecast import Forecast
from ravine.engine.lane import RUNNING
from ravine.engine.lanes import Carry, empty
from ravine.engine.ledger import Ledger
from ravine.engine.queue import Queue
from ravine.engine.stream import Stream
from ravine.engine.trial import Operands, Program, numbers
from ravine.spaces.sampling import spaces

if TYPE_CHECKING:
    from ravine.engine.checkpoint import Store


class Group:
    """Trials that share a program: their queue, their ledger, and an executable a device."""

    def __init__(
        self,
        program: Program,
        operands: Operands,
        ids: range,
        workers: int,
        store: "Store | None" = None,
        stream: Stream | None = None,
    ) -> None:
        self.program, self.operands = program, operands
        self.store, self.stream, self._workers = store, stream, workers
        self.blank = empty(program, operands)
        """Idle lanes, for a worker to begin with."""
        self.ledger = Ledger(program, ids, self.blank)
        self.executables: dict[jax.Device, Executable] = {}
        self.started = False
        self.compile_seconds = 0.0
        self.left: list[Carry] = []
        """Lanes that an earlier run left, with trials in them, for a worker to go on with."""
        if store is not None:
            for entry in store.entries:
                self.ledger.restore(entry.rows, entry.kept, int(entry.executed))
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
        program, template = self.program, self.operands.template
        # What is pruned depends on the order, and lanes in step end together.
        free = program.prune is None and not program.in_step and spaces(template)
        self.queue = Queue(
            self.ledger.rows.ids[waiting],
            width=program.lanes, workers=self._workers, most=program.room, whole=program.in_step,
            forecast=Forecast(self.ledger, self._numbers) if free else None,
        )  # fmt: skip

    def _numbers(self) -> tuple[np.ndarray, ...]:
        """The hyperparameters of all trials, an array a space."""
        found = numbers(self.program, self.operands, jnp.asarray(self.ledger.rows.ids))
        return tuple(np.asarray(x) for x in found)

    def halve(self) -> None:
        """Go on in half as many lanes."""
        lanes = self.program.lanes // 2
        self.program = replace(self.program, lanes=lanes, room=max(lanes, self.program.room // 2))
        self.blank = empty(self.program, self.operands)
        self.executables, self.left, self.started = {}, [], False
        self.ledger.program = self.program
        self._queue_up()

    def adopt(self) -> Carry | None:
        """Lanes to go on with, if there are any that no worker has taken."""
        try:
            return self.left.pop()
        except IndexError:
            return None

    @property
    def open(self) -> bool:
        """Whether there is something that no worker has taken up."""
        return bool(self.queue.waiting or self.left)
