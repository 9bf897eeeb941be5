"""How many trials, or problems, are solved within how much effort."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.plot.frame import line_style, new_axes, optimizers_of, plain_ticks


def steps_to_tolerance(
    results: SweepResult, tolerance: float | None = None, *, ax: Any = None
) -> Any:
    """Draw the share of trials that reached a tolerance within so many steps.

    A line an optimizer. It ends as high as the share that ever arrived, which the legend
    tells with the median over all trials.

    Args:
        results: what ``sweep`` returned.
        tolerance: the loss to reach; it is looked for in the history, so to the step only
            with ``record_every=1``. By default the steps of the trials that converged, by
            whichever test stopped them.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if a tolerance is given, and there is no history.
    """
    needed = first_below(results, tolerance)
    ax = new_axes(ax)
    limit = float(max(np.max(results.steps, initial=1), 1))
    reached = needed[np.isfinite(needed)]
    low = float(max(reached.min(initial=limit), 1.0))
    for row, name in enumerate(optimizers_of(results)):
        mine = needed[results.names == name]
        sorted_ = np.sort(mine[np.isfinite(mine)])
        share = np.arange(sorted_.size + 1) / max(mine.size, 1)
        x = np.r_[low, np.maximum(sorted_, 1.0), limit]
        middle = float(np.sort(mine)[(mine.size - 1) // 2]) if mine.size else np.inf
        median = f"median {middle:.0f}" if np.isfinite(middle) else "fewer than half"
        label = f"{name or 'trials'}: {share[-1]:.0%}, {median}"
        ax.step(x, np.r_[share, share[-1]], where="post", label=label, **line_style(row))
    ax.set_xscale("log")
    ax.set_ylim(0, 1.02)
    goal = "converged" if tolerance is None else f"loss ≤ {tolerance:.3g}"
    ax.set_xlim(low, max(limit, 1.1 * low))
    plain_ticks(ax.xaxis)
    ax.set_xlabel("steps")
    ax.set_ylabel(f"share of trials: {goal}")
    ax.legend(loc="best", fontsize="small")
    return ax


def first_below(results: SweepResult, tolerance: float | None) -> np.ndarray:
    """The first step at which each trial's loss is at most ``tolerance``, (N,); inf if never.

    Raises:
        ValueError: if a tolerance is given, and there is no history.
    """
    if tolerance is None:
        converged = np.array([str(s) == "converged" for s in results.status], bool)
        return np.where(converged, results.steps, np.inf)
    if not results.history.shape[1]:
        raise ValueError("a tolerance is looked for in the history: record_every=0 leaves none.")
    below = results.history <= tolerance
    return np.where(below.any(axis=1), results.history_steps[below.argmax(axis=1)], np.inf)


def performance_profile(
    costs: Mapping[str, Any], *, most: float | None = None, ax: Any = None
) -> Any:
    r"""Draw the performance profile of several methods on a set of problems.

    .. math::
        \rho_s(\tau) = \frac{1}{P} \left|\{p : c_{p,s} \le \tau \min_{s'} c_{p,s'}\}\right|

    At the left end stands how often a method is the best, at the right end how often it
    solves the problem at all.

    Args:
        costs: what each method needs for each problem, in the same order for all, such as
            steps: positive numbers by the method's name; infinite or NaN if it fails.
        most: the greatest ratio :math:`\tau` to show; by default the greatest there is.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if the methods have different numbers of problems, or a cost is not positive.

    Reference: Dolan and Moré, Benchmarking optimization software with performance profiles,
    2002, https://doi.org/10.1007/s101070100263.
    """
    needed = {name: np.asarray(c, float) for name, c in costs.items()}
    shapes = {c.shape for c in needed.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or (0,) in shapes:
        told = {name: c.shape for name, c in needed.items()}
        raise ValueError(f"each method needs one cost a problem, in a list; got shapes {told}.")
    table = np.stack([np.where(np.isnan(c), np.inf, c) for c in needed.values()])
    if np.any(table <= 0):
        raise ValueError("costs must be positive: a profile compares their ratios.")
    least = table.min(axis=0)
    solved = np.isfinite(least)
    ratios = np.full(table.shape, np.inf)
    ratios[:, solved] = table[:, solved] / least[solved]
    finite = ratios[np.isfinite(ratios)]
    end = float(most or max(1.05 * finite.max(initial=1.0), 1.1))
    ax = new_axes(ax)
    for row, (name, mine) in enumerate(zip(needed, ratios, strict=True)):
        sorted_ = np.sort(mine[np.isfinite(mine)])
        share = np.arange(sorted_.size + 1) / mine.size
        x = np.r_[1.0, sorted_, max(end, sorted_[-1] if sorted_.size else 1.0)]
        ax.step(x, np.r_[share, share[-1]], where="post", label=name, **line_style(row))
    ax.set_xscale("log")
    ax.set_xlim(1.0, end)
    plain_ticks(ax.xaxis)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("τ: cost over that of the best method")
    ax.set_ylabel("share of problems solved within τ")
    ax.legend(loc="lower right", fontsize="small")
    return ax
