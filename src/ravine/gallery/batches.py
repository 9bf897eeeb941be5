r"""Batch, stochastic and mini-batch descent on the same data.

A line is fitted to 1,024 points. A step on the full batch costs 1,024 looks at a point, a step on a
mini-batch of 32 costs 32, and a stochastic step one. Counted in points, the small batches arrive
long before; counted in time they lose some of that again, as each step has a cost of its own.
But a constant learning rate never lets them arrive altogether: they hover above the minimum at a
height that for single points is ησ² tr(H) / 4, with the noise σ² of the data, and falls with the
size of the batch.

Left: the loss above its minimum against the points seen, the median over seeds with the middle half
of them shaded. Right: the same against the time that each lane of the sweep took.

Reference: Bottou, Curtis and Nocedal, Optimization methods for large-scale machine learning, 2018,
https://arxiv.org/abs/1606.04838, section 4.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, close, panels
from ravine.plot.frame import line_style

EXAMPLES, NOISE = 1024, 0.8
KINDS = {
    "batch": (None, 0.5, 60),
    "mini-batch of 32": (32, 0.1, 1500),
    "stochastic": (1, 0.03, 12_000),
}
"""The size of a batch, the learning rate, and the steps."""


def points() -> Any:
    """Points about the line y = 5 + 2x, with a column of ones for the intercept."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=EXAMPLES)
    y = 5 + 2 * x + NOISE * rng.normal(size=EXAMPLES)
    return np.column_stack([np.ones_like(x), x]), y


def loss(theta: Any, batch: Any) -> Any:
    """Half the mean squared error on a batch."""
    x, y = batch
    return jnp.mean((x @ theta - y) ** 2) / 2


def picture(quick: bool = False) -> Picture:
    """Fit the line with each kind of batch, from many seeds at once."""
    seeds = 8 if quick else 64
    design, y = points()
    hessian = design.T @ design / EXAMPLES
    fitted = np.linalg.solve(hessian, design.T @ y / EXAMPLES)
    residual = float(np.mean((design @ fitted - y) ** 2))
    data = jnp.asarray(design, jnp.float32), jnp.asarray(y, jnp.float32)
    curvature, minimum = jnp.asarray(hessian, jnp.float32), jnp.asarray(fitted, jnp.float32)

    def above(theta: Any) -> Any:
        # The loss on all points less the least there is, without their cancellation.
        return (theta - minimum) @ curvature @ (theta - minimum) / 2

    found = {}
    for name, (size, rate, steps) in KINDS.items():
        results = rv.sweep(
            loss, jnp.zeros(2), rv.SGD(rate), steps=steps, seeds=seeds, lanes=seeds, workers=1,
            batches=rv.Batches(data, size=size), metric=above, metric_every=max(steps // 300, 1),
            record_every=0,
        )  # fmt: skip
        spent = results.info["seconds"] - results.info["compile_seconds"]
        found[name] = (results.metric_steps, results.metric_history, size or EXAMPLES,
                       spent / steps / seeds)  # fmt: skip
    reached = {name: _points_to(*f[:3], level=0.05) for name, f in found.items()}
    floor = {name: float(np.mean(f[1][:, f[1].shape[1] // 2 :])) for name, f in found.items()}
    rate = KINDS["stochastic"][1]
    facts = (
        close("stochastic: height at which it hovers, ησ² tr(H) / 4",
              floor["stochastic"], rate * residual * np.trace(hessian) / 4, 0.35 if quick else 0.2),
        at_least("points that the full batch sees to an excess of 0.05, over the mini-batch's",
                 reached["batch"] / reached["mini-batch of 32"], 4),
        at_least("height of single points over that of mini-batches",
                 floor["stochastic"] / floor["mini-batch of 32"], 2),
        at_least("height of mini-batches over that of the full batch",
                 floor["mini-batch of 32"] / max(floor["batch"], 1e-12), 10),
    )  # fmt: skip
    return Picture(_draw(found), facts)


def _points_to(steps: Any, excess: Any, size: Any, level: Any) -> Any:
    """How many points are seen until the median over seeds is at most ``level``."""
    below = np.median(excess, axis=0) <= level
    return float(steps[np.argmax(below)]) * size if below.any() else np.inf


def _draw(found: Any) -> Any:
    figure, axes = panels(1, 2, 9.2, 3.8, sharey=True)
    for row, (name, (steps, excess, size, second)) in enumerate(found.items()):
        style = line_style(row)
        low, middle, high = np.quantile(np.maximum(excess, 1e-9), [0.25, 0.5, 0.75], axis=0)
        for ax, scale in zip(axes, (size, second), strict=True):
            x = np.maximum(steps, 0.5) * scale
            ax.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
            ax.loglog(x, middle, label=name, **style)
    axes[0].set(xlabel="points seen", ylabel="loss above the minimum", ylim=(1e-7, 30))
    axes[1].set(xlabel="seconds a run, in lanes side by side")
    axes[0].legend(fontsize="small")
    return figure
