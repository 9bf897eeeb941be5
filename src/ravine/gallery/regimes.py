r"""The four regimes of the learning rate.

Gradient descent on a parabola of curvature c, f(x) = c x² / 2, multiplies the error by 1 − ηc at
every step. Below 1/c it creeps down one side; at 1/c it arrives in one step; between 1/c and 2/c
it overshoots to the other side each time and still arrives; beyond 2/c it climbs out.

Above: the iterates in the four regimes. Below: the error after ten steps against the learning
rate, and the boundaries that a sweep over learning rates and curvatures found, on the lines
1/c and 2/c of the theory.

Reference: Goodfellow, Bengio and Courville, Deep Learning, 2016, section 4.3,
https://www.deeplearningbook.org; LeCun et al., Efficient BackProp, 1998.
"""

from typing import Any

import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_most, close, slope, traced
from ravine.plot.frame import COLOURS, LINES, MARKERS, line_style
from ravine.plot.style import blank

CURVATURES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
REGIMES = {"small, η = 0.2/c": 0.2, "optimal, η = 1/c": 1.0, "overshooting, η = 1.8/c": 1.8,
           "diverging, η = 2.1/c": 2.1}  # fmt: skip
STEPS = 10


def parabola(x: Any, c: Any) -> Any:
    """A parabola of curvature c."""
    return c * x**2 / 2


def picture(quick: bool = False) -> Picture:
    """Run the sweep, find the boundaries, and draw them."""
    rates = np.geomspace(0.02, 20.0, 400 if quick else 2000)
    # Every learning rate meets every curvature: one sweep.
    results = rv.sweep(
        traced(parabola), 1.0, rv.SGD(rv.Grid(rates)),
        args=rv.Grid(CURVATURES), steps=STEPS, record_every=1, has_aux=True, lanes=512,
    )  # fmt: skip
    rate = results.hyperparameters["learning_rate"].astype(float)
    c = results.hyperparameters["args"].astype(float)
    path = np.asarray(results.aux, float)
    first: dict[str, list[Any]] = {"optimal": [], "overshooting": [], "diverging": []}
    for curvature in CURVATURES:
        mine = np.flatnonzero(c == curvature)
        mine = mine[np.argsort(rate[mine])]
        one_step = np.abs(path[mine, 1])
        first["optimal"].append(rate[mine[np.argmin(one_step)]])
        first["overshooting"].append(rate[mine[np.argmax(path[mine, 1] < 0)]])
        left = ~(np.abs(path[mine, STEPS]) < np.abs(path[mine, 0]))
        first["diverging"].append(rate[mine[np.argmax(left)]])
    found = {name: np.array(rates) for name, rates in first.items()}
    spacing = rates[1] / rates[0] - 1
    tiny = path[(c == 1.0) & (np.abs(path[:, 1]) > 0)]
    factor = rate[(c == 1.0) & (np.abs(path[:, 1]) > 0)]
    facts = (
        close("best learning rate after one step, times c",
              float(np.mean(found["optimal"] * CURVATURES)), 1.0, spacing),
        close("first learning rate that overshoots, times c",
              float(np.mean(found["overshooting"] * CURVATURES)), 1.0, spacing),
        close("first learning rate that diverges, times c",
              float(np.mean(found["diverging"] * CURVATURES)), 2.0, spacing),
        close("power of c in the boundary of divergence",
              slope(np.log(CURVATURES), np.log(found["diverging"])), -1.0, 0.01),
        at_most("greatest error of the factor a step, |1 − ηc|",
                float(np.max(np.abs(tiny[:, 1] / tiny[:, 0] - (1 - factor)))), 1e-5),
    )  # fmt: skip
    return Picture(_draw(rate, c, path, found), facts)


def _draw(rate: Any, c: Any, path: Any, found: Any) -> Any:
    figure = blank(9.0, 5.6)
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.25])
    for row, (ax, (name, share)) in enumerate(
        zip(above.subplots(1, 4, sharey=True), REGIMES.items(), strict=True)
    ):
        nearest = np.argmin(np.where(c == 1.0, np.abs(rate - share), np.inf))
        rv.plot.line(lambda x: x**2 / 2, (-1.6, 1.6), {"x": path[nearest]}, ax=ax)
        ax.lines[1].set(color=COLOURS[row], linestyle=LINES[row], marker=MARKERS[row])
        ax.plot(path[nearest, 0], path[nearest, 0] ** 2 / 2, "o", mfc="white", mec="black", ms=6)
        ax.get_legend().remove()
        ax.set_ylim(-0.08, 1.3)
        ax.set_title(name, fontsize="medium")
        ax.set_xlabel("x")
        ax.label_outer()
    left, right = below.subplots(1, 2)
    for row, curvature in enumerate((0.5, 2.0, 8.0)):
        mine = np.flatnonzero(c == curvature)
        mine = mine[np.argsort(rate[mine])]
        error = np.clip(np.nan_to_num(np.abs(path[mine, STEPS]), nan=1e9), 1e-9, 1e9)
        left.loglog(rate[mine], error, label=f"c = {curvature:g}", **line_style(row))
    left.axhline(1.0, color="0.6", linewidth=0.8)
    left.set(xlabel="learning rate η", ylabel=f"|error| after {STEPS} steps", ylim=(1e-7, 1e5))
    left.legend(fontsize="small")
    drawn = np.geomspace(CURVATURES[0] / 1.3, CURVATURES[-1] * 1.3, 20)
    for row, (name, top) in enumerate((("optimal", 1.0), ("diverging", 2.0))):
        style = line_style(row)
        right.loglog(drawn, top / drawn, linewidth=1.2, **style)
        mark = {"color": style["color"], "marker": MARKERS[row], "linestyle": "none"}
        label = f"{name}, measured; line: {top:g}/c"
        right.loglog(CURVATURES, found[name], label=label, **mark)
    right.set(xlabel="curvature c", ylabel="learning rate η")
    right.legend(fontsize="small")
    return figure
