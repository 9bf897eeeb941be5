"""The band above a plot, where the trials stand that have no place in it."""

from typing import Any

import numpy as np

DIVERGED, OFF_SCALE = "x", "^"
"""The markers of a trial that diverged, and of one whose loss is far beyond the others."""

_WORDS = {DIVERGED: "diverged", OFF_SCALE: "off scale"}


class Band:
    """A band above the axes for the trials that have no place in them, a row an optimizer."""

    def __init__(self, ax: Any, rows: int) -> None:
        """Leave room for ``rows`` rows above ``ax``."""
        self._ax, self._rows, self._used = ax, rows, set[str]()
        self._bottom, self._height = 1.02, min(0.03 + 0.03 * rows, 0.2)

    def mark(self, x: np.ndarray, row: int, marker: str, colour: Any) -> None:
        """Put markers at ``x`` in a row of the band."""
        if not x.size:
            return
        self._used.add(marker)
        height = self._bottom + self._height * (self._rows - row - 0.5) / self._rows
        self._ax.scatter(
            x,
            np.full(x.shape, height),
            s=12,
            marker=marker,
            color=colour,
            linewidths=0.8,
            alpha=float(np.clip(100 / x.size, 0.3, 0.9)),
            transform=self._ax.get_xaxis_transform(),
            clip_on=False,
            zorder=3,
        )

    def label(self) -> None:
        """Draw the band and say what is in it, if anything is."""
        if not self._used:
            return
        from matplotlib.patches import Rectangle

        ax, middle = self._ax, self._bottom + self._height / 2
        frame = Rectangle((0, self._bottom), 1, self._height, transform=ax.transAxes)
        frame.set(facecolor="0.93", edgecolor="none", clip_on=False, zorder=0)
        ax.add_patch(frame)
        placed = {"transform": ax.transAxes, "ha": "right", "va": "center"}
        text = "\n".join(word for marker, word in _WORDS.items() if marker in self._used)
        ax.text(-0.012, middle, text, fontsize="small", **placed)
