r"""Momentum's rate of convergence, over every learning rate and every momentum.

Gradient descent with momentum on a quadratic is a linear recurrence: along an eigenvector of
curvature λ, the pair of the last two errors is multiplied by the matrix

    [[1 + β − αλ, −β], [1, 0]],

and the error shrinks at last by its spectral radius a step. It is √β where the two roots of
r² − (1 + β − αλ) r + β are complex, the greater root where they are real, and over the whole
quadratic the greatest of these. It is least at

    α = 4 / (√L + √μ)²,   β = ((√L − √μ) / (√L + √μ))²,

where every curvature between μ and L has its roots just together; the star marks it.

Each of 40,000 pixels is one run of the engine, all of them one sweep. Its rate is the slope of
log loss against the step, fitted to the second half of the run; the theory has no free
parameter. They agree to 1% but beside the line where the two roots of one curvature meet, where
the error falls as t ρᵗ and so not yet at its rate.

Reference: Polyak, Some methods of speeding up the convergence of iteration methods, 1964,
https://doi.org/10.1016/0041-5553(64)90137-5; Goh, Why momentum really works, 2017,
https://doi.org/10.23915/distill.00006.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, at_most, close
from ravine.plot.style import blank

CURVATURES = np.array([1.0, 10.0])
START = 1e15
"""Far out: so 30 decades of error fit into single precision."""


def picture(quick: bool = False) -> Picture:
    """Measure the rate of every pair, compare it with the closed form, and draw both."""
    side, steps = (40, 250) if quick else (200, 500)
    low, high = CURVATURES
    alpha = np.linspace(0, 4.4 / high, side + 1)[1:]
    beta = np.linspace(0, 1, side, endpoint=False)

    def loss(x: Any) -> Any:
        return jnp.sum(jnp.asarray(CURVATURES, x.dtype) * x**2) / 2

    # Beyond this value it diverges, by some rate that is measured as well.
    stop = rv.Target(1e-32) | rv.Diverged(1e37)
    results = rv.sweep(
        loss, jnp.full(2, START), rv.SGD(rv.Grid(alpha), rv.Grid(beta)),
        steps=steps, stop=stop, record_every=1, keep=0, lanes=1024,
    )  # fmt: skip
    shape = (side, side)
    pairs = [results.hyperparameters[k].astype(float) for k in ("learning_rate", "momentum")]
    measured = rates(results.history).reshape(shape)
    expected, gap = theory(*pairs)
    expected, gap = expected.reshape(shape), gap.reshape(shape)
    error = np.abs(measured / expected - 1)
    # So near the double root that the run is too short to tell one root from the other.
    clear = (gap > 0.1) & np.isfinite(measured) & (expected > 0.2)
    best = np.unravel_index(np.nanargmin(np.where(expected < 0.2, np.nan, measured)), shape)
    optimum = 4 / (np.sqrt(high) + np.sqrt(low)) ** 2
    root = (np.sqrt(high) - np.sqrt(low)) / (np.sqrt(high) + np.sqrt(low))
    grid = [pair.reshape(shape) for pair in pairs]
    converges, should = measured < 1, grid[0] * high < 2 * (1 + grid[1])
    decided = np.abs(expected - 1) > 0.005
    facts = (
        at_least("share of pairs away from the double root", float(clear.mean()), 0.6),
        at_least("share of those that agree to 1%", float(np.mean(error[clear] < 0.01)), 0.999),
        at_most("median error of all", float(np.nanmedian(error)), 0.002),
        at_most("pairs on the wrong side of αL = 2(1 + β)",
                int(np.sum((converges != should) & decided)), 0),
        close("least rate measured, (√κ − 1) / (√κ + 1)", float(measured[best]), root, 0.05),
        close("α where it is", float(grid[0][best]), optimum, 0.12),
        close("β where it is", float(grid[1][best]), root**2, 0.12),
    )  # fmt: skip
    figure = _draw(alpha, beta, measured, expected, error, (optimum, root**2))
    return Picture(figure, facts)


def rates(history: Any) -> Any:
    """The factor a step by which each error changes at last: half the slope of log loss."""
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where(np.isfinite(history) & (history > 0), np.log(history) / 2, np.nan)
    known = np.isfinite(y)
    length = known.sum(axis=1, keepdims=True)
    t = np.arange(history.shape[1])[None]
    weight = (known & (t >= length // 2)).astype(float)
    y = np.where(weight > 0, y, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = (t - (weight * t).sum(axis=1, keepdims=True) / total) * weight
        fitted = (centred * y).sum(axis=1) / (centred * t).sum(axis=1)
    return np.exp(fitted)


def theory(alpha: Any, beta: Any) -> Any:
    """The spectral radius, and how far apart the two roots of the slowest curvature are."""
    linear = 1 + beta[:, None] - alpha[:, None] * CURVATURES
    inside = (linear**2 - 4 * beta[:, None]).astype(complex)
    split = np.sqrt(inside)
    radius = np.maximum(np.abs(linear + split), np.abs(linear - split)) / 2
    # Of which curvature the radius is; of both, where both are complex.
    slowest = radius >= radius.max(axis=1, keepdims=True) * (1 - 1e-3)
    return radius.max(axis=1), np.where(slowest, np.abs(split), np.inf).min(axis=1)


def _draw(alpha: Any, beta: Any, measured: Any, expected: Any, error: Any, optimum: Any) -> Any:
    from matplotlib.colors import LogNorm

    figure = blank(10.5, 3.9)
    axes = figure.subplots(1, 3, sharey=True, sharex=True)
    shown = {"cmap": "viridis", "vmin": 0.4, "vmax": 1.2, "rasterized": True}
    titles = ("measured", "theory: the spectral radius", "relative difference")
    for ax, values, title in zip(axes, (measured, expected, error), titles, strict=True):
        # Trials run through the momenta first, so a row of the array is a learning rate.
        if title == titles[2]:
            norm = LogNorm(1e-5, 1e-1)
            mesh = ax.pcolormesh(alpha, beta, np.clip(values, 1e-5, 0.1).T, norm=norm,
                                 cmap="cividis", rasterized=True)  # fmt: skip
        else:
            mesh = ax.pcolormesh(alpha, beta, np.clip(values, 0.4, 1.2).T, **shown)
            levels = [0.5, 0.6, 0.7, 0.8, 0.9]
            ax.contour(alpha, beta, expected.T, levels=levels, colors="white", linewidths=0.6)
            ax.contour(alpha, beta, expected.T, levels=[1.0], colors="black", linewidths=1.4)
            ax.plot(*optimum, marker="*", ms=13, mfc="#D55E00", mec="white", mew=0.9)
            ax.text(0.97, 0.03, "diverges", ha="right", transform=ax.transAxes, fontsize="small")
        label = "|measured / theory − 1|" if title == titles[2] else "factor of the error a step"
        figure.colorbar(mesh, ax=ax, location="bottom", aspect=25, label=label)
        ax.set_title(title, fontsize="medium")
        ax.set_xlabel("learning rate α")
        ax.grid(False)
    axes[0].set_ylabel("momentum β")
    return figure
