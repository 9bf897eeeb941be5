"""Losses of one and of two parameters, with the paths that optimizers took over them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ravine.plot.frame import MARKERS, line_style, new_axes, ravine_colours

Span = tuple[float, float]
"""From where to where an axis goes."""

Paths = Mapping[str, Any]
"""The points of each path by its name, (T, 2); or of many paths, (n, T, 2)."""

_CLOUD = 12
"""More paths of one name than this are drawn as a cloud of thin lines."""


def contour(
    loss: Callable[[Any], Any],
    x: Span,
    y: Span,
    paths: Paths | None = None,
    *,
    minima: Any = (),
    points: int = 161,
    ax: Any = None,
) -> Any:
    """Draw the contours of a loss of two parameters, with trajectories.

    The contours are laid so that there are many near the bottom, whatever the scale of the
    loss: each encloses a given share of the plane. A trajectory begins in a hollow ring and
    ends in a filled marker; what is NaN in it is left out.

    Args:
        loss: a function of an array of shape (2,).
        x: the span of the first parameter.
        y: the span of the second.
        paths: trajectories by name, each of shape (T, 2), or (n, T, 2) for many.
        minima: points to mark with a star, each of shape (2,).
        points: how many points a side the loss is evaluated at.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if a path has another shape, or the loss is finite nowhere.
    """
    ax = new_axes(ax)
    right, up, z = _evaluated(loss, x, y, points)
    levels = _levels(z)
    drawn = np.ma.masked_invalid(np.where(np.isfinite(z), z, np.nanmax(z[np.isfinite(z)])))
    ax.contourf(right, up, drawn, **_shades(levels))
    ax.contour(right, up, drawn, levels=levels, colors="0.55", linewidths=0.4, linestyles="solid")
    for row, (name, path) in enumerate(checked(paths)):
        _draw(ax, name, path, row)
    for minimum in minima:
        star = {"marker": "*", "s": 90, "color": "black", "edgecolors": "white", "zorder": 5}
        ax.scatter(*np.asarray(minimum, float), linewidths=0.8, **star)
    ax.set_xlim(x)
    ax.set_ylim(y)
    ax.grid(False)
    ax.set_xlabel("first parameter")
    ax.set_ylabel("second parameter")
    if paths:
        ax.legend(loc="best", fontsize="small")
    return ax


def surface(
    loss: Callable[[Any], Any],
    x: Span,
    y: Span,
    paths: Paths | None = None,
    *,
    logarithmic: bool = False,
    points: int = 81,
    ax: Any = None,
) -> Any:
    """Draw a loss of two parameters as a surface in space, with trajectories upon it.

    Args:
        loss: a function of an array of shape (2,).
        x: the span of the first parameter.
        y: the span of the second.
        paths: trajectories by name, each of shape (T, 2), or (n, T, 2) for many.
        logarithmic: draw the logarithm to base 10 of the loss above its lowest value here.
        points: how many points a side the loss is evaluated at.
        ax: axes with ``projection="3d"``; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if a path has another shape, or the axes are flat.
    """
    ax = new_axes(ax, "3d")
    if getattr(ax, "name", "") != "3d":
        raise ValueError('surface needs axes in space: figure.add_subplot(projection="3d").')
    right, up, z = _evaluated(loss, x, y, points)
    lowest, highest = float(z[np.isfinite(z)].min()), float(z[np.isfinite(z)].max())
    floor = 1e-4 * (highest - lowest) or 1.0

    def height(values: Any) -> Any:
        values = np.clip(values, lowest, highest)
        return np.log10(values - lowest + floor) if logarithmic else values

    ax.computed_zorder = False
    across = np.meshgrid(right, up)
    shades = {"cmap": ravine_colours(), "alpha": 0.85, "linewidth": 0, "antialiased": True}
    ax.plot_surface(*across, height(z), rcount=points, ccount=points, rasterized=True,
                    zorder=1, **shades)  # fmt: skip
    for row, (name, path) in enumerate(checked(paths)):
        for number, part in enumerate(path):
            inside = _within(part, x, y)
            values = height(_values(loss, part[inside]))
            label = name if number == 0 else None
            style: dict[str, Any] = line_style(row) | {"marker": "o", "markersize": 2.0}
            ax.plot(*part[inside].T, values, zorder=3, linewidth=1.4, label=label, **style)
    ax.set_xlabel("first parameter")
    ax.set_ylabel("second parameter")
    ax.set_zlabel("log₁₀ loss" if logarithmic else "loss")
    if paths:
        ax.legend(loc="upper left", fontsize="small")
    return ax


def line(
    loss: Callable[[Any], Any],
    x: Span,
    iterates: Paths | None = None,
    *,
    points: int = 401,
    ax: Any = None,
) -> Any:
    """Draw the curve of a loss of one parameter, and the points that optimizers went through.

    Args:
        loss: a function of a scalar.
        x: the span of the parameter.
        iterates: the points by name, each of shape (T,), joined in their order.
        points: how many points the curve is evaluated at.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if iterates have another shape.
    """
    ax = new_axes(ax)
    right = np.linspace(*x, points)
    curve = _values(loss, right)
    ax.plot(right, curve, color="0.45", linewidth=1.6, zorder=1)
    low, high = float(np.nanmin(curve)), float(np.nanmax(curve))
    margin = 0.05 * (high - low) or 1.0
    for row, (name, found) in enumerate((iterates or {}).items()):
        u = np.asarray(found, float)
        if u.ndim != 1:
            raise ValueError(f"iterates[{name!r}] must be of shape (T,), got {u.shape}.")
        u = u[np.isfinite(u)]
        style = line_style(row) | {"marker": MARKERS[row % len(MARKERS)], "markersize": 4.0}
        ax.plot(u, _values(loss, u), linewidth=0.9, label=name, zorder=2 + row, **style)
    ax.set_xlim(x)
    ax.set_ylim(low - margin, high + margin)
    ax.set_xlabel("parameter")
    ax.set_ylabel("loss")
    if iterates:
        ax.legend(loc="best", fontsize="small")
    return ax


def _evaluated(
    loss: Callable[[Any], Any], x: Span, y: Span, points: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The coordinates of a grid, and the loss there, (points, points)."""
    right, up = np.linspace(*x, points), np.linspace(*y, points)
    grid = np.stack(np.meshgrid(right, up), axis=-1).reshape(-1, 2)
    z = _values(loss, grid).reshape(points, points)
    if not np.isfinite(z).any():
        raise ValueError("the loss is finite nowhere in the part of the plane that is drawn.")
    return right, up, z


def _values(loss: Callable[[Any], Any], points: np.ndarray) -> np.ndarray:
    """The loss at many points."""
    import jax
    import jax.numpy as jnp

    if not len(points):
        return np.zeros(0)
    return np.asarray(jax.jit(jax.vmap(loss))(jnp.asarray(points, float)), float)


def _levels(z: np.ndarray) -> np.ndarray:
    """Heights of contours: shares of the plane that lie below, more of them near the bottom."""
    finite = z[np.isfinite(z)]
    levels = np.unique(np.quantile(finite, np.linspace(0, 1, 20) ** 1.7))
    return levels if levels.size > 1 else levels[0] + np.array([0.0, 1.0])


def _shades(levels: np.ndarray) -> dict[str, Any]:
    """From white, at the bottom, to a light grey-blue, on which lines are seen well."""
    from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

    cmap = LinearSegmentedColormap.from_list("paper", ["#ffffff", "#dfe6ec", "#a9b8c6"])
    return {"levels": levels, "cmap": cmap, "norm": BoundaryNorm(levels, cmap.N)}


def checked(paths: Paths | None) -> list[tuple[str, np.ndarray]]:
    """Every entry as many paths, (n, T, 2)."""
    checked = []
    for name, path in (paths or {}).items():
        found = np.asarray(path, float)
        if found.ndim not in (2, 3) or found.shape[-1] != 2:
            raise ValueError(f"paths[{name!r}] must be of shape (T, 2), got {found.shape}.")
        checked.append((str(name), found.reshape(-1, *found.shape[-2:])))
    return checked


def _within(part: np.ndarray, x: Span, y: Span) -> np.ndarray:
    """Which points of a path are on the map."""
    return (part[:, 0] >= x[0]) & (part[:, 0] <= x[1]) & (part[:, 1] >= y[0]) & (part[:, 1] <= y[1])


def _draw(ax: Any, name: str, path: np.ndarray, row: int) -> None:
    """A path, or a cloud of them, on a map."""
    from matplotlib.collections import LineCollection

    style = line_style(row)
    colour, marker = style["color"], MARKERS[row % len(MARKERS)]
    parts = [part[np.isfinite(part).all(axis=1)] for part in path]
    parts = [part for part in parts if len(part)]
    many = len(parts) > _CLOUD
    alpha = float(np.clip(20 / max(len(parts), 1), 0.05, 1.0)) if many else 1.0
    thin: dict[str, Any] = {"linewidths": 0.6 if many else 1.5, "alpha": alpha}
    dashes = "-" if many else style["linestyle"]
    ax.add_collection(LineCollection(parts, colors=colour, linestyles=dashes, rasterized=many,
                                     zorder=3, **thin))  # fmt: skip
    if parts and not many:
        # Where the steps are: dots, as long as they can be told apart.
        steps = np.concatenate([part[:60] for part in parts])
        ax.scatter(*steps.T, s=6, color=colour, linewidths=0, zorder=3)
        ends = {"s": 34, "marker": marker, "zorder": 4}
        first, last = (np.array([part[i] for part in parts]) for i in (0, -1))
        ax.scatter(*first.T, facecolors="white", edgecolors=colour, linewidths=1.2, **ends)
        ax.scatter(*last.T, color=colour, edgecolors="white", linewidths=0.6, **ends)
    ends_at = None if many else marker
    shown = {"color": colour, "linestyle": dashes, "marker": ends_at, "markersize": 5}
    ax.plot([], [], label=f"{name} ({len(parts)})" if many else name, **shown)
