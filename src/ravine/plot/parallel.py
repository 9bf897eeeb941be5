"""Parallel coordinates: a trial is a line through all its hyperparameters."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.plot.frame import (
    hyperparameter,
    new_axes,
    norm_of,
    optimizers_of,
    ravine_colours,
    readable,
    spread,
    window,
)


def parallel_coordinates(
    results: SweepResult,
    names: Sequence[str] | None = None,
    *,
    name: str | None = None,
    most: int = 300,
    ax: Any = None,
) -> Any:
    """Draw every trial as a line through its hyperparameters, which ends at its loss.

    The better a trial, the darker its line and the nearer to the front; the ten best are
    drawn thick. Trials that diverged are grey, dotted, and end above the last axis.

    Args:
        results: what ``sweep`` returned.
        names: the hyperparameters, from left to right; by default all that vary.
        name: draw the trials of this optimizer only, which is needed where there are several.
        most: draw at most so many trials: the best, and others spread evenly over the losses.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no such hyperparameter or optimizer, or more than one of these.
    """
    labels = optimizers_of(results)
    if name is None and len(labels) > 1:
        raise ValueError(f"name one of the optimizers: name={labels[0]!r}; there are {labels}.")
    if name is not None and name not in labels:
        raise ValueError(f"there is no optimizer {name!r}; there are {labels}.")
    chosen = list(results.swept[labels[0] if name is None else name] if names is None else names)
    columns = {key: hyperparameter(results, key) for key in chosen}
    drawn = np.array([str(s) != "running" for s in results.status], bool)
    drawn &= np.all([np.isfinite(c) for c in columns.values()] or [drawn], axis=0)
    if name is not None:
        drawn &= results.names == name
    if names is None:
        columns = {k: c for k, c in columns.items() if np.unique(c[drawn]).size > 1}
    ax = new_axes(ax)
    from matplotlib.collections import LineCollection

    scores = np.asarray(results.scores, float)
    diverged = np.array([str(s) == "diverged" for s in results.status], bool) | ~np.isfinite(scores)
    view = window(scores[drawn & ~diverged])
    norms = [norm_of(c[drawn]) for c in columns.values()]
    norms.append(norm_of(np.array([view.low, view.high])) if view.logarithmic else _linear(view))
    ids = spread(np.flatnonzero(drawn), np.where(diverged, np.inf, scores), scores, most)
    heights = [norm(c[ids]) for norm, c in zip(norms, columns.values(), strict=False)]
    heights.append(np.where(diverged[ids], 1.08, np.clip(norms[-1](scores[ids]), 0, 1.03)))
    lines = np.stack([np.broadcast_to(np.arange(len(norms)), (ids.size, len(norms))),
                      np.stack(heights, axis=1)], axis=2)  # fmt: skip
    bad = diverged[ids]
    shade = ravine_colours()(np.linspace(1, 0, max(int((~bad).sum()), 1)))
    pale = float(np.clip(60 / max(ids.size, 1), 0.2, 0.8))
    kept = {"rasterized": ids.size > 100}
    dotted: dict[str, Any] = {"colors": "0.6", "linestyles": ":", "linewidths": 0.6, "alpha": pale}
    ax.add_collection(LineCollection(list(lines[bad]), **dotted, **kept))
    good = lines[~bad]
    front: dict[str, Any] = {"colors": shade[-10:], "linewidths": 1.4, "zorder": 3}
    behind: dict[str, Any] = {"colors": shade[: len(good[:-10])], "linewidths": 0.8, "alpha": pale}
    ax.add_collection(LineCollection(list(good[:-10]), **behind, **kept))
    ax.add_collection(LineCollection(list(good[-10:]), **front))
    score = "final loss" if results.metrics is None else "metric"
    _axes(ax, [*map(readable, columns), score], norms)
    if bad.any():
        ax.text(len(norms) - 1, 1.09, "diverged", ha="center", va="bottom", fontsize="small")
    return ax


def _linear(view: Any) -> Any:
    from matplotlib.colors import Normalize

    return Normalize(view.low, view.high)


def _axes(ax: Any, labels: list[str], norms: list[Any]) -> None:
    """An upright axis for each column, with the numbers beside it."""
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, MaxNLocator

    ax.set_xlim(-0.15, len(norms) - 0.55)
    ax.set_ylim(-0.03, 1.12)
    ax.grid(False)
    ax.set_yticks([])
    ax.set_xticks(range(len(labels)), labels)
    ax.spines[:].set_visible(False)
    ax.tick_params(axis="x", length=0)
    halo = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}
    for place, norm in enumerate(norms):
        ax.vlines(place, 0, 1, color="0.25", linewidth=0.8, zorder=4)
        locator = LogLocator(numticks=6) if isinstance(norm, LogNorm) else MaxNLocator(5)
        inside = [t for t in locator.tick_values(norm.vmin, norm.vmax)
                  if norm.vmin <= t <= norm.vmax]  # fmt: skip
        for tick in inside if len(inside) > 1 else [norm.vmin, norm.vmax]:
            height = float(norm(tick))
            ax.plot([place, place + 0.02], [height, height], color="0.25", linewidth=0.8, zorder=4)
            at = {"ha": "left", "va": "center", "fontsize": "x-small", "bbox": halo, "zorder": 5}
            ax.text(place + 0.03, height, f"{tick:.3g}", **at)
