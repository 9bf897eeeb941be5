"""Residuals of the test functions of Moré, Garbow and Hillstrom with any number of variables.

Functions 20 to 35 of their paper, whose numbers and letters these are; ``mgh`` makes problems of
them. The number n of variables is the length of ``x``, in whose dtype each computes.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ravine.problems.squares import like, product


def _grid(n: int) -> tuple[float, np.ndarray]:
    """The step ``h = 1 / (n + 1)`` and the points ``h, 2h, ..., n h``."""
    return 1 / (n + 1), np.arange(1, n + 1) / (n + 1)


def watson(x: jax.Array) -> jax.Array:
    """20: ``p'(t) - p(t)^2 - 1`` at t = i / 29 for a polynomial p; ``x1, x2 - x1^2 - 1``."""
    powers = np.vander(np.arange(1, 30) / 29, len(x), increasing=True)
    p, slope = product(powers, x), product(powers[:, :-1] * np.arange(1, len(x)), x[1:])
    return jnp.concatenate([slope - p**2 - 1, jnp.stack([x[0], x[1] - x[0] ** 2 - 1])])


def extended_rosenbrock(x: jax.Array) -> jax.Array:
    """21: ``10 (x2 - x1^2), 1 - x1`` for every pair."""
    a, b = x[0::2], x[1::2]
    return jnp.stack([10 * (b - a**2), 1 - a], axis=1).ravel()


def extended_powell(x: jax.Array) -> jax.Array:
    """22: Powell's singular function, 13, for every four."""
    a, b, c, d = (x[k::4] for k in range(4))
    last = math.sqrt(10) * (a - d) ** 2
    return jnp.stack([a + 10 * b, math.sqrt(5) * (c - d), (b - 2 * c) ** 2, last], axis=1).ravel()


def penalty_1(x: jax.Array) -> jax.Array:
    """23: ``sqrt(1e-5) (x - 1)``, and ``|x|^2 - 1/4``."""
    return jnp.append(math.sqrt(1e-5) * (x - 1), jnp.sum(x**2) - 0.25)


def penalty_2(x: jax.Array) -> jax.Array:
    """24: ``x1 - 1/5``, 2n - 2 small terms of ``exp(x / 10)``, ``sum (n - j + 1) xj^2 - 1``."""
    n = len(x)
    e, known = jnp.exp(x / 10), np.exp(np.arange(1, n + 1) / 10)
    pairs = math.sqrt(1e-5) * (e[1:] + e[:-1] - like(known[1:] + known[:-1], x))
    ends = math.sqrt(1e-5) * (e[1:] - math.exp(-0.1))
    last = jnp.sum(like(np.arange(n, 0, -1), x) * x**2) - 1
    return jnp.concatenate([x[:1] - 0.2, pairs, ends, last[None]])


def variably_dimensioned(x: jax.Array) -> jax.Array:
    """25: ``x - 1``, ``s = sum j (xj - 1)``, and ``s^2``."""
    s = jnp.sum(like(np.arange(1, len(x) + 1), x) * (x - 1))
    return jnp.concatenate([x - 1, jnp.stack([s, s**2])])


def trigonometric(x: jax.Array) -> jax.Array:
    """26: ``n - sum cos xj + i (1 - cos xi) - sin xi``."""
    # 1 - cos t = 2 sin(t/2)^2 keeps the digits near 0, where the terms cancel.
    rise = 2 * jnp.sin(x / 2) ** 2
    return jnp.sum(rise) + like(np.arange(1, len(x) + 1), x) * rise - jnp.sin(x)


def brown_almost_linear(x: jax.Array) -> jax.Array:
    """27: ``xi + sum xj - (n + 1)`` for i < n, and ``prod xj - 1``."""
    return jnp.append(x[:-1] + jnp.sum(x) - (len(x) + 1), jnp.prod(x) - 1)


def discrete_boundary_value(x: jax.Array) -> jax.Array:
    """28: ``2 xi - x(i-1) - x(i+1) + h^2 (xi + t + 1)^3 / 2``, zero at both ends, t = i h."""
    h, t = _grid(len(x))
    wide = jnp.pad(x, 1)
    return 2 * x - wide[:-2] - wide[2:] + h**2 * (x + like(t + 1, x)) ** 3 / 2


def discrete_integral_equation(x: jax.Array) -> jax.Array:
    """29: ``x + h/2 sum_j k(ti, tj) (xj + tj + 1)^3``, k Green's function of a taut string."""
    h, t = _grid(len(x))
    # k = (1 - t) s for s <= t, t (1 - s) for s > t
    kernel = h / 2 * np.minimum.outer(t, t) * (1 - np.maximum.outer(t, t))
    return x + product(kernel, (x + like(t + 1, x)) ** 3)


def broyden_tridiagonal(x: jax.Array) -> jax.Array:
    """30: ``(3 - 2 xi) xi - x(i-1) - 2 x(i+1) + 1``, zero beyond both ends."""
    wide = jnp.pad(x, 1)
    return (3 - 2 * x) * x - wide[:-2] - 2 * wide[2:] + 1


def broyden_banded(x: jax.Array) -> jax.Array:
    """31: ``xi (2 + 5 xi^2) + 1 - sum xj (1 + xj)``, j from i - 5 to i + 1 without i."""
    n = len(x)
    band = np.tri(n, k=1) - np.tri(n, k=-6) - np.eye(n)
    return x * (2 + 5 * x**2) + 1 - product(band, x * (1 + x))


def linear_full_rank(x: jax.Array, m: int = 20) -> jax.Array:
    """32: ``xi - 2/m sum xj - 1``, with 0 in the place of xi for i > n."""
    return jnp.pad(x, (0, m - len(x))) - 2 / m * jnp.sum(x) - 1


def linear_rank_1(x: jax.Array, m: int = 20) -> jax.Array:
    """33: ``i sum j xj - 1``, i = 1..m."""
    s = jnp.sum(like(np.arange(1, len(x) + 1), x) * x)
    return like(np.arange(1, m + 1), x) * s - 1


def linear_rank_1_zeros(x: jax.Array, m: int = 20) -> jax.Array:
    """34: ``(i - 1) sum j xj - 1``, without the first and last j, and -1 for i = 1 and m."""
    s = jnp.sum(like(np.arange(2, len(x)), x) * x[1:-1])
    return like(np.arange(m) * (np.arange(m) < m - 1), x) * s - 1


def chebyquad(x: jax.Array, m: int | None = None) -> jax.Array:
    """35: the mean of ``T_i(xj)`` less its integral over [0, 1], i = 1..m; T shifted there."""
    m = len(x) if m is None else m
    # T(i+1) = 2 y Ti - T(i-1), y = 2x - 1; its integral is 0 or -1 / (i^2 - 1)
    y = 2 * x - 1
    t = [jnp.ones_like(y), y]
    while len(t) <= m:
        t.append(2 * y * t[-1] - t[-2])
    integrals = np.array([0 if i % 2 else -1 / (i * i - 1) for i in range(1, m + 1)])
    return jnp.mean(jnp.stack(t[1 : m + 1]), axis=1) - like(integrals, x)
