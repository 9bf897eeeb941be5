"""Residuals of the test functions of Moré, Garbow and Hillstrom with a fixed number of variables.

Functions 1 to 19 of their paper, whose numbers and letters these are; ``mgh`` makes problems of
them. Each computes in the dtype of ``x``.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ravine.problems.squares import like


def rosenbrock(x: jax.Array) -> jax.Array:
    """1: ``10 (x2 - x1^2), 1 - x1``."""
    return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def freudenstein_roth(x: jax.Array) -> jax.Array:
    """2: ``-13 + x1 + ((5 - x2) x2 - 2) x2, -29 + x1 + ((x2 + 1) x2 - 14) x2``."""
    first = -13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1]
    return jnp.stack([first, -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]])


def powell_badly_scaled(x: jax.Array) -> jax.Array:
    """3: ``1e4 x1 x2 - 1, exp(-x1) + exp(-x2) - 1.0001``."""
    return jnp.stack([1e4 * x[0] * x[1] - 1, jnp.exp(-x[0]) + jnp.exp(-x[1]) - 1.0001])


def brown_badly_scaled(x: jax.Array) -> jax.Array:
    """4: ``x1 - 1e6, x2 - 2e-6, x1 x2 - 2``."""
    return jnp.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def beale(x: jax.Array) -> jax.Array:
    """5: ``y - x1 (1 - x2^i)``, i = 1, 2, 3."""
    return jnp.stack([y - x[0] * (1 - x[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))])


def jennrich_sampson(x: jax.Array, m: int = 10) -> jax.Array:
    """6: ``2 + 2i - exp(i x1) - exp(i x2)``, i = 1..m."""
    i = like(np.arange(1, m + 1), x)
    return 2 + 2 * i - (jnp.exp(i * x[0]) + jnp.exp(i * x[1]))


def helical_valley(x: jax.Array) -> jax.Array:
    """7: ``10 (x3 - 10 theta), 10 (|(x1, x2)| - 1), x3``, theta the angle in turns."""
    # The angle runs from -1/4 to 3/4: it jumps where x1 = 0, not at the start on the other side.
    side = jnp.where(x[0] < 0, -1.0, 1.0).astype(x.dtype)
    theta = jnp.arctan2(side * x[1], side * x[0]) / (2 * math.pi) + (1 - side) / 4
    radius = jnp.sqrt(x[0] ** 2 + x[1] ** 2)
    return jnp.stack([10 * (x[2] - 10 * theta), 10 * (radius - 1), x[2]])


BARD = np.array(
    [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
)


def bard(x: jax.Array) -> jax.Array:
    """8: ``y - (x1 + u / (v x2 + w x3))``, u = i, v = 16 - i, w = min(u, v)."""
    i = np.arange(1, 16)
    u, v, w = like(i, x), like(16 - i, x), like(np.minimum(i, 16 - i), x)
    return like(BARD, x) - (x[0] + u / (v * x[1] + w * x[2]))


GAUSSIAN = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])


def gaussian(x: jax.Array) -> jax.Array:
    """9: ``x1 exp(-x2 (t - x3)^2 / 2) - y``, t = (8 - i) / 2."""
    t = like((8 - np.arange(1, 16)) / 2, x)
    y = like(np.concatenate([GAUSSIAN, GAUSSIAN[-2::-1]]), x)
    return x[0] * jnp.exp(-x[1] * (t - x[2]) ** 2 / 2) - y


MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744,
     8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
)  # fmt: skip


def meyer(x: jax.Array) -> jax.Array:
    """10: ``x1 exp(x2 / (t + x3)) - y``, t = 45 + 5i."""
    t = like(45 + 5 * np.arange(1, 17), x)
    return x[0] * jnp.exp(x[1] / (t + x[2])) - like(MEYER, x)


def gulf(x: jax.Array, m: int = 99) -> jax.Array:
    """11: ``exp(-|y - x2|^x3 / x1) - t``, t = i / 100, y = 25 + (-50 log t)^(2/3)."""
    # The paper prints |y m i x2|: a slip for the minus sign, as the minimiser that it gives shows.
    t = np.arange(1, m + 1) / 100
    y = 25 + np.maximum(-50 * np.log(t), 0) ** (2 / 3)
    return jnp.exp(-(jnp.abs(like(y, x) - x[1]) ** x[2]) / x[0]) - like(t, x)


def box_3d(x: jax.Array, m: int = 10) -> jax.Array:
    """12: ``exp(-t x1) - exp(-t x2) - x3 (exp(-t) - exp(-10 t))``, t = i / 10."""
    t = np.arange(1, m + 1) / 10
    falls = jnp.exp(like(-t, x) * x[0]) - jnp.exp(like(-t, x) * x[1])
    return falls - x[2] * like(np.exp(-t) - np.exp(-10 * t), x)


def powell_singular(x: jax.Array) -> jax.Array:
    """13: ``x1 + 10 x2, sqrt(5) (x3 - x4), (x2 - 2 x3)^2, sqrt(10) (x1 - x4)^2``."""
    a, b, c, d = x
    last = math.sqrt(10) * (a - d) ** 2
    return jnp.stack([a + 10 * b, math.sqrt(5) * (c - d), (b - 2 * c) ** 2, last])


def wood(x: jax.Array) -> jax.Array:
    """14: two of Rosenbrock's valleys, of weights 100 and 90, and two terms that join them."""
    a, b, c, d = x
    valleys = [10 * (b - a**2), 1 - a, math.sqrt(90) * (d - c**2), 1 - c]
    return jnp.stack([*valleys, math.sqrt(10) * (b + d - 2), (b - d) / math.sqrt(10)])


KOWALIK_OSBORNE = np.array(
    [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
)
KOWALIK_OSBORNE_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x: jax.Array) -> jax.Array:
    """15: ``y - x1 (u^2 + u x2) / (u^2 + u x3 + x4)``."""
    u = like(KOWALIK_OSBORNE_U, x)
    return like(KOWALIK_OSBORNE, x) - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


def brown_dennis(x: jax.Array, m: int = 20) -> jax.Array:
    """16: ``(x1 + t x2 - exp t)^2 + (x3 + x4 sin t - cos t)^2``, t = i / 5."""
    t = np.arange(1, m + 1) / 5
    first = x[0] + like(t, x) * x[1] - like(np.exp(t), x)
    return first**2 + (x[2] + x[3] * like(np.sin(t), x) - like(np.cos(t), x)) ** 2


OSBORNE_1 = np.array(
    [0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751,
     0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490,
     0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406]
)  # fmt: skip


def osborne_1(x: jax.Array) -> jax.Array:
    """17: ``y - (x1 + x2 exp(-t x4) + x3 exp(-t x5))``, t = 10 (i - 1)."""
    t = like(10 * np.arange(33), x)
    return like(OSBORNE_1, x) - (x[0] + x[1] * jnp.exp(-t * x[3]) + x[2] * jnp.exp(-t * x[4]))


def biggs_exp6(x: jax.Array, m: int = 13) -> jax.Array:
    """18: ``x3 exp(-t x1) - x4 exp(-t x2) + x6 exp(-t x5) - y``, t = i / 10."""
    i = np.arange(1, m + 1)
    y = like(np.exp(-i / 10) - 5 * np.exp(-i) + 3 * np.exp(-0.4 * i), x)
    t = like(i / 10, x)
    return x[2] * jnp.exp(-t * x[0]) - x[3] * jnp.exp(-t * x[1]) + x[5] * jnp.exp(-t * x[4]) - y


OSBORNE_2 = np.array(
    [1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608,
     0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661,
     0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428,
     0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559,
     0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054]
)  # fmt: skip


def osborne_2(x: jax.Array) -> jax.Array:
    """19: ``y`` less ``x1 exp(-t x5)`` and three bells, t = (i - 1) / 10."""
    t = like(np.arange(65) / 10, x)
    bells = [x[1 + k] * jnp.exp(-((t - x[8 + k]) ** 2) * x[5 + k]) for k in range(3)]
    return like(OSBORNE_2, x) - (x[0] * jnp.exp(-t * x[4]) + bells[0] + bells[1] + bells[2])
