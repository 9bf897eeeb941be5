"""The queue of trials: which ids still wait, and how many a worker takes at a time."""

from collections.abc import Iterable
from threading import Lock

import numpy as np


def ranges(waiting: np.ndarray, first: int) -> list[tuple[int, int]]:
    """The runs of true in an array that tells of the ids from ``first`` on.

    >>> ranges(np.array([True, True, False, True]), 10)
    [(10, 12), (13, 14)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], waiting.astype(np.int8), [0]]))) + first
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


class Queue:
    """Ranges of trial ids, handed out from the front, by several threads at once.

    >>> queue = Queue([(0, 10)], width=2, workers=2, whole=False)
    >>> queue.take(), queue.take(), queue.waiting
    ((0, 3), (3, 5), 5)
    """

    def __init__(
        self, ranges: Iterable[tuple[int, int]], *, width: int, workers: int, whole: bool
    ) -> None:
        self._ranges = [r for r in ranges if r[0] < r[1]]
        self._width, self._workers, self._whole = width, workers, whole
        self._lock = Lock()

    @property
    def waiting(self) -> int:
        """How many ids nobody has taken yet."""
        return sum(end - start for start, end in self._ranges)

    def take(self) -> tuple[int, int] | None:
        """The next ids, from a start up to an end, or ``None`` when there are none.

        A worker gets half of its share of what waits: few large helpings first, small
        ones at the end, so that all workers finish together. Lanes in step can use only
        ``whole`` widths.
        """
        with self._lock:
            if not self._ranges:
                return None
            waiting, width = self.waiting, self._width
            if self._whole:
                count = max(1, waiting // (2 * self._workers * width)) * width
            else:
                count = max(
                    -(-waiting // (2 * self._workers)), min(width, -(-waiting // self._workers))
                )
            start, end = self._ranges[0]
            middle = min(start + count, end)
            self._ranges[:1] = [(middle, end)] if middle < end else []
            return start, middle

    def give_back(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Put ids back to the front."""
        with self._lock:
            self._ranges[:0] = [r for r in ranges if r[0] < r[1]]
