"""The host's side of the lanes: call the compiled program, watch, come back."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

import jax
import numpy as np

from ravine.engine.lanes import Carry, Tally, advance, empty
from ravine.engine.trial import Operands, Program

_PERIOD = 0.25
"""Seconds between two looks at a running program."""


def run(
    program: Program, operands: Operands, progress: "Progress", compiled: "Future[None]"
) -> tuple[Carry, bool]:
    """Run all trials of one program; return the last carry and whether all have ended.

    Ctrl-C ends the run early and returns what there is, also while it is being compiled.
    """
    carry, segments, calls = empty(program, operands), 1, 0
    tally = Tally(0, 0, np.inf, True)
    try:
        compiled.result()
        while True:
            began = perf_counter()
            carry, pending = advance(program, operands, carry, np.int32(segments))
            tally = jax.device_get(pending)
            progress.show(tally)
            if not tally.busy:
                break
            # The first call compiled; from the second on its time says how far to go next.
            calls += 1
            if calls > 1:
                growth = _PERIOD / max(perf_counter() - began, 1e-6)
                segments = int(np.clip(segments * min(growth, 8.0), 1, 2**20))
    except KeyboardInterrupt:
        if any(x.is_deleted() for x in jax.tree.leaves(carry) if isinstance(x, jax.Array)):
            raise
        progress.interrupted = True
    progress.done(tally)
    return jax.device_get(carry), not progress.interrupted


@contextmanager
def compiling_ahead(groups: Sequence[tuple[Program, Operands]]) -> Iterator[list["Future[None]"]]:
    """Compile the groups in turn on a thread of its own, so that one compiles while another runs.

    Yields a future for each group. What goes wrong there goes wrong again, and is
    reported, when the group runs.
    """
    x64 = _x64()

    def compile(program: Program, operands: Operands) -> None:
        # Settings made by a context manager hold for one thread only: then there is no use.
        if len(groups) > 1 and _x64() == x64:
            with suppress(Exception):
                advance(program, operands, empty(program, operands), np.int32(0))

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ravine-compile")
    try:
        yield [pool.submit(compile, *group) for group in groups]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _x64() -> bool:
    return bool(np.dtype(jax.dtypes.canonicalize_dtype(float)).itemsize == 8)


class Progress:
    """Adds up the tallies of several programs, and shows them on a bar if there is one."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._finished = self._diverged = 0
        self._best = np.inf
        self.interrupted = False

    def show(self, tally: Tally) -> None:
        """Show how far the current program has come."""
        if self._bar is None:
            return
        best = min(self._best, float(tally.best))
        self._bar.n = self._finished + int(tally.finished)
        diverged = self._diverged + int(tally.diverged)
        self._bar.set_postfix_str(f"best {best:.4g}, {diverged} diverged", refresh=False)
        self._bar.refresh()

    def done(self, tally: Tally) -> None:
        """Count the current program's trials in for good."""
        self._finished += int(tally.finished)
        self._diverged += int(tally.diverged)
        self._best = min(self._best, float(tally.best))


@contextmanager
def watching(trials: int, show: bool, title: str) -> Iterator[Progress]:
    """A progress bar over ``trials`` trials while the block runs, or none."""
    if not show:
        yield Progress(None)
        return
    from tqdm.auto import tqdm

    with tqdm(total=trials, desc=title, unit=" trials", mininterval=0, dynamic_ncols=True) as bar:
        yield Progress(bar)
