"""Figures of a style of their own, drawn without a screen, and how they become files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 150,
}


@contextmanager
def style() -> Iterator[None]:
    """What is drawn in here looks the same whatever the user's settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def blank(width: float, height: float) -> Any:
    """A figure of so many inches, in which no window has a part."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


@contextmanager
def figure(size: tuple[float, float]) -> Iterator[Any]:
    """A figure that no window and no user's settings have a part in."""
    with style():
        yield blank(*size)


def save(figure: Any, path: Path, *, colours: int | None = 256) -> None:
    """Write a PNG of so many colours: of 256, a third of the bytes, and most look the same.

    ``None`` for all, which pictures with maps need.
    """
    from PIL import Image

    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    if colours is not None:
        method, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
        image = image.quantize(colours, method=method, dither=dither)
    dots = (figure.dpi, figure.dpi)
    image.save(path, format="png", optimize=True, dpi=dots)
