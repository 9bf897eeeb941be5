"""The triangular factors of PSGD-Kron: what they whiten, and how they learn."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.numerics import abs_sq, over, safe_sqrt, times
from ravine.transforms.kronecker import Sides, product


def whitened(q: Sides, m: jax.Array) -> jax.Array:
    """``Q_L^T Q_L M Q_R^T Q_R``."""
    left, right = (None if x is None else x.astype(m.dtype) for x in q)
    m = from_left(left, m)
    m = from_left(None if left is None else _adjoint(left), m)
    m = from_left(right, m.mT)
    return from_left(None if right is None else _adjoint(right), m).mT


def descended(q: Sides, g: jax.Array, z: jax.Array, rate: Any) -> Sides:
    """The factors after one step on the triangular group."""
    fine = q.map(lambda x: x.astype(g.dtype))
    # A = Q_L G Q_R^T;  B = Q_L^(-T) Z Q_R^(-1)
    a = from_left(fine.right, from_left(fine.left, g).mT).mT
    b = solved(fine.right, solved(fine.left, z.conj()).mT).mT

    def side(q: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
        if q.ndim == 2:
            # q = q - rho (a^2 - b^2) / max(a^2 + b^2) q
            grow, shrink = jnp.sum(abs_sq(b), axis=-1), jnp.sum(abs_sq(a), axis=-1)
            size = jnp.max(grow + shrink, axis=-1, initial=0, keepdims=True)
            return q - (times(rate, over(shrink - grow, size))).astype(q.dtype) * q
        # Q = Q - rho triu(A A^T - B B^T) / |A A^T + B B^T| Q
        grow, shrink = product(b.conj(), b.mT), product(a, a.mT.conj())
        step = jnp.triu(over(shrink - grow, spectral_bound(grow + shrink)))
        return q - times(rate, product(step, q))

    return Sides(
        None if fine.left is None else side(fine.left, a, b),
        None if fine.right is None else side(fine.right, a.mT, b.mT),
    )


def balanced(q: Sides) -> Sides:
    """The same product, with its two factors of one size."""
    if q.left is None or q.right is None:
        return q
    sizes = q.map(lambda x: jnp.max(jnp.abs(x), axis=tuple(range(1, x.ndim)), initial=0))
    mean = safe_sqrt(sizes.left) * safe_sqrt(sizes.right)
    return q.map(lambda x, n: x * beside(over(mean, n), x).astype(x.dtype), sizes)


def from_left(q: Any, x: jax.Array) -> jax.Array:
    """``Q X`` for a triangular or a diagonal ``Q``."""
    if q is None:
        return x
    return q[:, :, None] * x if q.ndim == 2 else product(q, x)


def solved(q: Any, x: jax.Array) -> jax.Array:
    """``Q^(-T) X`` for a triangular or a diagonal ``Q``."""
    if q is None:
        return x
    if q.ndim == 2:
        return x / q[:, :, None]
    return jax.lax.linalg.triangular_solve(q, x, left_side=True, lower=False, transpose_a=True)


def spectral_bound(a: jax.Array) -> jax.Array:
    """A bound from below, seldom missed by much, on the norm of each Hermitian matrix."""
    size = jnp.max(jnp.abs(a), axis=(-2, -1), keepdims=True)
    a = over(a, size)
    # From the longest row x the power iteration's first step: |A A x| / |A x|
    longest = jnp.argmax(jnp.sum(abs_sq(a), axis=-1), axis=-1)
    x = jnp.take_along_axis(a, longest[:, None, None], axis=1)
    x = product(a, x.mT.conj())
    y = product(a.mT.conj(), x)
    squares = (jnp.sum(abs_sq(v), axis=(-2, -1), keepdims=True) for v in (y, x))
    return size * over(*(safe_sqrt(s) for s in squares))


def _adjoint(q: jax.Array) -> jax.Array:
    return q.conj() if q.ndim == 2 else q.mT.conj()


def beside(number: jax.Array, x: jax.Array) -> jax.Array:
    """A number a matrix, shaped so that it broadcasts against ``x``."""
    return number.reshape(number.shape + (1,) * (x.ndim - 1))
