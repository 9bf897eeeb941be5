"""The loss over two hyperparameters, as a map."""

from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.plot.frame import (
    COLOURS,
    hyperparameter,
    is_logarithmic,
    new_axes,
    ravine_colours,
    readable,
    window,
)

_FEWEST, _MOST = 4, 64
"""How many cells a side of a map of random trials has."""


def heatmap(
    results: SweepResult, x: str, y: str, *, values: Any = None, name: str = "", ax: Any = None
) -> Any:
    """Draw the loss at the end over two hyperparameters, dark where it is low.

    Where the trials lie on a grid, each of its points is a cell; else the plane is cut into
    cells that hold a few trials each. A cell shows the median of its trials that ended with a
    finite loss, and is hatched where none did. A ring is around the best trial.

    Args:
        results: what ``sweep`` returned.
        x: the hyperparameter to the right, by its name in ``results.hyperparameters``.
        y: the hyperparameter upwards.
        values: other numbers to draw, an array of shape (N,); ``results.scores`` by default.
        name: what the numbers are called, beside the colour bar.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no such hyperparameter, or ``values`` has another length.
    """
    across, up = hyperparameter(results, x), hyperparameter(results, y)
    label = name or ("final loss" if results.metrics is None else "metric")
    z = np.asarray(results.scores if values is None else values, float)
    if z.shape != across.shape:
        raise ValueError(f"values must hold a number a trial, shape {across.shape}; got {z.shape}.")
    ended = np.array([str(s) != "running" for s in results.status], bool)
    diverged = np.array([str(s) == "diverged" for s in results.status], bool) | ~np.isfinite(z)
    drawn = np.isfinite(across) & np.isfinite(up) & ended
    ax = new_axes(ax)
    if not drawn.any():
        return _named(ax, x, y)
    across, up, z, diverged = across[drawn], up[drawn], z[drawn], diverged[drawn]
    gridded = np.unique(across).size * np.unique(up).size <= 2 * across.size
    right, top = (_edges(column, gridded) for column in (across, up))
    column = np.clip(np.searchsorted(right, across, "right") - 1, 0, right.size - 2)
    row = np.clip(np.searchsorted(top, up, "right") - 1, 0, top.size - 2)
    cell = row * (right.size - 1) + column
    shape = (top.size - 1, right.size - 1)
    medians = _medians(cell[~diverged], z[~diverged], shape)
    seen = np.zeros(shape, bool)
    seen.flat[cell] = True
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    view = window(z[~diverged])
    norm = (LogNorm if view.logarithmic else Normalize)(view.low, view.high)
    mesh = ax.pcolormesh(
        right,
        top,
        np.ma.masked_invalid(np.maximum(medians, view.low)),
        norm=norm,
        cmap=ravine_colours(),
        rasterized=True,
    )
    lost = seen & ~np.isfinite(medians)
    if lost.any():
        grey: dict[str, Any] = {"cmap": ListedColormap(["0.93"]), "zorder": 0.5, "linewidth": 0.0}
        ones = np.ma.masked_where(~lost, np.ones(shape))
        ax.pcolor(right, top, ones, edgecolor="0.75", hatch="////", **grey)
    if not diverged.all():
        best = np.flatnonzero(~diverged)[np.argmin(z[~diverged])]
        for colour, width in (("white", 2.4), (COLOURS[1], 1.2)):
            ring = {"facecolors": "none", "edgecolors": colour, "linewidths": width, "zorder": 4}
            ax.scatter(across[best], up[best], s=60, **ring)
    for axis, numbers in (("x", across), ("y", up)):
        if is_logarithmic(numbers):
            getattr(ax, f"set_{axis}scale")("log")
    ax.set_xlim(right[0], right[-1])
    ax.set_ylim(top[0], top[-1])
    ax.grid(False)
    beyond = "max" if np.nanmax(medians, initial=-np.inf) > view.high else "neither"
    ax.figure.colorbar(mesh, ax=ax, label=label, extend=beyond)
    if lost.any():
        ax.set_title("hatched: every trial diverged", fontsize="small", color="0.4", loc="right")
    return _named(ax, x, y)


def _named(ax: Any, x: str, y: str) -> Any:
    ax.set_xlabel(readable(x))
    ax.set_ylabel(readable(y))
    return ax


def _edges(x: np.ndarray, gridded: bool) -> np.ndarray:
    """The edges of the cells: half-way between the numbers of a grid, or evenly spaced."""
    logarithmic = is_logarithmic(x)
    u = np.log(x) if logarithmic else x
    points = np.unique(u)
    if gridded and points.size > 1:
        middle = (points[1:] + points[:-1]) / 2
        edges = np.r_[2 * points[0] - middle[0], middle, 2 * points[-1] - middle[-1]]
    elif points.size > 1:
        count = int(np.clip(np.sqrt(x.size / 3), _FEWEST, _MOST))
        edges = np.linspace(points[0], points[-1], count + 1)
    else:
        edges = points[0] + np.array([-0.5, 0.5]) * max(abs(float(points[0])), 1.0)
    return np.exp(edges) if logarithmic else edges


def _medians(cell: np.ndarray, z: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The median of each cell's numbers, NaN where there are none."""
    medians = np.full(shape, np.nan)
    order = np.lexsort((z, cell))
    cell, z = cell[order], z[order]
    cells, first, count = np.unique(cell, return_index=True, return_counts=True)
    medians.flat[cells] = (z[first + (count - 1) // 2] + z[first + count // 2]) / 2
    return medians
