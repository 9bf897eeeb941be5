r"""A straight line finds its data, with and without momentum.

Two hundred points lie about y = 5 + 2x. The loss, half the mean of the squared errors, is a
parabola in intercept and slope, whose curvatures are the eigenvalues of the matrix of moments.
They differ by a factor κ, and so plain descent shrinks the gradient by at best
(κ − 1) / (κ + 1) a step, and momentum, tuned as Polyak says, by (√κ − 1) / (√κ + 1).

Left: the steps to a gradient of 10⁻³ against the learning rate, from one sweep for each method,
beside what the recurrence of the theory predicts in double precision; dotted are the best rates
by Polyak. Right: the line on its way, which also moves in the film.

Reference: Polyak, Some methods of speeding up the convergence of iteration methods, 1964,
https://doi.org/10.1016/0041-5553(64)90137-5.
"""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_most, close, panels, traced
from ravine.plot.frame import COLOURS, line_style, plain_ticks

TOLERANCE = 1e-3
STEPS = 2000


def points(n: int = 200) -> Any:
    """Points about the line y = 5 + 2x."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.0, 4.0, n)
    return x, 5 + 2 * x + 0.8 * rng.normal(size=n)


def picture(quick: bool = False) -> Picture:
    """Sweep the learning rates of both methods, and let the line of the best ones move."""
    x, y = points()
    design = np.column_stack([np.ones_like(x), x])
    moments = design.T @ design / len(x)
    low, high = np.linalg.eigvalsh(moments)
    fitted = np.linalg.solve(moments, design.T @ y / len(x))
    beta = float(((np.sqrt(high) - np.sqrt(low)) / (np.sqrt(high) + np.sqrt(low))) ** 2)
    best = {"plain": 2 / (low + high), "momentum": 4 / (np.sqrt(low) + np.sqrt(high)) ** 2}
    data = jnp.asarray(design, jnp.float32), jnp.asarray(y, jnp.float32)

    def loss(theta: Any) -> Any:
        return jnp.mean((data[0] @ theta - data[1]) ** 2) / 2

    count = 40 if quick else 200
    optimizers = {
        name: rv.SGD(rv.Grid(np.append(np.geomspace(0.02, 0.8, count), rate)), momentum)
        for (name, rate), momentum in zip(best.items(), (None, beta), strict=True)
    }
    # One sweep: every learning rate of both methods, each until its gradient is small.
    stop = rv.GradNorm(TOLERANCE) | rv.Diverged()
    results = rv.sweep(loss, jnp.zeros(2), optimizers, steps=STEPS, stop=stop, keep="all")
    momentum = np.where(results.names == "momentum", beta, 0.0)
    rate = results.hyperparameters["learning_rate"].astype(float)
    predicted = theory(rate, momentum, moments, fitted)
    converged = np.array([str(s) == "converged" for s in results.status])
    both = converged & (predicted < STEPS)
    last = [np.flatnonzero(results.names == name)[-1] for name in best]
    at_best, at_theory = results.steps[last], predicted[last]
    kappa = high / low
    params = np.full((len(results), 2), np.nan)
    params[results.kept_ids] = results.params
    reach = TOLERANCE / low + 1e-3
    facts = (
        at_most("greatest difference from the predicted steps",
                float(np.max(np.abs(results.steps - predicted)[both])), 2),
        at_most("trials that converge in one and not in the other",
                int(np.sum(converged != (predicted < STEPS))), 1),
        close("steps of plain descent at 2/(μ + L)", at_best[0],
              np.log(TOLERANCE / np.linalg.norm(moments @ fitted))
              / np.log((kappa - 1) / (kappa + 1)), 0.15),
        close("plain descent's steps over momentum's", at_best[0] / at_best[1],
              at_theory[0] / at_theory[1], 0.05),
        at_most("distance to the least-squares line",
                float(np.max(np.linalg.norm(params - fitted, axis=1)[converged])), reach),
    )  # fmt: skip
    # At the best rates the lines swing about; at 1/L their way can be followed.
    calm = {"plain": rv.SGD(1 / high), f"momentum {beta:.2f}": rv.SGD(1 / high, beta)}
    walks = {
        name: rv.minimize(traced(loss), jnp.zeros(2), one, steps=60, has_aux=True).aux
        for name, one in calm.items()
    }
    figure = _draw(results, rate, predicted, converged, best, walks, (x, y))
    return Picture(figure, facts, partial(_film, x, y, walks))


def theory(rate: Any, momentum: Any, moments: Any, fitted: Any) -> Any:
    """When the gradient is small, by the recurrence itself; as many numbers as there are rates."""
    error = np.broadcast_to(-fitted, (rate.size, 2)).copy()
    velocity = np.zeros_like(error)
    needed = np.full(rate.size, np.inf)
    for step in range(STEPS):
        with np.errstate(all="ignore"):
            gradient = error @ moments
            hit = (np.linalg.norm(gradient, axis=1) <= TOLERANCE) & np.isinf(needed)
            needed[hit] = step
            velocity = momentum[:, None] * velocity + gradient
            error = error - rate[:, None] * velocity
    return needed


def _film(x: Any, y: Any, walks: Any, path: Any) -> Any:
    from ravine.plot.style import blank

    rv.plot.animate_regression(
        x, y, walks, path=path, seconds=5, fps=12, ax=blank(5.0, 3.6).subplots()
    )


def _draw(
    results: Any, rate: Any, predicted: Any, converged: Any, best: Any, walks: Any, data: Any
) -> Any:
    figure, (left, right) = panels(1, 2, 9.0, 3.8)
    for row, name in enumerate(best):
        mine = np.flatnonzero(results.names == name)
        mine = mine[np.argsort(rate[mine])]
        style = line_style(row)
        shown = np.where(np.isfinite(predicted[mine]), predicted[mine], np.nan)
        left.plot(rate[mine], shown, linewidth=1.2, label=f"{name}, theory", **style)
        hit = mine[converged[mine]][:: max(len(mine) // 40, 1)]
        dots = {"color": style["color"], "marker": "os"[row], "s": 16, "linewidths": 0}
        left.scatter(rate[hit], results.steps[hit], label=f"{name}, measured", **dots)
        left.axvline(best[name], color=style["color"], linewidth=0.8, linestyle=":")
    left.set(xscale="log", yscale="log", xlabel="learning rate η",
             ylabel=f"steps to |gradient| ≤ {TOLERANCE:g}")  # fmt: skip
    plain_ticks(left.yaxis)
    plain_ticks(left.xaxis)
    left.legend(fontsize="small")
    x, y = data
    right.scatter(x, y, s=8, color="0.6", linewidths=0)
    ends = np.array([0.0, 4.0])
    for step, pale in ((1, 0.35), (3, 0.5), (10, 0.7), (40, 1.0)):
        for row, walk in enumerate(walks.values()):
            a, b = np.asarray(walk[step], float)
            right.plot(ends, a + b * ends, alpha=pale, linewidth=1.3, **line_style(row))
            if row == 0:
                right.annotate(f"{step}", (4.0, a + b * 4.0), color=COLOURS[0], fontsize="small",
                               xytext=(3, 0), textcoords="offset points", va="center")  # fmt: skip
    for row, name in enumerate(walks):
        right.plot([], [], label=name, **line_style(row))
    right.legend(fontsize="small", loc="upper left")
    right.set(xlabel="x", ylabel="y", ylim=(0, y.max() + 1))
    right.set_title("the line after 1, 3, 10 and 40 steps at η = 1/L", fontsize="medium")
    return figure
