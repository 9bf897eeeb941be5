r"""The ravine: six optimizers on an ill-conditioned quadratic.

The loss (x² + κ y²) / 2 is a valley with steep walls and a nearly flat floor. Plain descent must
take steps so small that the walls do not throw it out, 2/κ, and creeps along the floor, in a
number of steps that grows as κ; momentum gathers speed along the floor, where all gradients point
the same way, and cancels what the walls throw back and forth, in a number of steps that grows
as √κ. Methods that scale each coordinate do not see this valley at all, as it lies along the
axes.

Left: the path of each method at the learning rate that was the best of a sweep. Right, above: the
speed on a slope that never ends. Momentum β moves at last 1/(1 − β) times as fast as plain descent
at the same learning rate. Right, below: the best number of steps against κ.

Reference: Goh, Why momentum really works, 2017, https://doi.org/10.23915/distill.00006; Nesterov,
A method of solving a convex programming problem with convergence rate O(1/k²), 1983.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_most, close, slope, traced
from ravine.plot.frame import COLOURS, MARKERS, line_style, plain_ticks
from ravine.plot.style import blank

KAPPA = 50.0
START = np.array([-10.0, 1.0])
MOMENTUM = ((np.sqrt(KAPPA) - 1) / (np.sqrt(KAPPA) + 1)) ** 2
BETAS = np.array([0.0, 0.5, 0.8, 0.9, 0.95, 0.99])


def valley(x: Any, kappa: Any = KAPPA) -> Any:
    """A valley along the first axis, κ times as steep across."""
    return (x[0] ** 2 + kappa * x[1] ** 2) / 2


def hillside(x: Any) -> Any:
    """A slope that never ends."""
    return -x


def picture(quick: bool = False) -> Picture:
    """Race the six methods, measure momentum's gain, and the steps for each condition."""
    count = 24 if quick else 96
    rates = rv.LogGrid(2e-3, 2.0, count)
    momentum = float(MOMENTUM)
    optimizers = {
        "plain": rv.SGD(rates),
        "momentum": rv.SGD(rates, momentum),
        "Nesterov": rv.SGD(rates, momentum, nesterov=True),
        "AdaGrad": rv.Adagrad(rv.LogGrid(0.02, 20.0, count)),
        "RMSProp": rv.RMSProp(rates),
        "Adam": rv.Adam(rates),
    }
    if quick:
        optimizers = {name: optimizers[name] for name in ("plain", "momentum")}
    # One sweep finds the best learning rate of each method.
    results = rv.sweep(
        traced(valley), jnp.asarray(START, jnp.float32), optimizers, steps=400,
        stop=rv.Target(1e-4) | rv.Diverged(1e4), record_every=1, has_aux=True,
    )  # fmt: skip
    steps = np.where([str(s) == "converged" for s in results.status], results.steps, np.inf)
    best = {}
    for name in optimizers:
        mine = np.flatnonzero(results.names == name)
        order = np.lexsort((results.values[mine], steps[mine]))
        best[name] = mine[order[0]]
    speeds = _speeds()
    kappas = np.array([10.0, 30.0, 100.0, 300.0] if quick else [10.0, 30.0, 100.0, 300.0, 1000.0])
    needed = _needed(kappas)
    facts = (
        *(
            close(f"momentum {b:g}: speed over plain descent's", speed, 1 / (1 - b), 0.01)
            for b, speed in zip(BETAS[1:], speeds[1:], strict=True)
        ),
        close("plain descent: power of κ in its steps",
              slope(np.log(kappas), np.log(needed["plain"])), 1.0, 0.1),
        close("momentum: power of κ in its steps",
              slope(np.log(kappas), np.log(needed["momentum"])), 0.5, 0.2),
        at_most("momentum's steps over plain descent's, of the best",
                float(steps[best["momentum"]] / steps[best["plain"]]), 0.5),
    )  # fmt: skip
    paths = {}
    for name, id in best.items():
        told = f"{name}, {steps[id]:.0f} steps, η = {results[int(id)].optimizer.learning_rate:.2g}"
        paths[told] = results.aux[id]
    return Picture(_draw(paths, speeds, kappas, needed), facts)


def _speeds() -> Any:
    """The length of a step on an endless slope, over that of plain descent, for every β."""
    # All in one sweep: without momentum is momentum 0.
    rate = 1e-3
    slide = rv.sweep(
        traced(hillside), 0.0, rv.SGD(rate, rv.Grid(BETAS)), steps=1000, stop=rv.MaxSteps(1000),
        record_every=1, has_aux=True,
    )  # fmt: skip
    path = np.asarray(slide.aux, float)
    return (path[:, -1] - path[:, -101]) / (100 * rate)


def _needed(kappas: Any) -> Any:
    """The fewest steps to an error of 10⁻³ along the floor, for each κ and either method."""
    betas = rv.Grid(1 - np.geomspace(0.02, 0.9, 40))
    optimizers = {
        "plain": rv.SGD(rv.LogGrid(1e-3, 0.2, 150)),
        "momentum": rv.SGD(rv.LogGrid(2e-3, 0.5, 60), betas),
    }
    # Every rate, and momentum, meets every κ: one sweep again.
    results = rv.sweep(
        valley, jnp.array([1.0, 1.0]), optimizers, args=rv.Grid(kappas), steps=5000,
        stop=rv.Target(5e-7) | rv.Diverged(1e6), record_every=0, keep=0, lanes=512,
    )  # fmt: skip
    kappa = results.hyperparameters["args"].astype(float)
    steps = np.where([str(s) == "converged" for s in results.status], results.steps, np.inf)
    return {
        name: np.array(
            [steps[(results.names == name) & np.isclose(kappa, k)].min() for k in kappas]
        )
        for name in optimizers
    }


def _draw(paths: Any, speeds: Any, kappas: Any, needed: Any) -> Any:
    figure = blank(11.0, 5.4)
    maps, graphs = figure.subfigures(1, 2, width_ratios=[2.5, 1])
    axes = maps.subplots(3, 2, sharex=True, sharey=True)
    for row, (ax, (name, path)) in enumerate(zip(axes.T.flat, paths.items(), strict=False)):
        rv.plot.contour(valley, (-11, 3), (-2.2, 2.2), {name: path}, minima=[(0, 0)], ax=ax)
        ax.get_legend().remove()
        for drawn in ax.collections[1:]:
            if drawn.get_zorder() == 3:
                drawn.set_color(COLOURS[row])
            elif drawn.get_zorder() == 4:
                drawn.set_edgecolor(COLOURS[row])
        ax.set_title(name, fontsize="medium")
        ax.set(xlabel="x", ylabel="y")
        ax.label_outer()
    above, below = graphs.subplots(2, 1)
    gain = np.linspace(0, 0.992, 400)
    above.semilogy(1 - gain, 1 / (1 - gain), color="0.5", label="1/(1 − β)")
    above.plot(1 - BETAS, speeds, "o", color=COLOURS[1], label="measured")
    above.set_xscale("log")
    above.invert_xaxis()
    above.set(xlabel="1 − β", ylabel="speed over plain descent's")
    plain_ticks(above.yaxis)
    above.legend(fontsize="small")
    for row, (name, power) in enumerate((("plain", 1.0), ("momentum", 0.5))):
        style = line_style(row)
        guide = needed[name][-1] * (kappas / kappas[-1]) ** power
        below.loglog(kappas, guide, linewidth=0.8, **style)
        told = f"{name}; line: ∝ {'κ' if power == 1 else '√κ'}"
        below.loglog(kappas, needed[name], MARKERS[row], color=style["color"], label=told)
    below.set(xlabel="condition κ", ylabel="best steps")
    below.legend(fontsize="small")
    return figure
