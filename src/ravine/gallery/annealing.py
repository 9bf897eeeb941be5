r"""Annealing, restarts, noise: the share of starts that reach the global minimum.

Rastrigin's function, here with ridges a fifth as high as usual, has a local minimum near every
point of the integer lattice. Plain descent from a random start ends in the one of its cell, and so
in the best of them with a probability p that is the area of the cell in the middle over that of
the square. Two ways to do better:

Restarts: of k independent runs one at least succeeds with probability 1 − (1 − p)ᵏ.

Noise: a random force on top of the gradient throws runs over the ridges. Too little changes
nothing; too much, and they do not settle anywhere. Just enough of it makes the deepest valley the
likeliest place to be; annealing, a force that is cooled down, comes by that temperature from
above, and so forgives a force that was too strong. A run with learning rate η and a force of
variance σ² has the temperature ησ²/2, and is cooled here by letting the learning rate fall to zero.

Left: the share of starts that end in the cell of the global minimum against the random force, at
one temperature and cooled: one sweep over forces and starts. Bars are two standard errors. Right:
the best of k runs, and the theory.

Reference: Kirkpatrick, Gelatt and Vecchi, Optimization by simulated annealing, 1983,
https://doi.org/10.1126/science.220.4598.671.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Fact, Picture, at_least, at_most, close, panels
from ravine.plot.frame import COLOURS, line_style, plain_ticks

REACH = 3.3
RATE = 5e-3
EDGE = 0.51301
"""The maximum of x² − 2 cos 2πx that bounds the cell in the middle."""


def hilly(x: Any) -> Any:
    """Rastrigin's function with ridges a fifth as high."""
    return jnp.sum(x**2 + 2 * (1 - jnp.cos(2 * jnp.pi * x)))


def picture(quick: bool = False) -> Picture:
    """Sweep the noise, with and without cooling, and count where the runs end."""
    starts, steps = (256, 1000) if quick else (1024, 4000)
    noises = np.geomspace(20.0, 2e4, 5 if quick else 13)
    rng = np.random.default_rng(0)
    points = jnp.asarray(rng.uniform(-REACH, REACH, (starts, 2)), jnp.float32)
    # The temperature is half the variance times the learning rate, by which it is cooled.
    cooling = rv.schedules.Linear(RATE, RATE / 1000, steps)
    optimizers = {
        "constant": rv.NoisySGD(RATE, eta=rv.Grid(noises), gamma=0.0),
        "cooled": rv.NoisySGD(cooling, eta=rv.Grid(noises), gamma=0.0),
        "plain": rv.SGD(RATE),
    }
    results = rv.sweep(
        hilly, rv.Starts(points), optimizers, steps=steps, stop=rv.MaxSteps(steps),
        record_every=0, keep="all", lanes=1024,
    )  # fmt: skip
    ends = np.empty((len(results), 2))
    ends[results.kept_ids] = results.params
    inside = np.all(np.abs(ends) < EDGE, axis=1)
    noise = results.hyperparameters["eta"].astype(float)
    share = {
        name: np.array([np.mean(inside[(results.names == name) & np.isclose(noise, n)])
                        for n in noises])
        for name in ("constant", "cooled")
    }  # fmt: skip
    plain = inside[results.names == "plain"]
    p = (EDGE / REACH) ** 2
    error = np.sqrt(p * (1 - p) / starts)
    began = np.mean(np.all(np.abs(np.asarray(points)) < EDGE, axis=1))
    tries = np.array([1, 2, 4, 8, 16, 32, 64])
    best = np.argmax(share["cooled"])
    annealed = inside[(results.names == "cooled") & np.isclose(noise, noises[best])]
    groups = {"plain descent": _best_of(plain, tries), "annealed": _best_of(annealed, tries)}
    chance = 1 - (1 - plain.mean()) ** tries
    spread = np.sqrt(chance * (1 - chance) / (starts // tries)) + 1e-9
    facts: tuple[Fact, ...] = (
        at_most("plain descent: difference of the share from p, in standard errors",
                float(abs(plain.mean() - p) / error), 4),
        close("and from the share of starts in the middle cell", float(plain.mean()),
              float(began), 0.03),
        at_most("best of k runs: greatest difference from 1 − (1 − p)ᵏ, in standard errors",
                float(np.max(np.abs(groups["plain descent"] - chance) / spread)), 4),
        at_least("annealed, at best, over plain descent",
                 float(share["cooled"].max() / plain.mean()), 3 if quick else 5),
        at_most("too little noise over plain descent", float(share["cooled"][0] / plain.mean()),
                1.5),
        at_most("too much over the best", float(share["cooled"][-1] / share["cooled"].max()), 0.7),
    )  # fmt: skip
    if not quick:
        # In a quarter of the steps nothing cools slowly enough.
        hot = np.argmax(share["constant"]) + 1
        gain = float(share["cooled"][hot:].mean() / share["constant"][hot:].mean())
        told = "annealed over constant noise, where the force is too strong for the latter"
        facts = (*facts, at_least(told, gain, 1.5))
    return Picture(_draw(noises, share, plain.mean(), starts, tries, groups), facts)


def _best_of(inside: Any, tries: Any) -> Any:
    """The share of groups of k runs that have a success among them."""
    return np.array([inside[: inside.size // k * k].reshape(-1, k).any(axis=1).mean()
                     for k in tries])  # fmt: skip


def _draw(noises: Any, share: Any, plain: Any, starts: Any, tries: Any, groups: Any) -> Any:
    figure, (left, right) = panels(1, 2, 9.2, 3.8)
    words = {"constant": "noise that stays", "cooled": "noise that is cooled down"}
    for row, (name, found) in enumerate(share.items()):
        bars = 2 * np.sqrt(found * (1 - found) / starts)
        style = line_style(row) | {"marker": "os"[row], "markersize": 4, "capsize": 2}
        left.errorbar(np.sqrt(noises), found, bars, label=words[name], **style)
    left.axhline(plain, color="0.4", linestyle=":", label="no noise")
    left.set(xscale="log", xlabel="standard deviation of the random force", ylim=(0, 1.02))
    left.set_ylabel("share that ends at the global minimum")
    left.legend(fontsize="small", loc="upper left")
    for row, (name, found) in enumerate(groups.items()):
        k = np.geomspace(1, tries[-1], 100)
        right.plot(k, 1 - (1 - found[0]) ** k, color=COLOURS[row], linewidth=1.0)
        right.plot(tries, found, "os"[row], color=COLOURS[row], label=f"{name}; line: 1 − (1 − p)ᵏ")
    right.set(xscale="log", xlabel="k: the best of so many runs", ylim=(0, 1.02))
    right.set_ylabel("share that finds the global minimum")
    plain_ticks(right.xaxis)
    right.legend(fontsize="small", loc="lower right")
    return figure
