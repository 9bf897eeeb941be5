"""Loss against a hyperparameter, a marker a trial."""

from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.plot.band import DIVERGED, OFF_SCALE, Band
from ravine.plot.frame import (
    COLOURS,
    MARKERS,
    Window,
    hyperparameter,
    new_axes,
    optimizers_of,
    readable,
    span,
    window,
)


def learning_rate(
    results: SweepResult, *, y: Any = None, x: str = "learning_rate", ax: Any = None
) -> Any:
    """Draw the loss at the end of every trial against its learning rate.

    An optimizer has a colour and a marker, its best trial a ring around it. A trial that
    diverged, or whose loss is infinite or NaN, is a cross in the band above the plot; a loss
    far beyond the others is an arrowhead there, and does not stretch the axis. A trial that
    was pruned is hollow: its loss is not that of all steps. With seeds, a configuration is
    the median of its seeds, with a line from the least to the greatest; those that were
    pruned count only where all were.

    Args:
        results: what ``sweep`` returned.
        y: other numbers to draw, an array of shape (N,), such as the validation loss; a
            trial without a finite one counts as diverged.
        x: another hyperparameter, by its name in ``results.hyperparameters``.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no such hyperparameter, or ``y`` has another length.
    """
    across, own = hyperparameter(results, x), y is None
    y = np.asarray(results.values if own else y, float)
    if y.shape != across.shape:
        raise ValueError(f"y must hold a number a trial, shape {across.shape}; got {y.shape}.")
    ax = new_axes(ax)
    bad = np.array([str(s) == "diverged" for s in results.status]) | ~np.isfinite(y)
    ended = np.array([str(s) != "running" for s in results.status])
    pruned = np.array([str(s) == "pruned" for s in results.status])
    drawn = np.isfinite(across) & ended
    view = window(y[drawn & ~bad], results.history[:, :1] if own else None)
    names = optimizers_of(results)
    outside = Band(ax, len(names))
    for row, name in enumerate(names):
        mine = drawn & (results.names == name)
        style = {"color": COLOURS[row % len(COLOURS)], "marker": MARKERS[row % len(MARKERS)]}
        seeds = 1 if results.seeds is None else len(np.unique(results.seeds))
        good, hollow = _by_config(mine & ~bad, pruned, seeds)
        _points(ax, across, y, np.flatnonzero(good), seeds, view, style)
        if hollow.any():
            outline = _outlined(style)
            _points(ax, across, y, np.flatnonzero(hollow), seeds, view, outline)
        outside.mark(across[mine & bad], row, DIVERGED, style["color"])
        outside.mark(across[mine & ~bad & (y > view.high)], row, OFF_SCALE, style["color"])
        _best(ax, across, y, mine & ~bad, view, name, style)
    if np.any(drawn & pruned):
        ax.scatter([], [], s=30, label="pruned", **_outlined({"color": "0.3", "marker": "o"}))
    outside.label()
    span(ax, across[drawn])
    view.apply(ax)
    ax.set_xlabel(readable(x))
    ax.set_ylabel("final loss" if own else "")
    return ax


def _points(
    ax: Any, x: np.ndarray, y: np.ndarray, ids: np.ndarray, seeds: int, view: Window, style: Any
) -> None:
    """A marker a trial; with seeds the median and the range of each configuration."""
    if seeds > 1:
        # The seeds of a configuration follow each other, and share its numbers.
        parts = [ids[ids // seeds == config] for config in np.unique(ids // seeds)]
        x = np.array([x[part[0]] for part in parts])
        low, y, high = (np.array([f(y[p]) for p in parts]) for f in (np.min, np.median, np.max))
        line = style.get("color", style.get("edgecolors"))
        ax.vlines(x, low, high, color=line, alpha=0.4, linewidth=1.0)
    else:
        x, y = x[ids], y[ids]
    seen = y <= view.high
    count = int(seen.sum())
    ax.scatter(
        x[seen],
        view.clip(y[seen]),
        s=float(np.clip(4000 / max(count, 1), 6, 28)),
        alpha=float(np.clip(150 / max(count, 1), 0.25, 0.8)),
        rasterized=count > 300,
        **{"linewidths": 0} | style,
    )


def _by_config(mine: np.ndarray, pruned: np.ndarray, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Which trials to draw as having ended well, and which as pruned: the rest of a configuration.

    A configuration with seeds of both kinds is drawn by those that ended well.
    """
    good = mine & ~pruned
    config = np.arange(mine.size) // max(seeds, 1)
    return good, mine & pruned & ~np.isin(config, config[good])


def _outlined(style: Any) -> Any:
    """The style of a marker, hollow."""
    return {
        "marker": style["marker"],
        "facecolors": "none",
        "edgecolors": style["color"],
        "linewidths": 0.8,
    }


def _best(
    ax: Any, x: np.ndarray, y: np.ndarray, mine: np.ndarray, view: Window, name: str, style: Any
) -> None:
    """A ring around an optimizer's best trial, and its entry in the legend."""
    label = name or "trials"
    ids = np.flatnonzero(mine & np.isfinite(y))
    if ids.size:
        best = ids[np.argmin(y[ids])]
        label += f"\nbest {y[best]:.3g} at {x[best]:.2g}"
        height = float(view.clip(y[best]))
        if view.low <= height <= view.high:
            ring = {"facecolors": style["color"], "edgecolors": "black", "marker": style["marker"]}
            ax.scatter(x[best], height, s=60, linewidths=1.1, zorder=4, **ring)
    # An empty artist for the legend: a marker at full strength, however many there are.
    ax.scatter([], [], s=30, linewidths=0, label=label, **style)
