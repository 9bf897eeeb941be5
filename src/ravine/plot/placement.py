"""A picture of the lanes: which trial was in which lane when."""

from typing import Any, NamedTuple

import numpy as np

from ravine.engine.result import SweepResult
from ravine.engine.status import Status
from ravine.plot.frame import COLOURS, new_axes, optimizers_of, readable

# They differ in their lightness too, so that a print in black and white can be read.
SHADES = {
    Status.CONVERGED: COLOURS[5],
    Status.STALLED: "#E7BE5B",
    Status.MAX_STEPS: COLOURS[0],
    Status.PRUNED: COLOURS[1],
    Status.DIVERGED: COLOURS[6],
    Status.FAILED: COLOURS[3],
    Status.RUNNING: "0.9",
}
"""The colour of a bar, by how its trial ended; in the order of the legend."""

_PLACES = ("worker", "lane", "first", "last")
_LABELS = 30
"""At most so many workers are labelled."""


class Block(NamedTuple):
    """The rows of one worker's lanes, while it ran the trials of one optimizer."""

    name: str
    worker: int
    ids: np.ndarray
    top: float
    lanes: int
    end: int
    """The segment after its last."""

    @property
    def bottom(self) -> float:
        """The lower end of the last row; rows are counted downwards."""
        return self.top + self.lanes


def lanes(results: SweepResult, ax: Any = None) -> Any:
    """Draw which trial was in which lane when, as a bar a trial, coloured by how it ended.

    A row is a lane, and a frame around rows is a worker. To the right run the worker's
    segments, the pieces of which a trial begins and ends at the ends; what is left blank in a
    frame was idle. The occupancy above counts steps, those within a segment too, so it can be
    a little lower than the bars suggest.

    Several optimizers stand below each other, each with frames of its own: a worker counts its
    segments anew with each of them, and which it ran first is not known.

    Args:
        results: what ``sweep`` returned.
        ax: the axes to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if the results do not say where each trial ran.
    """
    frames = blocks(results)
    ax = new_axes(ax)
    from matplotlib.collections import PolyCollection

    width, height = _extent(frames)
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    ax.grid(False)
    rows = np.full(len(results), np.nan)
    for frame in frames:
        rows[frame.ids] = frame.top + results.placement["lane"][frame.ids]
    first, end = results.placement["first"], results.placement["last"] + 1
    begun = np.isfinite(rows)
    words = np.array([str(s) for s in results.status], dtype=object)
    edge = _edge(ax, (end - first)[begun])
    for status, colour in SHADES.items():
        mine = np.flatnonzero(begun & (words == str(status)))
        if mine.size:
            bars = PolyCollection(
                _boxes(first[mine], end[mine], rows[mine], rows[mine] + 1),
                facecolors=colour,
                edgecolors=ax.get_facecolor(),
                linewidths=edge,
                rasterized=mine.size > 300,
                label=f"{readable(str(status))} ({mine.size})",
            )
            ax.add_collection(bars)
    corners = np.array([(0, f.end, f.top, f.bottom) for f in frames], float).reshape(-1, 4)
    thin: dict[str, Any] = {"facecolors": "none", "edgecolors": "0.6", "linewidths": 0.6}
    ax.add_collection(PolyCollection(_boxes(*corners.T), clip_on=False, **thin))
    _label(ax, results, frames)
    return ax


def blocks(results: SweepResult) -> list[Block]:
    """The workers of each optimizer, from the top down, with gaps between them.

    Raises:
        ValueError: if the results do not say where each trial ran.
    """
    missing = [name for name in _PLACES if name not in results.placement]
    if missing:
        raise ValueError(
            f"the results do not say in which lane each trial ran: their placement lacks "
            f"{', '.join(missing)}. They may be of an older version: run the sweep again."
        )
    worker, lane = results.placement["worker"], results.placement["lane"]
    names = optimizers_of(results)
    found: list[tuple[str, np.ndarray, int]] = []
    for name in names:
        mine = np.flatnonzero((results.names == name) & (worker >= 0))
        # A lane that never had a trial can be told only where all lanes are of one width.
        least = int(results.info["lanes"]) if len(names) == 1 else 1
        count = max(least, int(lane[mine].max(initial=0)) + 1)
        found += [(name, mine[worker[mine] == w], count) for w in np.unique(worker[mine])]
    gap = max(1.0, 0.02 * sum(count for _, _, count in found))
    made: list[Block] = []
    top = 0.0
    for name, ids, count in found:
        if made:
            top = made[-1].bottom + (gap if name == made[-1].name else 2 * gap)
        end = int(results.placement["last"][ids].max()) + 1
        made.append(Block(name, int(worker[ids[0]]), ids, top, count, end))
    return made


def _extent(frames: list[Block]) -> tuple[float, float]:
    """How many segments, and how many rows."""
    return max((f.end for f in frames), default=1), frames[-1].bottom if frames else 1.0


def _boxes(left: Any, right: Any, top: Any, bottom: Any) -> Any:
    """The corners of rectangles, (n, 4, 2)."""
    across, down = (left, right, right, left), (top, top, bottom, bottom)
    return np.stack([np.stack(across, axis=1), np.stack(down, axis=1)], axis=2)


def _edge(ax: Any, lengths: np.ndarray) -> float:
    """The width in points of the line between two bars: narrow where bars are small."""
    if not lengths.size:
        return 0.0
    size = ax.get_window_extent().size * 72 / ax.figure.dpi
    width, height = ax.get_xlim()[1], ax.get_ylim()[0]
    smallest = min(size[0] * float(np.median(lengths)) / width, size[1] / height)
    return float(np.clip(0.1 * smallest, 0.0, 0.6))


def _label(ax: Any, results: SweepResult, frames: list[Block]) -> None:
    """Say who is who, what the colours mean, and how full the lanes were."""
    several = len(results.templates) > 1
    shown = frames[:: max(1, -(-len(frames) // _LABELS))]
    ax.set_yticks(
        [(f.top + f.bottom) / 2 for f in shown],
        [f"{f.name}, worker {f.worker}" if several else f"worker {f.worker}" for f in shown],
    )
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("segment, counted anew for each optimizer" if several else "segment")
    never = len(results) - sum(f.ids.size for f in frames)
    told = f"occupancy {100 * results.occupancy:.3g}%"
    ax.set_title(f"{told}, {never} trials never began" if never else told, fontsize="medium")
    if frames:
        # Beside the axes a legend covers no bar.
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
