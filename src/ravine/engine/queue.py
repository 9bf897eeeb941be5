"""The queue of trials: which ids still wait, and how many a worker takes at a time."""

from collections.abc import Callable
from threading import Lock

import numpy as np


class Queue:
    """Trial ids, handed out from the front, by several threads at once.

    Where ``forecast`` tells how long trials will take, the longest come first: begun last,
    they would keep few lanes busy for long.

    >>> queue = Queue(range(10), width=2, workers=2, most=8, whole=False)
    >>> queue.take(), queue.take(), queue.waiting
    (array([0, 1, 2], dtype=int32), array([3, 4], dtype=int32), 5)
    """

    def __init__(
        self,
        ids: range | np.ndarray,
        *,
        width: int,
        workers: int,
        most: int,
        whole: bool,
        forecast: Callable[[np.ndarray], np.ndarray | None] | None = None,
    ) -> None:
        self._ids = np.asarray(ids, np.int32)
        self._width, self._workers, self._most, self._whole = width, workers, most, whole
        self._forecast = None if whole else forecast
        self._lock = Lock()

    @property
    def waiting(self) -> int:
        """How many ids nobody has taken yet."""
        return len(self._ids)

    def take(self) -> np.ndarray | None:
        """The next ids, or ``None`` when there are none.

        A worker gets half of its share of what waits: few large helpings first, small
        ones at the end, so that all workers finish together; but not so small that fetching
        them takes longer than they do. One worker, without a forecast, gets all at once, and
        lanes in step can use only ``whole`` widths.
        """
        with self._lock:
            if not len(self._ids):
                return None
            count = self._count()
            taken, self._ids = self._ids[:count], self._ids[count:]
            return taken

    def _count(self) -> int:
        waiting, width, half = len(self._ids), self._width, 2 * self._workers
        if self._whole:
            return min(max(1, waiting // (half * width)), max(1, self._most // width)) * width
        least = min(width, max(-(-waiting // self._workers), -(-width // 4)))
        if self._forecast is None:
            alone = self._workers == 1
            return min(waiting if alone else max(-(-waiting // half), least), self._most)
        lengths = self._forecast(self._ids)
        if lengths is None:  # nothing is known yet: ask again soon
            return min(2 * width, max(-(-waiting // half), least), self._most)
        order = np.argsort(-lengths, kind="stable")
        self._ids, work = self._ids[order], np.cumsum(lengths[order])
        return min(max(int(np.searchsorted(work, work[-1] / half)) + 1, least), self._most)

    def give_back(self, ids: np.ndarray) -> None:
        """Put ids back to the front."""
        with self._lock:
            self._ids = np.concatenate([ids, self._ids]).astype(np.int32)
