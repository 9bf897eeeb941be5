r"""The saddle: who leaves it, and when.

At the origin of f(x, y) = y² − x² the gradient vanishes, and nothing but chance leads away. Beside
it, at a distance x₀ from the ridge, plain descent moves off by the factor 1 + 2η a step, and so
needs log(1/x₀) / log(1 + 2η) steps to come out; momentum by the greater root of
r² − (1 + β + 2η) r + β = 0, which is much larger. Both wait the longer the closer they begin.
Methods that divide by the size of the gradient take steps of one size however small it is: the
time that Adam and RMSProp need hardly depends on the start. On the ridge itself all stay for
ever, but the one with noise.

Left: paths from a start close to the ridge. Right: steps until |x| > 1 against the distance at
the start, one sweep over methods and starts, with the lines of the theory.

Reference: Dauphin et al., Identifying and attacking the saddle point problem in
high-dimensional non-convex optimization, 2014, https://arxiv.org/abs/1406.2572; Lee et al.,
Gradient descent only converges to minimizers, 2016, https://arxiv.org/abs/1602.04915.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, at_most, close, traced
from ravine.plot.frame import COLOURS, MARKERS, line_style, plain_ticks
from ravine.plot.style import blank

RATE, BETA, STEPS = 0.01, 0.9, 3000
OPTIMIZERS = {
    "plain": rv.SGD(RATE),
    "momentum": rv.SGD(RATE, BETA),
    "AdaGrad": rv.Adagrad(RATE, initial_accumulator_value=0.0, eps=1e-20),
    "RMSProp": rv.RMSProp(RATE, eps=1e-20),
    "Adam": rv.Adam(RATE, eps=1e-20),
    "with noise": rv.NoisySGD(RATE, eta=0.01, gamma=0.0),
}
SIMILAR = ("AdaGrad", "RMSProp")
"""Left out of the quick picture."""


def saddle(point: Any) -> Any:
    """A saddle between two valleys that have no bottom."""
    return point[1] ** 2 - point[0] ** 2


def picture(quick: bool = False) -> Picture:
    """Let every method go from every distance, and from the ridge itself."""
    optimizers = {name: o for name, o in OPTIMIZERS.items() if not quick or name not in SIMILAR}
    distances = np.geomspace(1e-8, 1e-1, 8 if quick else 22)  # 10⁻³ among them
    points = np.column_stack([np.append(distances, 0.0), np.ones(distances.size + 1)])
    # The values at which x is out: y has long come to rest.
    results = rv.sweep(
        traced(saddle), rv.Starts(jnp.asarray(points, jnp.float32)), optimizers, steps=STEPS,
        stop=rv.Target(-1.0), record_every=1, has_aux=True, keep=0,
    )  # fmt: skip
    out = np.array([str(s) == "converged" for s in results.status])
    steps = np.where(out, results.steps, np.inf).reshape(len(optimizers), -1)
    found = dict(zip(optimizers, steps, strict=True))
    paths = dict(zip(optimizers, results.aux.reshape(*steps.shape, -1, 2), strict=True))
    predicted = {
        "plain": np.log(1 / distances) / np.log(1 + 2 * RATE),
        "momentum": _with_momentum(distances),
    }
    facts = (
        *(
            at_most(f"{name}: greatest difference from the predicted steps",
                    float(np.max(np.abs(found[name][:-1] - expected))), 2)
            for name, expected in predicted.items()
        ),
        close("plain descent, from 10⁻⁸: steps to leave", float(found["plain"][0]),
              float(np.log(1e8) / np.log(1 + 2 * RATE)), 0.01),
        *(
            at_most(f"{name}: steps from 10⁻⁸ over steps from 10⁻¹",
                    float(found[name][0] / found[name][-2]), 1.3)
            for name in ("RMSProp", "Adam") if name in found
        ),
        at_most("methods that leave the ridge itself, but for the noisy one",
                sum(np.isfinite(s[-1]) for name, s in found.items() if name != "with noise"), 0),
        at_least("and the noisy one", float(np.isfinite(found["with noise"][-1])), 1),
    )  # fmt: skip
    return Picture(_draw(distances, found, predicted, paths), facts)


def _with_momentum(distances: Any) -> Any:
    """Steps to |x| = 1 with momentum, which begins at rest: two roots, of which one shrinks."""
    total = 1 + BETA + 2 * RATE
    root = np.sqrt(total**2 - 4 * BETA)
    fast, slow = (total + root) / 2, (total - root) / 2
    # x_t = x_0 (A fast^t + B slow^t), with x_1 = (1 + 2 RATE) x_0.
    share = (1 + 2 * RATE - slow) / (fast - slow)
    return np.log(1 / (distances * share)) / np.log(fast)


def _draw(distances: Any, found: Any, predicted: Any, paths: Any) -> Any:
    figure = blank(9.6, 4.0)
    left, right = figure.subplots(1, 2)
    begun = int(np.argmin(np.abs(np.log(distances / 1e-3))))
    shown = {name: path[begun] for name, path in paths.items()}
    rv.plot.contour(saddle, (-0.4, 1.2), (-0.6, 1.1), shown, ax=left)
    left.set(xlabel="x", ylabel="y")
    left.set_title("paths from beside the ridge, $x_0 = 10^{-3}$", fontsize="medium")
    for row, (name, steps) in enumerate(found.items()):
        style = line_style(row)
        if name in predicted:
            right.loglog(distances, predicted[name], color=style["color"], linewidth=0.9)
        mark = {"color": style["color"], "marker": MARKERS[row], "markersize": 4.5}
        joined = "none" if name in predicted else style["linestyle"]
        label = f"{name}; line: theory" if name in predicted else name
        right.loglog(distances, steps[:-1], linestyle=joined, linewidth=0.8, label=label, **mark)
    right.axvline(distances[0] / 3, color="0.6", linewidth=0.8)
    right.set_ylim(8, 2000)
    right.plot([distances[0] / 10], [found["with noise"][-1]], MARKERS[5], color=COLOURS[5])
    right.set_xlim(distances[0] / 40, 0.2)
    words = ["on the\nridge", *(f"$10^{{-{power}}}$" for power in (8, 6, 4, 2))]
    right.set_xticks([distances[0] / 10, 1e-8, 1e-6, 1e-4, 1e-2], words)
    right.minorticks_off()
    plain_ticks(right.yaxis)
    right.set(xlabel="distance from the ridge at the start", ylabel="steps until |x| > 1")
    right.legend(fontsize="x-small", ncols=2, loc="lower left")
    return figure
