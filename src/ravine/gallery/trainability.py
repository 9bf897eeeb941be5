r"""The boundary of trainability.

Each pixel is one training of a small network, tanh(X W) v, from the same start on the same data,
with one learning rate for the first layer and another for the second. Dark blue to light are
trainings that ended below the loss at which they began, by how low; red are those that diverged,
the darker the sooner. Between the two lies no smooth line: where a training hovers between falling
and flying apart, it hangs on the last digits of the learning rates, and every zoom shows as much
structure as the picture before.

The box dimension is the power with which the number of boxes that hold a piece of the boundary
grows as the boxes shrink: 1 for a smooth line, more for a fractal. That of the pictures that
Sohl-Dickstein drew is between 1.17 and 1.98.

Reference: Sohl-Dickstein, The boundary of neural network trainability is fractal, 2024,
https://arxiv.org/abs/2402.06184.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, at_most, panels, slope

WIDTH = 8
SPAN = ((-1.0, 3.0), (-1.8, 0.8))
"""Decimal logarithms of the learning rates: of the first layer, of the second."""


def network(params: Any, data: Any) -> Any:
    """The mean squared error of a network with one hidden layer."""
    x, y = data
    return jnp.mean((jnp.tanh(x @ params["w"]) @ params["v"] - y) ** 2)


def picture(quick: bool = False) -> Picture:
    """Train them all, find the busiest part of the boundary, and train as many there."""
    side, steps = (48, 100) if quick else (256, 400)
    whole = trained(SPAN, side, steps)
    part = busiest(whole[0], side // 8)
    zoom = trained(_window(SPAN, part, side, side // 8), side, steps)
    dimensions = [box_dimension(edges(ends)) for ends, _, _ in (whole, zoom)]
    facts = (
        *(
            at_least(f"box dimension of the boundary, {name}", dimension, 0.8 if quick else 1.1)
            for name, dimension in zip(("the whole", "the zoom"), dimensions, strict=True)
        ),
        at_most("greatest box dimension there can be", max(dimensions), 2.0),
        at_least("share of trainings that end below the start", float(whole[0].mean()), 0.1),
        at_least("share that do not", float(1 - whole[0].mean()), 0.1),
        at_least("box dimension of a straight line, measured alike",
                 box_dimension(edges(np.tri(side, dtype=bool))), 0.9),
        at_most("the same, at most", box_dimension(edges(np.tri(side, dtype=bool))), 1.1),
    )  # fmt: skip
    return Picture(_draw(whole, zoom, part, side, dimensions), facts)


def trained(span: Any, side: Any, steps: Any) -> Any:
    """Which trainings ended below their start, their final losses and their steps, by pixel."""
    keys = jax.random.split(jax.random.key(1), 4)
    scale = 1 / np.sqrt(WIDTH)
    params = {
        "w": scale * jax.random.normal(keys[0], (WIDTH, WIDTH)),
        "v": scale * jax.random.normal(keys[1], (WIDTH,)),
    }
    data = jax.random.normal(keys[2], (WIDTH, WIDTH)), jax.random.normal(keys[3], (WIDTH,))
    first, second = (rv.Grid(np.logspace(low, high, side)) for low, high in span)
    layers: dict[Any, rv.Transform] = {"w": rv.SGD(first), "v": rv.SGD(second)}
    optimizer = rv.Partition(layers, {"w": "w", "v": "v"})
    results = rv.sweep(
        network, params, optimizer, args=data, steps=steps, stop=rv.Diverged(1e4),
        record_every=0, keep=0, lanes=512,
    )  # fmt: skip
    start = float(network(params, data))
    rates = {name.split(".")[-2]: x for name, x in results.hyperparameters.items()}
    order = np.lexsort((rates["w"], rates["v"]))  # row by row from below
    values = results.values[order].reshape(side, side)
    ended = results.steps[order].reshape(side, side)
    return np.nan_to_num(values, nan=np.inf) < start, values, ended


def edges(inside: Any) -> Any:
    """The pixels beside which, to the right or above, one of the other kind lies."""
    found = np.zeros_like(inside)
    found[:, :-1] |= inside[:, :-1] != inside[:, 1:]
    found[:-1] |= inside[:-1] != inside[1:]
    return found


def box_dimension(found: Any) -> Any:
    """The power of 1/size in the number of boxes of that size that hold a pixel of a set."""
    side = found.shape[0]
    sizes = [s for s in (1, 2, 4, 8, 16, 32) if s <= side // 8]
    counts = []
    for size in sizes:
        whole = found[: side // size * size, : side // size * size]
        boxes = whole.reshape(side // size, size, side // size, size)
        counts.append(max(int(boxes.any(axis=(1, 3)).sum()), 1))
    return slope(-np.log(sizes), np.log(counts))


def busiest(inside: Any, size: Any) -> Any:
    """The corner of the square window of a size that has the most of the boundary."""
    total = np.pad(edges(inside).astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inner = (
        total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    )
    row, column = np.unravel_index(np.argmax(inner), inner.shape)
    return int(row), int(column)


def _window(span: Any, corner: Any, side: Any, size: Any) -> Any:
    """The learning rates of a window of pixels."""
    pixels = [(high - low) / (side - 1) for low, high in span]
    starts = (corner[1], corner[0])
    return tuple(
        (low + begin * pixel, low + (begin + size - 1) * pixel)
        for (low, _), begin, pixel in zip(span, starts, pixels, strict=True)
    )


def _draw(whole: Any, zoom: Any, part: Any, side: Any, dimensions: Any) -> Any:
    from matplotlib.patches import Rectangle

    figure, axes = panels(1, 2, 10.5, 5.2)
    spans = SPAN, _window(SPAN, part, side, side // 8)
    for ax, (inside, values, steps), span, dimension in zip(
        axes, (whole, zoom), spans, dimensions, strict=True
    ):
        spread = (*span[0], *span[1])
        shown = {"origin": "lower", "extent": spread, "interpolation": "nearest", "aspect": "auto"}
        low = np.log10(np.maximum(np.where(inside, values, 1.0), 1e-8))
        ax.imshow(np.ma.masked_where(~inside, low), cmap="Blues_r", vmin=-8, vmax=1.5, **shown)
        sooner = np.ma.masked_where(inside, np.log10(np.maximum(steps, 1)))
        ax.imshow(sooner, cmap="Reds_r", vmin=-0.3, vmax=np.log10(steps.max()) + 0.6, **shown)
        ax.set_title(f"box dimension {dimension:.2f}", fontsize="medium")
        ax.set_xlabel("log₁₀ learning rate of the first layer")
        ax.set_ylabel("log₁₀ learning rate of the second layer")
        ax.grid(False)
    (left, right), (below, above) = spans[1]
    window = Rectangle((left, below), right - left, above - below)
    window.set(facecolor="none", edgecolor="black", linewidth=1.2)
    axes[0].add_patch(window)
    return figure
