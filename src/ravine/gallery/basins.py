r"""Which minimum one reaches: basins of attraction.

Every pixel is one run of the engine from that point, coloured by the minimum that it ended in:
262,144 runs a panel, which stop when their gradient vanishes.

Himmelblau's function has four minima of value 0. Plain descent divides the plane among them by
smooth lines, which run through the saddles; with momentum the runs roll through the minima and
over the saddles, and far out it depends on a hair where they come to rest. Rastrigin's function is
separable, so there the theory is exact: descent with small steps goes, in each coordinate alone,
to the minimum between the two maxima around its start. Its basins are a chequerboard.

Reference: Himmelblau, Applied nonlinear programming, 1972; Rastrigin, Systems of extremal
control, 1974.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, at_most, panels
from ravine.problems.functions import rastrigin_loss
from ravine.problems.plane import himmelblau, himmelblau_loss

REACH = {"himmelblau": 5.0, "rastrigin": 2.4}


def picture(quick: bool = False) -> Picture:
    """Send a grid of starts down either function, and see where they arrive."""
    side = 64 if quick else 512
    minima = np.array(himmelblau().minima)
    plain = {"himmelblau": rv.SGD(0.005), "rastrigin": rv.SGD(1e-3)}
    starts = {name: _grid(reach, side) for name, reach in REACH.items()}
    ends = {
        "Himmelblau, plain descent": _ends(
            himmelblau_loss, starts["himmelblau"], plain["himmelblau"]
        ),
        "Himmelblau, momentum 0.9": _ends(
            himmelblau_loss, starts["himmelblau"], rv.SGD(0.005, 0.9)
        ),
        "Rastrigin, plain descent": _ends(rastrigin_loss, starts["rastrigin"], plain["rastrigin"]),
    }
    found, near = {}, {}
    for name, (points, _) in ends.items():
        if name.startswith("Himmelblau"):
            distance = np.linalg.norm(points[:, None] - minima, axis=2)
            found[name] = distance.argmin(axis=1)
            near[name] = distance.min(axis=1)
    points, _ = ends["Rastrigin, plain descent"]
    lows, highs = _rastrigin()
    cell = np.abs(points[:, :, None] - lows).argmin(axis=2)
    expected = np.searchsorted(highs, starts["rastrigin"])
    # A start on a maximum itself belongs to neither side.
    clear = np.abs(starts["rastrigin"][:, :, None] - highs).min(axis=(1, 2)) > 1e-3
    found["Rastrigin, plain descent"] = cell[:, 0] * lows.size + cell[:, 1]
    first = found["Himmelblau, plain descent"]
    where = np.argmin(np.linalg.norm(starts["himmelblau"][:, None] - minima, axis=2), axis=0)
    facts = (
        *(
            at_least(f"{name}: share of runs whose gradient vanished",
                     float(np.mean([s == "converged" for s in status])), 0.999)
            for name, (_, status) in ends.items()
        ),
        *(
            at_least(f"{name}: share within 0.001 of a minimum, and not on a saddle",
                     float(np.mean(distance < 1e-3)), 0.9999)
            for name, distance in near.items()
        ),
        at_least("starts beside a minimum that reach it", int(np.sum(first[where] == range(4))), 4),
        at_least("Rastrigin: share that reach the minimum of their cell",
                 float(np.mean(np.all(cell == expected, axis=1)[clear])), 0.9999),
        at_most("Rastrigin: greatest distance from a minimum",
                float(np.max(np.abs(points[:, :, None] - lows).min(axis=2))), 1e-3),
    )  # fmt: skip
    return Picture(_draw(found, side, minima), facts)


def _grid(reach: Any, side: Any) -> Any:
    """The centres of the pixels of a square, row by row from below, (side², 2)."""
    middle = (np.arange(side) + 0.5) / side * 2 * reach - reach
    return np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 2).astype(np.float32)


def _ends(loss: Any, starts: Any, optimizer: Any) -> Any:
    """Where each start ends, and how: one sweep, in which short runs make room for others."""
    results = rv.sweep(
        loss, rv.Starts(jnp.asarray(starts)), optimizer, steps=5000,
        stop=rv.GradNorm(3e-3) | rv.Diverged(1e6), record_every=0, keep="all", lanes=2048,
    )  # fmt: skip
    points = np.full(starts.shape, np.nan)
    points[results.kept_ids] = results.params
    return points, np.array([str(s) for s in results.status])


def _rastrigin() -> Any:
    """The minima and the maxima of x² − 10 cos 2πx along one coordinate, by Newton's method."""

    def polished(x: Any) -> Any:
        for _ in range(50):
            slope = 2 * x + 20 * np.pi * np.sin(2 * np.pi * x)
            x = x - slope / (2 + 40 * np.pi**2 * np.cos(2 * np.pi * x))
        return x

    lows = polished(np.arange(-3.0, 3.5))
    return lows, polished(lows[:-1] + 0.5)


def _draw(found: Any, side: Any, minima: Any) -> Any:
    from matplotlib.colors import ListedColormap

    figure, axes = panels(1, 3, 11.0, 4.0)
    for ax, (name, image) in zip(axes, found.items(), strict=True):
        reach = REACH[name.split(",")[0].lower()]
        pixels = image.reshape(side, side)
        if name.startswith("Himmelblau"):
            cmap: Any = ListedColormap(["#0072B2", "#F3D9B1", "#7A1F5C", "#5FB79A"])
            ax.scatter(*minima.T, marker="*", s=110, color="white", edgecolors="black", zorder=3)
            shown: dict[str, Any] = {"vmin": -0.5, "vmax": 3.5}
        else:
            lows, _ = _rastrigin()
            across, up = np.divmod(pixels, lows.size)
            # Height by the value of the minimum, light and dark in turn.
            value = lows[across] ** 2 + lows[up] ** 2
            pixels, cmap, shown = value + 1.2 * ((across + up) % 2), "viridis", {}
            ax.scatter(0, 0, marker="*", s=110, color="white", edgecolors="black", zorder=3)
        spread = (-reach, reach, -reach, reach)
        ax.imshow(
            pixels, origin="lower", extent=spread, interpolation="nearest", cmap=cmap, **shown
        )
        ax.set_title(name, fontsize="medium")
        ax.set(xlabel="x at the start", ylabel="y at the start")
        ax.grid(False)
    return figure
