"""Which hyperparameters the loss depends on."""

from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.plot.frame import (
    COLOURS,
    hyperparameter,
    is_logarithmic,
    new_axes,
    optimizers_of,
    readable,
)

_ENOUGH = 2000
"""More trials teach the forest hardly more, and take long."""


def importance(
    results: SweepResult, *, values: Any = None, repeats: int = 5, key: int = 0, ax: Any = None
) -> Any:
    """Draw how much of the loss each hyperparameter explains.

    A random forest learns the rank of a trial's loss, the last for all that diverged, from
    its hyperparameters. A bar is how much worse it predicts the trials that it has not seen
    when one column of theirs is shuffled: the loss in R², with its spread over shufflings.
    Two halves of the trials take turns in teaching and testing. Where the R² in the title is
    low, the forest has understood little, and the bars say little.

    Args:
        results: what ``sweep`` returned; some tens of trials or more.
        values: other numbers to explain, an array of shape (N,); ``results.scores`` by default.
        repeats: how often each column is shuffled.
        key: the seed of the forest and the shufflings.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib or scikit-learn is not installed.
        ValueError: if nothing was varied, or fewer than ten trials ended.

    Reference: Breiman, Random forests, 2001, https://doi.org/10.1023/A:1010933404324.
    """
    table = _table(results)
    z = np.asarray(results.scores if values is None else values, float)
    if z.shape != (len(results),):
        raise ValueError(f"values must hold a number a trial, shape ({len(results)},).")
    ended = np.array([str(s) != "running" for s in results.status], bool)
    if not table or ended.sum() < 10:
        what = "nothing was varied" if not table else f"only {int(ended.sum())} trials ended"
        raise ValueError(f"importance needs ten trials that differ, and {what}.")
    diverged = np.array([str(s) == "diverged" for s in results.status], bool)
    ranks = _ranks(np.where(diverged | ~np.isfinite(z), np.inf, z)[ended])
    drops, explained = _shuffled(np.column_stack(list(table.values()))[ended], ranks, repeats, key)
    ax = new_axes(ax)
    mean, deviation = drops.mean(axis=1), drops.std(axis=1)
    order = np.argsort(mean)
    whiskers = {"ecolor": "0.2", "elinewidth": 1.0, "capsize": 3}
    bars = {"height": 0.6, "color": COLOURS[0], "error_kw": whiskers}
    ax.barh(np.arange(order.size), mean[order], xerr=deviation[order], **bars)
    labels = [readable(k) for k in table]
    ax.set_yticks(np.arange(order.size), [labels[i] for i in order])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.axvline(0, color="0.25", linewidth=0.8)
    ax.set_xlabel("importance: R² lost when it is shuffled")
    ax.set_title(f"forest: R² = {explained:.2f} on trials not seen", fontsize="medium")
    return ax


def _table(results: SweepResult) -> dict[str, np.ndarray]:
    """What was varied, a column each, logarithms where the scale is one; and the optimizer."""
    varied: dict[str, np.ndarray] = {}
    for name in results.hyperparameters:
        column = hyperparameter(results, name)
        if np.unique(column[np.isfinite(column)]).size > 1:
            varied[name] = np.log(column) if is_logarithmic(column) else column
    labels = optimizers_of(results)
    if len(labels) > 1:
        varied["optimizer"] = np.array([labels.index(str(n)) for n in results.names], float)
    return varied


def _ranks(z: np.ndarray) -> np.ndarray:
    """The rank of each number, between 0 and 1; equal ones share the middle of theirs."""
    _, inverse, count = np.unique(z, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return ((last - (count - 1) / 2)[inverse] - 0.5) / z.size


def _shuffled(x: np.ndarray, y: np.ndarray, repeats: int, key: int) -> tuple[np.ndarray, float]:
    """What R² loses by each shuffling, (columns, shufflings), and the R² itself."""
    try:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.inspection import permutation_importance
    except ImportError as error:
        told = 'importance needs scikit-learn: pip install "ravine[importance]".'
        raise ImportError(told) from error
    order = np.random.default_rng(key).permutation(y.size)[:_ENOUGH]
    halves = order[::2], order[1::2]
    drops, explained = [], []
    for seen, unseen in (halves, halves[::-1]):
        forest = RandomForestRegressor(60, min_samples_leaf=2, random_state=key)
        forest.fit(x[seen], y[seen])
        explained.append(forest.score(x[unseen], y[unseen]))
        told = permutation_importance(
            forest, x[unseen], y[unseen], n_repeats=repeats, random_state=key
        )
        drops.append(told.importances)
    return np.concatenate(drops, axis=1), float(np.mean(explained))
