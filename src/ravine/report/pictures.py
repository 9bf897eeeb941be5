"""The pictures that the command line writes: figures of their own style, drawn without a screen."""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.plot.frame import hyperparameter, norm_of, optimizers_of, ravine_colours, readable
from ravine.plot.learning import curves
from ravine.plot.placement import blocks, lanes
from ravine.plot.rates import learning_rate
from ravine.plot.style import figure as _figure
from ravine.plot.style import save as _save

_CURVES = 80
"""How many curves a panel can show without a smear."""


def main_hyperparameter(results: SweepResult) -> str | None:
    """What to draw against: the learning rate if it was varied, else the first that was."""
    columns = results.hyperparameters.items()
    varied = [name for name, x in columns if len(np.unique(x[np.isfinite(x)])) > 1]
    if not varied or "learning_rate" in varied:
        return "learning_rate" if varied else None
    return varied[0]


def rate_picture(path: Path, results: SweepResult, x: str, y: Any, label: str, title: str) -> None:
    """Write a picture of ``y``, an array of shape (N,) called ``label``, against ``x``."""
    with _figure((6.4, 4.4)) as figure:
        ax = figure.subplots()
        learning_rate(results, y=y, x=x, ax=ax)
        ax.set_ylabel(label)
        entries = len(ax.get_legend_handles_labels()[1])
        # Below the axes a legend covers nothing, whatever the data look like.
        below = {"ncols": min(entries, 4), "fontsize": "small", "columnspacing": 2.5}
        figure.legend(loc="outside lower center", **below)
        figure.suptitle(title, fontsize="large")
        _save(figure, path)


def curves_picture(path: Path, results: SweepResult, x: str, title: str, smooth: int) -> None:
    """Write a picture of the learning curves, a panel an optimizer, coloured by ``x``.

    ``smooth`` records make a running median, where the losses are of mini-batches.
    """
    from matplotlib.cm import ScalarMappable

    names = optimizers_of(results)
    columns = min(len(names), 3)
    rows = ceil(len(names) / columns)
    with _figure((2.2 + 2.4 * columns, 0.9 + 2.5 * rows)) as figure:
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        norm = norm_of(hyperparameter(results, x))
        low, high = np.inf, -np.inf
        for ax, name in zip(axes.flat, names, strict=False):
            curves(
                results,
                color_by=x,
                ax=ax,
                name=name,
                most=_CURVES,
                smooth=smooth,
                norm=norm,
                colorbar=False,
            )
            bottom, top = ax.get_ylim()
            low, high = min(low, bottom), max(high, top)
            count = int(np.sum(results.names == name))
            shown = "" if count <= _CURVES else f" ({_CURVES} of {count})"
            ax.set_title(name + shown, fontsize="medium")
            if smooth > 1:
                ax.set_ylabel(f"loss, median of {smooth} records")
            ax.label_outer()
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        for ax in axes.flat[max(len(names) - columns, 0) : len(names)]:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel("step")
        axes[0, 0].set_ylim(low, high)
        mappable = ScalarMappable(norm=norm, cmap=ravine_colours())
        figure.colorbar(mappable, ax=list(axes.flat), label=readable(x), aspect=30, pad=0.02)
        figure.suptitle(title, fontsize="large")
        _save(figure, path)


def lanes_picture(path: Path, results: SweepResult, title: str) -> None:
    """Write a picture of the lanes, the higher the more of them there are."""
    frames = blocks(results)
    rows, labels = (frames[-1].bottom, len(frames)) if frames else (0.0, 0)
    height = min(max(1.2 + 0.012 * rows, 1.2 + 0.2 * labels, 2.6), 9.0)
    with _figure((7.4, height)) as figure:
        lanes(results, figure.subplots())
        figure.suptitle(title, fontsize="large")
        _save(figure, path)
