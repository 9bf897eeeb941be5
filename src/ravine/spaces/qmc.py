"""Points that fill the unit cube more evenly than independent draws do."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ravine.spaces.distributions import Distribution
from ravine.spaces.sampling import grid_size, spaces

SAMPLERS = ("random", "latin", "sobol")
"""The ways in which the random spaces of a sweep can be drawn."""


def unit_points(
    sampler: str, template: Any, count: int, seed: int, *, paired: bool = False
) -> np.ndarray | None:
    """Points for ``count`` trials: one row a trial, one column a random space, in leaf order.

    ``None`` stands for independent draws: those of ``"random"``, or of a template without
    random spaces. ``"latin"`` is a Latin hypercube: cut the range of a space into ``count``
    parts, and each holds one trial, so every point depends on the count. ``"sobol"`` is a
    scrambled Sobol sequence, most even where the count is a power of two: its first points do
    not depend on the count, so adding trials changes none of the others. Both depend on how
    many random spaces there are.

    A Sobol sequence goes through the cube in a fixed rhythm. Whatever else follows from the
    trial's number, as grids do, would keep time with it, and each point of a grid might meet
    one half of a range only: the sequence is then shuffled, as it is with ``paired``.

    Raises:
        ValueError: if there is no such sampler, or there are too many spaces for it.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}.")
    dims = sum(isinstance(s, Distribution) for s in spaces(template).values())
    if sampler == "random" or not dims:
        return None
    rng = np.random.default_rng(seed % 2**64)  # a seed may be negative
    if sampler == "latin":
        return _as_default_float(_latin(rng, count, dims))
    points = _sobol(rng, count, dims)
    if paired or grid_size(template) is not None:
        _shuffle(rng, points)
    return _as_default_float(points[:count])


def _latin(rng: np.random.Generator, count: int, dims: int) -> np.ndarray:
    from scipy.stats import qmc

    return qmc.LatinHypercube(dims, seed=rng).random(count)


def _sobol(rng: np.random.Generator, count: int, dims: int) -> np.ndarray:
    """At least ``count`` points: as many as the next power of two."""
    from scipy.stats import qmc

    if dims > qmc.Sobol.MAXDIM:
        raise ValueError(
            f"a Sobol sequence has at most {qmc.Sobol.MAXDIM} dimensions, and there are {dims} "
            "random spaces: take sampler='latin' or 'random'."
        )
    return qmc.Sobol(dims, scramble=True, seed=rng).random_base2((count - 1).bit_length())


def _shuffle(rng: np.random.Generator, points: np.ndarray) -> None:
    """Shuffle between each power of two and the next: no point depends on the count."""
    start = 1
    while start < len(points):
        rng.shuffle(points[start : 2 * start])
        start *= 2


def _as_default_float(points: np.ndarray) -> np.ndarray:
    """Round down, so that no point comes to lie in the next part of a range, or at 1."""
    dtype = jnp.result_type(float)
    zero, one = np.zeros((), dtype), np.ones((), dtype)
    rounded = points.astype(dtype)
    rounded = np.where(rounded > points, np.nextafter(rounded, zero), rounded)
    return np.minimum(rounded, np.nextafter(one, zero))
