"""Moving pictures: trajectories on their way, and a line that finds its data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ravine.plot.frame import MARKERS, line_style, new_axes
from ravine.plot.plane import Paths, Span, checked, contour


def animate_trajectories(
    loss: Callable[[Any], Any],
    x: Span,
    y: Span,
    paths: Paths,
    *,
    path: str | Path | None = None,
    seconds: float = 6.0,
    fps: int = 20,
    ax: Any = None,
) -> Any:
    """Let trajectories move over the contours of a loss of two parameters.

    All move at the same pace, a step at a time, or several where there are more steps than
    frames; one that ends early waits.

    Args:
        loss: a function of an array of shape (2,).
        x: the span of the first parameter.
        y: the span of the second.
        paths: trajectories by name, each of shape (T, 2).
        path: where to write the animation: ``.gif``, or ``.mp4``, which needs FFmpeg.
        seconds: how long it lasts.
        fps: frames a second.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The animation, a ``matplotlib.animation.FuncAnimation``. Hold on to it while it plays.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if a path has another shape, or the file another ending.
        RuntimeError: if FFmpeg is needed and not installed.
    """
    parts = {name: _known(found[0]) for name, found in checked(paths)}
    ax = contour(loss, x, y, ax=new_axes(ax))
    artists = {}
    for row, name in enumerate(parts):
        style = line_style(row)
        (trail,) = ax.plot([], [], linewidth=1.4, zorder=3, **style)
        mark = {"marker": MARKERS[row % len(MARKERS)], "color": style["color"]}
        (head,) = ax.plot([], [], markersize=7, markeredgecolor="white", label=name, zorder=4,
                          linestyle="none", **mark)  # fmt: skip
        artists[name] = trail, head
    ax.legend(loc="upper left", fontsize="small")
    told = ax.set_title(" ", fontsize="medium")

    def show(step: int) -> None:
        for name, (trail, head) in artists.items():
            gone = parts[name][: step + 1]
            trail.set_data(*gone.T)
            head.set_data(*gone[-1:].T)
        told.set_text(f"step {step}")

    last = max((len(part) for part in parts.values()), default=1) - 1
    return _animation(ax, show, last, path, seconds, fps)


def animate_regression(
    x: Any,
    y: Any,
    coefficients: Mapping[str, Any],
    *,
    path: str | Path | None = None,
    seconds: float = 6.0,
    fps: int = 20,
    ax: Any = None,
) -> Any:
    """Let straight lines move as they find their data.

    Args:
        x: where the data were taken, (n,).
        y: what was found there, (n,).
        coefficients: by name, the intercept and the slope after each step, (T, 2).
        path: where to write the animation: ``.gif``, or ``.mp4``, which needs FFmpeg.
        seconds: how long it lasts.
        fps: frames a second.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The animation, a ``matplotlib.animation.FuncAnimation``. Hold on to it while it plays.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if coefficients have another shape, or the file another ending.
        RuntimeError: if FFmpeg is needed and not installed.
    """
    parts = {name: _known(found[0]) for name, found in checked(coefficients)}
    x, y = np.asarray(x, float), np.asarray(y, float)
    ax = new_axes(ax)
    pale = float(np.clip(150 / max(x.size, 1), 0.15, 0.9))
    ax.scatter(x, y, s=14, color="0.45", alpha=pale, linewidths=0, rasterized=x.size > 300)
    ends = np.array([x.min(), x.max()])
    ends = ends + 0.04 * (ends[1] - ends[0]) * np.array([-1.0, 1.0])
    lines = {}
    for row, name in enumerate(parts):
        (lines[name],) = ax.plot(ends, ends, linewidth=1.8, **line_style(row))
    reach = 0.15 * (y.max() - y.min())
    ax.set_xlim(*ends)
    ax.set_ylim(y.min() - reach, y.max() + reach)
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    legend = ax.legend(list(lines.values()), [_equation(n, (0.0, 0.0)) for n in parts],
                       loc="upper left", fontsize="small")  # fmt: skip
    told = ax.set_title(" ", fontsize="medium")

    def show(step: int) -> None:
        for text, (name, line) in zip(legend.get_texts(), lines.items(), strict=True):
            intercept, slope = parts[name][min(step, len(parts[name]) - 1)]
            line.set_ydata(intercept + slope * ends)
            text.set_text(_equation(name, (intercept, slope)))
        told.set_text(f"step {step}")

    last = max((len(part) for part in parts.values()), default=1) - 1
    return _animation(ax, show, last, path, seconds, fps)


def _equation(name: str, at: Any) -> str:
    return f"{name}: y = {at[0]:.2f} {'+' if at[1] >= 0 else '−'} {abs(at[1]):.2f} x"


def _known(part: np.ndarray) -> np.ndarray:
    """A path as far as it goes."""
    return part[np.isfinite(part).all(axis=1)]


def _animation(
    ax: Any, show: Callable[[int], None], last: int, path: Any, seconds: float, fps: int
) -> Any:
    """The frames, spread over the steps from 0 to ``last``; written if there is a path."""
    from matplotlib.animation import FuncAnimation

    suffix = "" if path is None else Path(path).suffix.lower()
    if suffix not in ("", ".gif", ".mp4") or (path is not None and not suffix):
        raise ValueError(f"an animation is written as .gif or .mp4, got {str(path)!r}.")
    if suffix == ".mp4":
        _check_ffmpeg()
    count = max(min(round(seconds * fps), last + 1), 1)
    steps = np.linspace(0, last, count).round().astype(int).tolist()
    show(0)
    # Once laid out, the parts of the figure stay where they are.
    ax.figure.canvas.draw()
    ax.figure.set_layout_engine("none")
    moving = FuncAnimation(ax.figure, show, frames=steps, interval=1000 / fps)
    if path is not None:
        _written(moving, Path(path), suffix, fps)
    return moving


def _check_ffmpeg() -> None:
    from matplotlib.animation import writers

    if not writers.is_available("ffmpeg"):
        raise RuntimeError("an .mp4 needs the program ffmpeg, and there is none: write a .gif.")


def _written(moving: Any, path: Path, suffix: str, fps: int) -> None:
    from matplotlib.animation import FFMpegWriter, PillowWriter

    writer = PillowWriter(fps=fps) if suffix == ".gif" else FFMpegWriter(fps=fps)
    moving.save(path, writer=writer)
