r"""The edge of stability.

Gradient descent is stable on a parabola as long as its curvature is below 2/η. A network has no
one curvature: as it learns, the greatest eigenvalue of its Hessian, the sharpness, rises by itself.
At the edge, 2/η, theory for parabolas says that training flies apart. It does not: the sharpness
stops rising and hovers about 2/η, while the loss goes on down, no longer at every step.

A network with one hidden layer of tanh units learns a polynomial from twenty points, by descent on
all of them at once, with several learning rates in one sweep, which records the weights along the
way.

Left: the sharpness; a dashed line is 2/η. Right: the loss.

Reference: Cohen, Kaur, Li, Kolter and Talwalkar, Gradient descent on neural networks typically
occurs at the edge of stability, 2021, https://arxiv.org/abs/2103.00065.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, close, panels, traced
from ravine.plot.frame import line_style

WIDTH = 32
X = np.linspace(-1, 1, 20)
Y = 8 * X**4 - 8 * X**2 + 1
"""Chebyshev's polynomial of degree four."""
RATES = np.array([0.06, 0.07, 0.08])


def loss(params: Any) -> Any:
    """The mean squared error of the network whose weights are a flat vector."""
    x, y = jnp.asarray(X, params.dtype), jnp.asarray(Y, params.dtype)
    w, b, v = params.reshape(3, WIDTH)
    return jnp.mean((jnp.tanh(jnp.outer(x, w) + b[None]) @ v - y) ** 2)


def sharpness(params: Any) -> Any:
    """The greatest eigenvalue of the Hessian."""
    return jnp.linalg.eigvalsh(jax.hessian(loss)(params))[-1]


def picture(quick: bool = False) -> Picture:
    """Train at several learning rates, and watch the sharpness."""
    steps = 5_000 if quick else 20_000
    rates = RATES[1:] if quick else RATES
    draw = np.random.default_rng(0).normal(size=(3, WIDTH)) * [[1.5], [1.0], [0.3 * WIDTH**-0.5]]
    results = rv.sweep(
        traced(loss), jnp.asarray(draw.ravel(), jnp.float32), rv.SGD(rv.Grid(rates)), steps=steps,
        record_every=steps // 200, has_aux=True,
    )  # fmt: skip
    one_by_one = jax.jit(lambda paths: jax.lax.map(sharpness, paths))
    paths = np.asarray(results.aux)
    curves = np.asarray(one_by_one(paths.reshape(-1, 3 * WIDTH))).reshape(paths.shape[:2])
    late = results.history_steps >= steps // 2
    facts = [
        close(f"η = {rate:g}: median sharpness in the second half, over 2/η",
              float(np.nanmedian(curve[late])) * rate / 2, 1.0, 0.1)
        for rate, curve in zip(rates, curves, strict=True)
    ]  # fmt: skip
    facts += [
        at_least(f"η = {rate:g}: edge over the sharpness at the start", 2 / rate / curve[0], 1.1)
        for rate, curve in zip(rates, curves, strict=True)
    ]
    facts += [
        at_least(f"η = {rate:g}: loss at half time over loss at the end",
                 float(np.nanmedian(h[h.size * 2 // 5 : h.size // 2])
                       / np.nanmedian(h[-h.size // 10 :])), 1.2)
        for rate, h in zip(rates, results.history, strict=True)
    ]  # fmt: skip
    return Picture(_draw(results, rates, curves), tuple(facts))


def _draw(results: Any, rates: Any, curves: Any) -> Any:
    figure, (left, right) = panels(1, 2, 9.6, 3.8)
    for row, rate in enumerate(rates):
        style = line_style(row)
        colour = style["color"]
        left.plot(results.history_steps, curves[row], color=colour, linewidth=1.2)
        left.axhline(2 / rate, color=colour, linestyle="--", linewidth=0.9)
        left.text(results.history_steps[-1], 2 / rate, f"2/{rate:g}", color=colour, va="bottom",
                  ha="right", fontsize="small")  # fmt: skip
        right.semilogy(results.history_steps, results.history[row], label=f"η = {rate:g}",
                       linewidth=0.9, **style)  # fmt: skip
    left.set(xlabel="step", ylabel="sharpness: greatest eigenvalue of the Hessian")
    left.set_ylim(0, 2.35 / rates.min())
    right.set(xlabel="step", ylabel="loss")
    right.legend(fontsize="small")
    return figure
