"""The folder of a sweep: what is finished is never lost, and the same call goes on from there.

For each group of trials a journal holds those that ended, and a file for each worker the
lanes as they stood. Whatever a crash leaves, each trial is either in the journal, or in a
lane that goes on, or begins anew; and a trial's result is the same whichever it is.
"""

from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import jax
import numpy as np

from ravine.engine.journal import Journal, read, whole
from ravine.engine.lanes import Carry
from ravine.engine.readout import Kept, Rows
from ravine.engine.replace import generations, replace
from ravine.engine.status import Status


class Entry(NamedTuple):
    """A record of the journal: trials that ended, the best so far, and segments run for them."""

    rows: Rows
    kept: Kept
    segments: Any


class Store:
    """What one group of trials has on disk. Several workers write to it."""

    def __init__(self, folder: Path, name: str, like: Carry) -> None:
        self._folder, self._name = folder, name
        self._carry = like
        self._entry = Entry(like.finished.rows, like.kept, like.segments)
        self._journal, records = Journal.open(folder / f"{name}.journal")
        self.entries = [_unpack(self._entry, record) for record in records]
        self.problem: str | None = None
        """Why the last attempt to save failed, if it did."""
        self._lock = Lock()

    def lanes(self) -> list[Carry]:
        """The lanes as workers left them."""
        found = []
        for first in sorted(self._folder.glob(f"{self._name}-worker*.lanes*")):
            if first.suffix != ".lanes":
                continue
            for path in generations(first):
                records, _ = read(path)
                if records:
                    found.append(_unpack(self._carry, records[0]))
                    break
            for path in generations(first):
                path.unlink()
        return found

    def save(self, worker: int, rows: Rows, carry: Carry, segments: int) -> bool:
        """Add trials that ended to the journal, and put down how the lanes stand.

        Where the disk is full nothing is lost: ``problem`` says so, and what was to be
        saved has to be given again.
        """
        entry = Entry(rows, carry.kept, np.int32(segments))
        path = self._folder / f"{self._name}-worker{worker}.lanes"
        with self._lock:
            try:
                self._journal.append(_pack(entry))
                if np.any(carry.motion.status == Status.RUNNING.code):
                    replace(path, lambda file: file.write(whole(_pack(carry))))
                else:
                    for old in generations(path):
                        old.unlink()
                self.problem = None
            except OSError as error:
                self.problem = str(error)
            return self.problem is None

    def close(self) -> None:
        """Let another run have the folder."""
        self._journal.close()


def _pack(tree: Any) -> dict[str, np.ndarray]:
    return {str(i): np.asarray(_plain(x)) for i, x in enumerate(jax.tree.leaves(tree))}


def _plain(x: Any) -> Any:
    return jax.random.key_data(x) if _is_key(x) else x


def _unpack(like: Any, arrays: dict[str, np.ndarray]) -> Any:
    leaves, structure = jax.tree.flatten(like)
    found = [arrays[str(i)] for i in range(len(leaves))]
    made = [
        jax.random.wrap_key_data(jax.numpy.asarray(x)) if _is_key(y) else x
        for x, y in zip(found, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, made)


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key)
