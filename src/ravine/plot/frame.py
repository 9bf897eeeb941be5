"""What the pictures share: colours, names, and the part of the plane that is worth showing."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine.core.types import Schedule, Space
from ravine.engine.result import SweepResult

# Okabe and Ito's colours, which the colour-blind can tell apart; yellow is lost on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")


@dataclass(frozen=True)
class Window:
    """The range of losses to show, on a logarithmic or a linear axis."""

    low: float
    high: float
    logarithmic: bool

    @property
    def beyond(self) -> float:
        """A loss far above the range."""
        return self.high * (self.high / self.low) if self.logarithmic else 2 * self.high - self.low

    def clip(self, y: np.ndarray) -> np.ndarray:
        """Losses of 0, for which a logarithmic axis has no place, at its end; none far outside."""
        below = self.low if self.logarithmic else 2 * self.low - self.high
        return np.clip(y, below, self.beyond)

    def apply(self, ax: Any) -> None:
        """Set scale and limits of the vertical axis, with a margin."""
        if self.logarithmic:
            ax.set_yscale("log")
            margin = (self.high / self.low) ** 0.04
            ax.set_ylim(self.low / margin, self.high * margin)
        else:
            margin = 0.04 * (self.high - self.low)
            ax.set_ylim(self.low - margin, self.high + margin)


def window(values: np.ndarray, start: np.ndarray | None = None) -> Window:
    """The range that shows the finite ``values`` well: huge ones do not stretch it.

    A logarithmic axis, wherever no loss is negative, ends a decade above the greatest loss
    at the ``start``, or above most of the values where that is not given; a linear one ends
    a little above the start, and three times the spread of the values beyond most of them.

    >>> window(np.array([0.1, 1.0, 2.0, 1e30, np.inf]), start=np.array([3.0]))
    Window(low=0.1, high=2.0, logarithmic=True)
    """
    y = np.asarray(values, float)
    y = y[np.isfinite(y)]
    if not y.size:
        return Window(0.1, 1.0, True)
    if np.all(y >= 0) and np.any(y > 0):
        begin = y[:0] if start is None else start[np.isfinite(start) & (start > 0)]
        ceiling = 10 * float(begin.max() if begin.size else np.quantile(y, 0.8))
        positive = y[y > 0]
        seen = positive[positive <= ceiling] if np.any(positive <= ceiling) else positive
        low, high = float(seen.min()), float(seen.max())
        low = low / 10 if positive.size < y.size else low
        return Window(low, high, True) if high > low else Window(low / 2, high * 2, True)
    first, last = np.quantile(y, [0.1, 0.9])
    reach = 3 * max(last - first, 1e-12 * max(abs(first), abs(last)), 1e-30)
    ceiling = last + reach
    if start is not None and np.any(np.isfinite(start)):
        begin = float(np.max(start[np.isfinite(start)]))
        ceiling = min(ceiling, begin + 0.2 * max(begin - first, 0.0))
    seen = y[(y >= first - reach) & (y <= max(ceiling, first))]
    low, high = float(seen.min()), float(seen.max())
    return Window(low, high, False) if high > low else Window(low - 1, high + 1, False)


def hyperparameter(results: SweepResult, name: str) -> np.ndarray:
    """The hyperparameter of every trial, (N,), also where it was fixed; NaN where there is none.

    Raises:
        ValueError: if no optimizer has it.
    """
    column = np.full(len(results), np.nan)
    for label, optimizer in results.templates.items():
        fixed = getattr(optimizer, name, None)
        if fixed is not None and not isinstance(fixed, bool | str | Space | Schedule):
            mine = results.names == label
            column[mine] = float(fixed) if np.ndim(fixed) == 0 else np.nan
    if name in results.hyperparameters:
        swept = np.asarray(results.hyperparameters[name], float)
        column = np.where(np.isfinite(swept), swept, column)
    elif not np.any(np.isfinite(column)):
        known = ", ".join(results.hyperparameters) or "none"
        raise ValueError(f"the sweep has no hyperparameter {name!r}. It varied: {known}.")
    return column


def optimizers_of(results: SweepResult) -> list[str]:
    """The names of the optimizers, in the order of the sweep."""
    return [str(name) for name in results.templates]


def is_logarithmic(x: np.ndarray) -> bool:
    """Whether numbers are better seen on a logarithmic axis.

    They are positive, go over a decade or more, and are spread at least as evenly there as on
    a linear one.

    >>> is_logarithmic(np.geomspace(1e-3, 1.0, 50)), is_logarithmic(np.linspace(1e-3, 1.0, 50))
    (True, False)
    """
    x = np.unique(x[np.isfinite(x)])
    if not x.size or x[0] <= 0 or x[-1] < 10 * x[0]:
        return False
    places = np.arange(x.size)
    # A straight line through numbers in their order is what evenly spread ones lie on.
    linear, logarithmic = (np.corrcoef(places, u)[0, 1] for u in (x, np.log(x)))
    return bool(logarithmic >= linear - 1e-3)


def span(ax: Any, x: np.ndarray) -> None:
    """Set scale and limits of the horizontal axis, with a margin, so that all ``x`` are in it."""
    if not x.size or x.min() == x.max():
        return
    low, high = float(x.min()), float(x.max())
    if is_logarithmic(x):
        ax.set_xscale("log")
        margin = (high / low) ** 0.03
        ax.set_xlim(low / margin, high * margin)
    else:
        margin = 0.03 * (high - low)
        ax.set_xlim(low - margin, high + margin)


def running_median(history: np.ndarray, width: int) -> np.ndarray:
    """The median of ``width`` records around each, of those there are; NaN where a curve is NaN.

    >>> running_median(np.array([[1.0, 9.0, 2.0, np.nan]]), 3).tolist()
    [[5.0, 2.0, 5.5, nan]]
    """
    known = np.where(np.isfinite(history), history, np.nan).astype(float)
    if width < 2 or not known.size:
        return known
    before, after = (width - 1) // 2, width // 2
    padded = np.pad(known, ((0, 0), (before, after)), constant_values=np.nan)
    around = np.sort(np.lib.stride_tricks.sliding_window_view(padded, width, axis=1), axis=-1)
    # NaN is sorted to the end, so the middle of the numbers is found by counting them.
    count = np.sum(np.isfinite(around), axis=-1, keepdims=True)
    last = np.maximum(count - 1, 0)
    low, high = last // 2, np.minimum(count // 2, last)
    middle = (np.take_along_axis(around, low, -1) + np.take_along_axis(around, high, -1)) / 2
    return np.where(np.isfinite(known), middle[..., 0], np.nan)


def plain_ticks(axis: Any) -> None:
    """Numbers such as 20 and 500 along a logarithmic axis, however few decades it has."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 200 * low else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def norm_of(x: np.ndarray) -> Any:
    """The colour scale for a hyperparameter."""
    from matplotlib.colors import LogNorm, Normalize

    x = x[np.isfinite(x)]
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)
    if is_logarithmic(x):
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1.0)


def ravine_colours() -> Any:
    """Dark blue to green: viridis without its yellow, which is lost on white paper."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    shades = colormaps["viridis"](np.linspace(0.0, 0.88, 256))
    return LinearSegmentedColormap.from_list("ravine", shades)


def readable(name: str) -> str:
    """A column's name as words."""
    return name.replace("_", " ")


def line_style(row: int) -> dict[str, Any]:
    """The colour and the dashes of a line, which tell it from others in grey too."""
    return {"color": COLOURS[row % len(COLOURS)], "linestyle": LINES[row % len(LINES)]}


def new_axes(ax: Any, projection: str | None = None) -> Any:
    """``ax``, or the axes of a new figure.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "ravine[plot]".') from error
    return plt.subplots(layout="constrained", subplot_kw={"projection": projection})[1]


def spread(ids: np.ndarray, x: np.ndarray, values: np.ndarray, most: int) -> np.ndarray:
    """At most ``most`` of the trials, the best among them, the worst first."""
    if not ids.size:
        return ids
    value = np.where(np.isfinite(values), values, np.inf)
    best = ids[np.argmin(value[ids])]
    by_colour = ids[np.argsort(x[ids], kind="stable")]
    places = np.linspace(0, ids.size - 1, min(max(most, 1), ids.size)).round().astype(int)
    some = np.union1d(by_colour[places], [best])
    return some[np.argsort(-value[some], kind="stable")]
