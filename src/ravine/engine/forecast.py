"""How long a trial will take, guessed from those with similar hyperparameters that have ended."""

from collections.abc import Callable

import numpy as np

from ravine.engine.ledger import Ledger

_FEW, _MANY = 32, 2**15
"""How many trials must have ended before a guess; how many may wait for one to be worth it."""
_NEWS = 1.5
"""A guess is made anew when so many times as many trials have ended."""


class Forecast:
    """The steps that waiting trials will take: those of their nearest ended neighbours.

    Near is what is near in the ranks of the hyperparameters, whatever their scales.
    """

    def __init__(self, ledger: Ledger, numbers: Callable[[], tuple[np.ndarray, ...]]) -> None:
        self._ledger, self._numbers = ledger, numbers
        self._first = int(ledger.rows.ids[0])
        self._ranks: np.ndarray | None = None
        self._guesses = np.ones(len(ledger.rows.ids))
        self._known = 0

    def __call__(self, ids: np.ndarray) -> np.ndarray | None:
        """The guessed steps of trials, (N,); ``None`` while nothing can be said of them."""
        ended = np.flatnonzero(~self._ledger.waiting)
        if len(ids) > _MANY or len(ended) < _FEW:
            return None
        place = ids - self._first
        if len(ended) >= _NEWS * self._known:
            self._known = len(ended)
            self._guesses[place] = self._guessed(place, ended[:: -(-len(ended) // _MANY)])
        return self._guesses[place]

    def _guessed(self, waiting: np.ndarray, ended: np.ndarray) -> np.ndarray | float:
        steps = self._ledger.rows.steps[ended] + 1.0
        if steps.max() < 2 * steps.mean():
            # They are much alike: order gains nothing.
            return 1.0
        from scipy.spatial import cKDTree

        if self._ranks is None:
            self._ranks = np.stack([_ranks(x) for x in self._numbers()], axis=1)
        nearest = cKDTree(self._ranks[ended]).query(self._ranks[waiting], k=2)[1]
        return np.asarray(steps[nearest].mean(axis=1))


def _ranks(x: np.ndarray) -> np.ndarray:
    """The places of numbers among the distinct ones, from 0 to 1."""
    distinct, place = np.unique(x, return_inverse=True)
    return place.reshape(-1) / max(len(distinct) - 1, 1)
