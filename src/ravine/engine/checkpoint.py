"""The folder of a sweep: what is finished is never lost, and the same call goes on from there.

For each group of trials a journal holds those that ended, and a file for each worker the
lanes as they stood. Whatever a crash leaves, each trial is either in the journal, or in a
lane that goes on, or begins anew; and a trial's result is the same whichever it is.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import jax
import numpy as np

from ravine.engine.identity import check_identity, identity, write_identity
from ravine.engine.journal import Journal, read, whole
from ravine.engine.lane import RUNNING, Motion
from ravine.engine.lanes import Carry, empty
from ravine.engine.plan import Plan
from ravine.engine.readout import Kept, Rows
from ravine.engine.replace import generations, replace
from ravine.engine.status import Status


class Entry(NamedTuple):
    """A record of the journal: trials that ended, the best so far, and steps run for them."""

    rows: Rows
    kept: Kept
    executed: Any


class Store:
    """What one group of trials has on disk. Several workers write to it."""

    def __init__(self, folder: Path, name: str, plan: Plan) -> None:
        self._folder, self._name, self._trials = folder, name, plan.trials
        self._carry = like = empty(plan.program, plan.operands)
        entry = Entry(like.finished.rows, like.kept, np.int64(0))
        self._journal, records = Journal.open(folder / f"{name}.journal")
        self.entries = _complete(plan, [_unpack(entry, record) for record in records])
        self._ended = [entry.rows.ids for entry in self.entries]
        self._running: dict[Path, np.ndarray] = {}
        """The trials in the lanes that this run has saved, by file."""
        self._earlier: dict[Path, np.ndarray] = {}
        """The same of an earlier run: they stay until their trials are safe elsewhere."""
        self._problems: dict[int, str] = {}
        self._lock = Lock()

    @property
    def problem(self) -> str | None:
        """Why a worker could not save when it last tried, if there is one that could not."""
        return next(iter(self._problems.values()), None)

    def lanes(self) -> list[Carry]:
        """The lanes as workers left them, with the trials that go on."""
        found, taken = [], [*self._ended, np.zeros(0, np.int32)]
        names = {p.name for p in self._folder.glob(f"{self._name}-worker*.lanes*")}
        files = {self._folder / f"{name.partition('.')[0]}.lanes" for name in names}
        for path in sorted(files):
            if (carry := self._newest(path)) is None:
                _remove(path)
                continue
            status, ids = np.asarray(carry.motion.status), np.asarray(carry.trial.id)
            on = (status == RUNNING) & ~np.isin(ids, np.concatenate(taken))
            if not np.any(on):
                _remove(path)
                continue
            self._earlier[path] = ids[on]
            on &= ids < self._trials
            if np.any(on):
                taken.append(ids[on])
                idle = np.where(status == RUNNING, Status.MAX_STEPS.code, status)
                status = np.where(on, status, idle).astype(np.int8)
                motion: Motion = carry.motion._replace(status=status)  # type: ignore[arg-type]
                # What was kept is in the journal too.
                found.append(carry._replace(motion=motion, kept=self._carry.kept))
        return found

    def _newest(self, path: Path) -> Carry | None:
        for generation in generations(path):
            with suppress(ValueError):  # damaged
                records, _ = read(generation)
                if records:
                    return _unpack(self._carry, records[0])
        return None

    def save(self, worker: int, rows: Rows, carry: Carry, executed: int) -> bool:
        """Add trials that ended to the journal, and put down how the lanes stand.

        Where the disk is full, ``problem`` says so. Returns whether the trials are in the
        journal; if not, they have to be given again.
        """
        entry = Entry(rows, carry.kept, np.int64(executed))
        path = self._folder / f"{self._name}-worker{worker}.lanes"
        with self._lock:
            added = False
            try:
                self._journal.append(_pack(entry))
                added = True
                self._ended.append(rows.ids)
                self._put(path, carry)
                self._problems.pop(worker, None)
            except OSError as error:
                self._problems[worker] = str(error)
            return added

    def _put(self, path: Path, carry: Carry) -> None:
        """Save lanes in place of what the file held; drop the files that nobody needs now."""
        running = np.asarray(carry.trial.id)[carry.motion.status == RUNNING]
        if running.size:
            replace(path, lambda file: file.write(whole(_pack(carry))))
        else:
            _remove(path)
        self._running[path] = running
        self._earlier.pop(path, None)
        if self._earlier:
            safe = np.concatenate([*self._ended, *self._running.values()])
            for old in [p for p, ids in self._earlier.items() if np.isin(ids, safe).all()]:
                _remove(old)
                del self._earlier[old]

    def close(self) -> None:
        """Let another run have the folder."""
        self._journal.close()


def _complete(plan: Plan, entries: list[Entry]) -> list[Entry]:
    """The entries without the trials whose parameters are asked for now and were not kept."""
    if plan.program.keep is None or not entries:
        return entries
    scores = [e.rows.score(plan.program) for e in entries]
    ids, score, status = (
        np.concatenate(x)
        for x in ([e.rows.ids for e in entries], scores, [e.rows.status for e in entries])
    )
    ranked = (ids < plan.trials) & np.isfinite(score) & (status != Status.DIVERGED.code)
    score, ids = score[ranked], ids[ranked]
    best = list(dict.fromkeys(ids[np.lexsort((ids, score))].tolist()))[: plan.program.keep]
    missing = np.setdiff1d(best, np.concatenate([e.kept.ids for e in entries]))

    def known(rows: Rows) -> Rows:
        return jax.tree.map(lambda x: x[~np.isin(rows.ids, missing)], rows)

    return [e._replace(rows=known(e.rows)) for e in entries] if missing.size else entries


def _remove(path: Path) -> None:
    """Remove all generations, and what a crash left of another."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()


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


@contextmanager
def stores(folder: Any, plans: dict[str, Plan], sampler: str) -> Iterator[dict[str, Store]]:
    """The places on disk of the groups, by optimizer; a warning if saving failed."""
    made: dict[str, Store] = {}
    try:
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise NotADirectoryError(
                f"checkpoint must be a folder, and {str(folder)!r} is a file or lies in one. "
                "Name a folder that is there, or one that is to be made."
            ) from None
        text = check_identity(folder, {name: identity(p, sampler) for name, p in plans.items()})
        for i, (name, p) in enumerate(plans.items()):
            made[name] = Store(folder, f"trials-{i}", p)
        # Only now is it sure that no other run has the folder.
        write_identity(folder, text)
        yield made
    finally:
        for store in made.values():
            store.close()
    for problem in {store.problem for store in made.values()} - {None}:
        warnings.warn(f"the checkpoint is not complete: {problem}", RuntimeWarning, stacklevel=4)
