"""Learning curves, coloured by a hyperparameter."""

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
    running_median,
    spread,
    window,
)


def curves(
    results: SweepResult,
    *,
    color_by: str = "learning_rate",
    ax: Any = None,
    name: str | None = None,
    most: int = 100,
    smooth: int = 1,
    norm: Any = None,
    colorbar: bool = True,
) -> Any:
    """Draw the learning curves, coloured by a hyperparameter.

    The better a trial ended, the nearer to the front it lies. One that diverged ends in a
    cross at the upper edge, one that was pruned in a ring.

    Args:
        results: what ``sweep`` returned, with a history.
        color_by: a hyperparameter, by its name in ``results.hyperparameters``.
        ax: the axes to draw on; a new figure by default.
        name: draw the trials of this optimizer only.
        most: draw at most so many trials: the best, and others spread evenly over the colours.
        smooth: draw the running median of so many records, which calms mini-batches.
        norm: the matplotlib norm of the colours, where several plots share one.
        colorbar: whether to draw a colour bar.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if there is no such hyperparameter or optimizer, or no history.
    """
    colour_values = hyperparameter(results, color_by)
    if not results.history.shape[1]:
        raise ValueError("there are no curves to draw: the sweep ran with record_every=0.")
    if name is not None and name not in results.templates:
        raise ValueError(f"there is no optimizer {name!r}; there are {optimizers_of(results)}.")
    ax = new_axes(ax)
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection

    norm = norm_of(colour_values) if norm is None else norm
    mine = np.isfinite(colour_values) & (name is None or results.names == name)
    ids = spread(np.flatnonzero(mine), colour_values, results.values, most)
    history = running_median(results.history[ids], smooth)
    view = window(history, results.history[:, :1])
    lines: list[np.ndarray] = []
    gone: list[int] = []
    cut: list[int] = []
    for row, id in zip(history, ids, strict=True):
        known = np.isfinite(row)
        line = np.column_stack([results.history_steps[known], view.clip(row[known])])
        if str(results.status[id]) == "diverged":
            # It left for infinity: the line goes on beyond the upper edge.
            line = np.vstack([line, [results.steps[id], view.beyond]])
            gone.append(len(lines))
        elif str(results.status[id]) == "pruned" and len(line):
            cut.append(len(lines))
        lines.append(line)
    cmap = ravine_colours()
    shades = cmap(norm(colour_values[ids]))
    many = len(lines)
    ax.add_collection(
        LineCollection(
            lines,
            colors=shades,
            linewidths=1.0 if many <= 50 else 0.7,
            alpha=float(np.clip(60 / max(many, 1), 0.3, 0.9)),
            rasterized=many > 50,
        )
    )
    ax.scatter(
        results.steps[ids[gone]],
        np.ones(len(gone)),
        color=shades[gone],
        marker="x",
        s=14,
        linewidths=0.8,
        transform=ax.get_xaxis_transform(),
        clip_on=False,
        zorder=3,
    )
    if cut:
        ends = np.array([lines[i][-1] for i in cut])
        rings = {"facecolors": "none", "edgecolors": shades[cut], "linewidths": 0.8}
        ax.scatter(*ends.T, marker="o", s=10, zorder=3, **rings)
    ax.set_xlim(0, max(float(results.history_steps[-1]), 1.0))
    view.apply(ax)
    ax.set_xlabel("step")
    ax.set_ylabel("loss")
    if colorbar:
        mappable = ScalarMappable(norm=norm, cmap=cmap)
        ax.figure.colorbar(mappable, ax=ax, label=readable(color_by))
    return ax
