r"""AdaGrad's vanishing rate, and the example on which Adam fails.

AdaGrad divides by the root of the sum of all squared gradients. Where the gradient stays the same,
its step shrinks as 1/√t, without end; RMSProp and Adam divide by the root of an average that
forgets, and go on at their learning rate; Adadelta's steps grow from almost nothing.

But what forgets can forget too much. Let the losses on [−1, 1] be 3x, −x and −x in turn: their sum
goes down to the left, and x = −1 is best. The one gradient that says so is large, and is divided
by its own size; the two small ones after it, by when it is forgotten, push back further. Adam
without momentum and with β₂ = 1/10 ends at x = 1, the worst point there is. AMSGrad, which never
lets its divisor shrink, ends at x = −1, and so does AdaGrad.

Left: the length of the step where the gradient is 1 for ever. Right: where the methods are in
the example, with learning rates that fall as 1/√t.

Reference: Duchi, Hazan and Singer, Adaptive subgradient methods, 2011,
https://jmlr.org/papers/v12/duchi11a.html; Reddi, Kale and Kumar, On the convergence of Adam and
beyond, 2018, https://arxiv.org/abs/1904.09237, theorem 1.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.core.projections import projection_box
from ravine.gallery.base import Picture, at_most, close, panels, slope, traced
from ravine.plot.frame import line_style

RATE = 0.1
LARGE = 3.0
"""The slope of the example's one loss in three that goes up."""


def hillside(x: Any) -> Any:
    """A gradient of 1 for ever."""
    return x


def online(x: Any, factor: Any) -> Any:
    """The loss of the moment, a line through the origin."""
    return jnp.sum(factor) * x


def picture(quick: bool = False) -> Picture:
    """Walk down the hillside, then play the example, with every method in one sweep each."""
    steps = 300 if quick else 3000
    walkers = {
        "AdaGrad": rv.Adagrad(RATE, initial_accumulator_value=0.0),
        "RMSProp": rv.RMSProp(RATE),
        "Adadelta": rv.Adadelta(1.0),
        "Adam": rv.Adam(RATE),
        "AMSGrad": rv.AMSGrad(RATE),
    }
    if quick:
        walkers = {name: walkers[name] for name in ("AdaGrad", "RMSProp")}
    walk = rv.sweep(
        traced(hillside), 0.0, walkers, trials=1, steps=steps, record_every=1, has_aux=True
    )
    lengths = dict(zip(walkers, np.abs(np.diff(np.asarray(walk.aux, float))), strict=True))
    t = np.arange(1, steps + 1)
    tail = t > steps // 10
    rounds = 400 if quick else 4000
    ends, when = _example(rounds, quick)
    facts = (
        close("AdaGrad's step over 1/√t of the first", float(
            np.mean(lengths["AdaGrad"][tail] * np.sqrt(t[tail])) / lengths["AdaGrad"][0]), 1, 0.01),
        close("power of t in AdaGrad's step",
              slope(np.log(t[tail]), np.log(lengths["AdaGrad"][tail])), -0.5, 0.02),
        *(
            close(f"{name}'s last step over its learning rate",
                  float(np.mean(lengths[name][-50:])) / RATE, 1.0, 0.02)
            for name in ("RMSProp", "Adam", "AMSGrad") if name in lengths
        ),
        at_most("Adam: distance from the worst point, x = 1", abs(ends["Adam"][-1] - 1), 0.02),
        *(
            at_most(f"{name}: distance from the best point, x = −1", abs(ends[name][-1] + 1),
                    0.2 if quick else 0.05)
            for name in ("AMSGrad", "AdaGrad") if name in ends
        ),
    )  # fmt: skip
    return Picture(_draw(t, lengths, when, ends), facts)


def _example(rounds: Any, quick: Any) -> Any:
    """Where each method is at the end of each round of three losses."""
    factors = jnp.asarray([LARGE, -1.0, -1.0], jnp.float32)
    rate = rv.schedules.InverseSqrtDecay(0.5, 0.5, 0)
    inside = rv.Project(projection_box, (-1.0, 1.0))
    methods = {
        "Adam": rv.Adam(rate, b1=0.0, b2=1 / (1 + LARGE**2)),
        "AMSGrad": rv.AMSGrad(rate, b1=0.0, b2=1 / (1 + LARGE**2)),
        "AdaGrad": rv.Adagrad(0.5, initial_accumulator_value=0.0),
    }
    if quick:
        methods = {name: methods[name] for name in ("Adam", "AMSGrad")}
    results = rv.sweep(
        traced(online), 0.0, {name: rv.chain(one, inside) for name, one in methods.items()},
        trials=1, steps=3 * rounds, batches=rv.Batches(factors, size=1, shuffle=False),
        stop=rv.MaxSteps(3 * rounds), record_every=3, has_aux=True,
    )  # fmt: skip
    return dict(zip(methods, np.asarray(results.aux, float), strict=True)), results.history_steps


def _draw(t: Any, lengths: Any, when: Any, ends: Any) -> Any:
    figure, (left, right) = panels(1, 2, 9.0, 3.7)
    for row, (name, length) in enumerate(lengths.items()):
        left.loglog(t, length, label=name, **line_style(row))
    left.loglog(t, RATE / np.sqrt(t), color="0.5", linewidth=0.8, zorder=0)
    left.text(30, RATE / 30**0.5 / 1.5, "∝ 1/√t", color="0.4", ha="right", va="top")
    left.set(xlabel="step t", ylabel="length of the step where the gradient is 1")
    left.legend(fontsize="small")
    order = {"AdaGrad": 0, "Adam": 3, "AMSGrad": 4}
    for name, x in ends.items():
        right.semilogx(np.maximum(when, 1), x, label=name, **line_style(order[name]))
    for height, word in ((1.0, "the worst point"), (-1.0, "the best point")):
        right.axhline(height, color="0.6", linewidth=0.8, zorder=0)
        at = {"ha": "left", "va": "bottom" if height < 0 else "top", "fontsize": "small"}
        right.text(1.2, height * 0.98, word, color="0.4", **at)
    right.set(xlabel="step t", ylabel="x at the end of a round", ylim=(-1.1, 1.1))
    right.legend(fontsize="small", loc="center right")
    return figure
