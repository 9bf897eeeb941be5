"""Test functions of vectors of any length: a bowl, a valley, and three with many minima.

The losses are plain functions of one vector (batch them with ``jax.vmap``), finite with
their gradients everywhere in the domain. Each factory of the same name returns the problem:
the loss with its usual start, domain, minimisers and citation. A dimension ``n``
that is too small, or no int, raises ``ValueError``.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import safe_sqrt
from ravine.problems.problem import Problem

Bound = float | Sequence[float]


def in_box(
    loss: Callable[..., Any],
    start: Sequence[float],
    lower: Bound,
    upper: Bound,
    minima: Sequence[Sequence[float]] = (),
    **known: Any,
) -> Problem:
    """A problem on vectors: start in the default float dtype, minima in double precision."""
    shape = (len(start),)
    box = np.broadcast_to(lower, shape).astype(float), np.broadcast_to(upper, shape).astype(float)
    points = tuple(np.array(x, np.float64) for x in minima)
    return Problem(loss, jnp.asarray(start, float), domain=box, minima=points, **known)


def quadratic(eigenvalues: Sequence[float] = (1.0, 100.0), rotation: int | None = None) -> Problem:
    r"""A convex quadratic with a given spectrum, :math:`f(x) = \frac12 x^\top Q \Lambda Q^\top x`.

    Args:
        eigenvalues: the diagonal of :math:`\Lambda`, each at least 0; their number is the
            dimension, and the largest over the smallest the condition number.
        rotation: seed of a uniformly random rotation :math:`Q`; ``None`` keeps the axes.

    Raises:
        ValueError: if there are no eigenvalues, or one is negative or not finite.

    >>> quadratic([1.0, 9.0])(jnp.ones(2))
    Array(5., dtype=float32)
    """
    spectrum = np.asarray(eigenvalues, np.float64)
    if spectrum.ndim != 1 or not spectrum.size:
        raise ValueError(f"quadratic: eigenvalues must be a list of numbers, got {eigenvalues!r}.")
    if not np.all((spectrum >= 0) & (spectrum < math.inf)):
        raise ValueError(
            f"quadratic: eigenvalues must be finite and at least 0, got {eigenvalues!r}."
        )
    n = spectrum.size
    return in_box(
        _quadratic_loss(tuple(spectrum.tolist()), rotation),
        [1.0] * n,
        -2.0,
        2.0,
        [[0.0] * n],
        name="quadratic",
        minimum=0.0,
        description="A convex bowl; gradient descent slows down with its condition number.",
    )


def quadratic_loss(x: jax.Array, spectrum: Any, basis: Any = None) -> jax.Array:
    """``sum spectrum (basis^T x)^2 / 2``, with an orthogonal basis or the identity."""
    x = jnp.asarray(x)
    # Rotate the point, not the matrix: rounding then never makes an eigenvalue negative.
    y = x if basis is None else jnp.matmul(x, jnp.asarray(basis, x.dtype), precision="highest")
    return 0.5 * jnp.sum(jnp.asarray(spectrum, x.dtype) * y**2)


@cache  # the same spectrum gives the same function, so that a program compiles once
def _quadratic_loss(spectrum: tuple[float, ...], rotation: int | None) -> Callable[..., Any]:
    basis = None if rotation is None else _random_rotation(len(spectrum), rotation)
    return partial(quadratic_loss, spectrum=np.array(spectrum), basis=basis)


def _random_rotation(n: int, seed: int) -> np.ndarray:
    """A uniformly random orthogonal matrix: the Q of a normal matrix, its signs made unique."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return np.asarray(q * np.sign(np.diagonal(r)))


def rosenbrock_loss(x: jax.Array) -> jax.Array:
    """``sum 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2``."""
    x = jnp.asarray(x)
    head, tail = x[:-1], x[1:]
    return jnp.sum(100 * (tail - head**2) ** 2 + (1 - head) ** 2)


def rosenbrock(n: int = 2) -> Problem:
    r"""Rosenbrock's curved valley, :math:`\sum_{i<n} 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2`.

    The one global minimum is at ``(1, ..., 1)``. From four dimensions on there is a local one
    near ``(-1, 1, ..., 1)``, of value about 4, in which an optimizer may well end.

    Args:
        n: the number of dimensions, at least 2.

    >>> rosenbrock()(jnp.array([-1.0, 2.0]))
    Array(104., dtype=float32)
    """
    return in_box(
        rosenbrock_loss,
        [1.0 if i % 2 else -1.2 for i in range(_dimension("rosenbrock", n, 2))],
        -2.048,
        2.048,
        [[1.0] * n],
        name=_named("rosenbrock", n),
        minimum=0.0,
        citation="H. H. Rosenbrock, An automatic method for finding the greatest or least value of "
        "a function, The Computer Journal 3(3), 1960.",
        description="A narrow curved valley: easy to find, slow to follow.",
    )


def ackley_loss(x: jax.Array) -> jax.Array:
    """``20 + e - 20 exp(-0.2 sqrt(mean x^2)) - exp(mean cos(2 pi x))``."""
    x = jnp.asarray(x)
    # expm1 and cos(2t) - 1 = -2 sin(t)^2 keep the digits near 0, where the terms cancel.
    bowl = jnp.expm1(-0.2 * safe_sqrt(jnp.mean(x**2)))
    ripple = jnp.expm1(-2 * jnp.mean(jnp.sin(math.pi * x) ** 2))
    return -20 * bowl - math.e * ripple


def ackley(n: int = 2) -> Problem:
    r"""Ackley's function: a funnel covered with ripples, with a cone at its bottom.

    .. math::
        20 + e - 20 \exp(-0.2 \sqrt{\tfrac1n \sum x_i^2}) - \exp(\tfrac1n \sum \cos 2\pi x_i)

    The cone has no derivative at the minimum; the gradient there is given as 0.

    Args:
        n: the number of dimensions, at least 1.

    >>> ackley()(jnp.zeros(2)), jax.grad(ackley())(jnp.zeros(2))
    (Array(0., dtype=float32), Array([0., 0.], dtype=float32))
    """
    return in_box(
        ackley_loss,
        [2.5] * _dimension("ackley", n, 1),
        -32.768,
        32.768,
        [[0.0] * n],
        name=_named("ackley", n),
        minimum=0.0,
        citation="D. H. Ackley, A Connectionist Machine for Genetic Hillclimbing, Kluwer, 1987; "
        "with more than two dimensions, T. Bäck, Evolutionary Algorithms in Theory and Practice, "
        "Oxford University Press, 1996.",
        description="Almost flat far out, with a local minimum near every point of a grid.",
    )


def rastrigin_loss(x: jax.Array) -> jax.Array:
    """``10 n + sum x^2 - 10 cos(2 pi x)``."""
    x = jnp.asarray(x)
    # 10 - 10 cos(2t) = 20 sin(t)^2 keeps the digits near 0, where the terms cancel.
    return jnp.sum(x**2 + 20 * jnp.sin(math.pi * x) ** 2)


def rastrigin(n: int = 2) -> Problem:
    r"""Rastrigin's function, :math:`10 n + \sum_i x_i^2 - 10 \cos 2 \pi x_i`.

    Args:
        n: the number of dimensions, at least 1.

    >>> rastrigin()(jnp.array([0.5, 0.0]))
    Array(20.25, dtype=float32)
    """
    return in_box(
        rastrigin_loss,
        [2.2] * _dimension("rastrigin", n, 1),
        -5.12,
        5.12,
        [[0.0] * n],
        name=_named("rastrigin", n),
        minimum=0.0,
        citation="L. A. Rastrigin, Systems of Extremal Control, Nauka, 1974 (in Russian); with "
        "more than two dimensions, H. Mühlenbein, M. Schomisch and J. Born, The parallel genetic "
        "algorithm as function optimizer, Parallel Computing 17, 1991.",
        description="A bowl with a deep local minimum near every point of the integer grid.",
    )


def styblinski_tang_loss(x: jax.Array) -> jax.Array:
    """``sum (x^4 - 16 x^2 + 5 x) / 2``."""
    x = jnp.asarray(x)
    return 0.5 * jnp.sum(((x**2 - 16) * x + 5) * x)


def styblinski_tang(n: int = 2) -> Problem:
    r"""Styblinski and Tang's function, :math:`\frac12 \sum_i x_i^4 - 16 x_i^2 + 5 x_i`.

    One global minimum, about -39.166 a dimension, among ``2^n`` local ones.

    Args:
        n: the number of dimensions, at least 1.

    >>> styblinski_tang()(jnp.array([1.0, 0.0]))
    Array(-5., dtype=float32)
    """
    return in_box(
        styblinski_tang_loss,
        [0.0] * _dimension("styblinski_tang", n, 1),
        -5.0,
        5.0,
        [[-2.903534027771177] * n],
        name=_named("styblinski_tang", n),
        minimum=-39.16616570377141 * n,
        citation="M. A. Styblinski and T.-S. Tang, Experiments in nonconvex optimization: "
        "stochastic approximation with function smoothing and simulated annealing, Neural "
        "Networks 3(4), 1990.",
        description="Two valleys along every axis, one a little deeper than the other.",
    )


def _dimension(name: str, n: Any, least: int) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or n < least:
        raise ValueError(f"{name}: n is the number of dimensions, an int >= {least}; got {n!r}.")
    return n


def _named(name: str, n: int) -> str:
    return name if n == 2 else f"{name}_{n}"
