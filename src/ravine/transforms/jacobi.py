"""Decompositions of small matrices, by code that works on many of them side by side.

A library takes matrices one after another, and to call it takes longer than the work on one
of a few rows. Householder's reflections and Jacobi's rotations are sums and products.

Reference: Golub and Van Loan, Matrix Computations, 4th edition, 2013, sections 5.2 and 8.6.3.
"""

import jax
import jax.numpy as jnp

from ravine.core.flat import matmul
from ravine.core.numerics import over

SMALL = 8
"""Up to so many columns, these take less time than a library's; beyond, LAPACK is called."""


def reflected(A: jax.Array, count: int) -> jax.Array:
    """``Q'A``, of shape (M, N), with zeros below the diagonal of its first ``count`` columns."""
    for k in range(min(count, A.shape[0] - 1)):
        x = A[k:, k]
        size = jnp.max(jnp.abs(x))
        x = over(x, size)
        # v = x + sign(x_0) |x| e_0
        v = x.at[0].add(jnp.copysign(jnp.sqrt(jnp.sum(x**2)), x[0]))
        below = A[k:] - jnp.outer(v, over(2 * matmul(v, A[k:]), jnp.sum(v**2)))
        A = A.at[k:].set(below)
    return A


def rotated(R: jax.Array) -> tuple[jax.Array, jax.Array]:
    """``W`` and ``V'`` where ``R = W V'``, V is orthogonal, and so are W's columns to each other.

    Their lengths are the singular values, in no order. R has shape (N, N), as have both.
    """
    n = R.shape[1]
    half = (n + 1) // 2
    # The columns of R, each beside its row of V', in pairs to be turned against each other.
    rows = jnp.concatenate([R.T, jnp.eye(n, dtype=R.dtype)], axis=1)
    rows = jnp.pad(rows, ((0, 2 * half - n), (0, 0)))

    def turn(_: int, rows: jax.Array) -> jax.Array:
        p, q = rows[:half], rows[half:]
        a, b, both = (jnp.sum(x[:, :n] * y[:, :n], axis=1) for x, y in ((p, p), (q, q), (p, q)))
        # tan of the angle that makes them orthogonal, the smaller of two
        slant = over(b - a, 2 * both)
        tan = jnp.copysign(1 / (jnp.abs(slant) + jnp.sqrt(1 + slant**2)), slant)
        tan = jnp.where(both == 0, 0, tan)
        cos = 1 / jnp.sqrt(1 + tan**2)
        c, s = cos[:, None], (cos * tan)[:, None]
        p, q = c * p - s * q, s * p + c * q
        # Everyone but the first moves on by one seat, and meets all others in a sweep.
        return jnp.concatenate([p[:1], q[:1], p[1:-1], q[1:], p[-1:]])[: 2 * half]

    sweeps = max(3 * (n - 1).bit_length() - 1, 1)
    rows = jax.lax.fori_loop(0, sweeps * (2 * half - 1), turn, rows)[:n]
    return rows[:, :n].T, rows[:, n:]


def symmetric(H: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The eigenvalues, in ascending order, and eigenvectors, as columns, of a symmetric matrix."""
    if H.shape[0] > SMALL:
        return tuple(jnp.linalg.eigh(H))
    size = jnp.sqrt(jnp.sum(H**2))
    # With no negative eigenvalue, singular vectors are eigenvectors.
    _, Vt = rotated(over(H, size) + jnp.eye(H.shape[0], dtype=H.dtype))
    w = jnp.sum(Vt * matmul(Vt, H), axis=1)
    order = jnp.argsort(w)
    return w[order], Vt[order].T


def decomposed(J: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """``S``, ``V'`` and ``U'r`` where ``J = U S V'``; singular values that are noise are 0."""
    m, n = J.shape
    # The triangle of J beside r is R beside Q'r.
    tall = jnp.concatenate([J, r[:, None]], axis=1)
    tall = jnp.pad(tall, ((0, max(n - m, 0)), (0, 0)))
    if n <= SMALL:
        R = reflected(tall, n)[:n]
        W, Vt = rotated(jnp.triu(R[:, :n]))
        s = jnp.linalg.norm(W, axis=0)
        c = over(matmul(R[:, n], W), s)
    else:
        R = jnp.linalg.qr(tall, mode="r")[:n]
        U, s, Vt = jnp.linalg.svd(R[:, :n])
        c = matmul(R[:, n], U)
    return jnp.where(s > n * jnp.finfo(s.dtype).eps * jnp.max(s), s, 0), Vt, c


__all__ = ["SMALL", "decomposed", "reflected", "rotated", "symmetric"]
