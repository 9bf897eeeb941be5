"""Inverse roots of positive semidefinite matrices."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.numerics import at, real_dtype
from ravine.transforms.kronecker import product

ITERATIONS = 100
"""Newton's iteration has long converged by then, or never will."""


def inverse_root(a: jax.Array, p: int, ridge: Any, method: str = "eigh") -> jax.Array:
    r"""The power :math:`(A + \rho\,\|A\|_\infty I)^{-1/p}` of every matrix of a stack.

    A matrix of zeros has the identity for its power: it has seen nothing that would turn or
    stretch a step.

    Args:
        a: positive semidefinite matrices of shape (count, n, n).
        p: which root.
        ridge: :math:`\rho`, relative to the largest row sum of magnitudes; rounding is its least.
        method: ``"eigh"``, by the eigenvalues, or ``"newton"``, by the coupled Newton
            iteration, which needs nothing but products.
    """
    a = (a + a.mT.conj()) / 2
    # Scaled to order one: no size of gradient may overflow or vanish on the way.
    size = jnp.max(jnp.sum(jnp.abs(a), axis=-1), axis=-1)[:, None, None]
    unseen = size == 0
    size = jnp.where(unseen, 1, size)
    eye = jnp.eye(a.shape[-1], dtype=a.dtype)[None]
    a = jnp.where(unseen, eye, a / size.astype(a.dtype))
    low = jnp.maximum(at(ridge, a), jnp.finfo(a.dtype).eps).astype(a.dtype)
    root = _root(a + low * eye, p, method)
    return jnp.where(unseen, eye, root * (size ** (-1 / p)).astype(a.dtype))


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _root(a: jax.Array, p: int, method: str) -> jax.Array:
    """``A^(-1/p)``, for matrices with a largest eigenvalue of about 1 and none near 0."""
    if method == "newton":
        return _by_newton(a, p)
    # A = V diag(w) V*;  A^(-1/p) = V diag(w^(-1/p)) V*
    w, v = _eigen(a)
    return product(v * (w ** (-1 / p))[:, None, :].astype(v.dtype), v.mT.conj())


@_root.defjvp
def _root_jvp(p: int, method: str, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    """Smooth also where eigenvalues are equal, at which the eigenvectors are not."""
    (a,), (da,) = primals, tangents
    w, v = _eigen(a)
    f = w ** (-1 / p)
    gap = w[:, :, None] - w[:, None, :]
    near = jnp.abs(gap) <= 1e-3 * jnp.abs(w[:, :, None])
    middle = (w[:, :, None] + w[:, None, :]) / 2
    # dF = V (K o (V* dA V)) V*, K the divided differences of f, or f' where they are 0 / 0
    slope = middle ** (-1 / p - 1) / -p
    k = jnp.where(near, slope, (f[:, :, None] - f[:, None, :]) / jnp.where(near, 1, gap))
    turned = product(product(v.mT.conj(), da), v)
    df = product(product(v, k.astype(v.dtype) * turned), v.mT.conj())
    return _root(a, p, method), df


def _eigen(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    w, v = jnp.linalg.eigh(a, symmetrize_input=False)
    return jnp.maximum(w, jnp.finfo(a.dtype).eps), v


def _by_newton(a: jax.Array, p: int) -> jax.Array:
    eye = jnp.eye(a.shape[-1], dtype=a.dtype)[None]
    # Rows sum to about 1 at most, and so do the eigenvalues.
    size = jnp.max(jnp.sum(jnp.abs(a), axis=-1), axis=-1)[:, None, None]
    z = (1 + p) / (2 * size)

    def go_on(carry: Any) -> Any:
        _, _, _, active, i = carry
        return jnp.any(active) & (i < ITERATIONS)

    def step(carry: Any) -> Any:
        m, h, error, active, i = carry
        # T = ((p + 1) I - M) / p;  M = T^p M;  H = H T
        t = ((p + 1) * eye - m) / p
        power = t
        for _ in range(p - 1):
            power = product(power, t)
        m_new, h_new = product(power, m), product(h, t)
        error_new = jnp.max(jnp.abs(m_new - eye), axis=(-2, -1), keepdims=True)
        # In the end rounding drives it away again: what is much worse is not taken.
        active &= error_new < 1.2 * error
        m, h = jnp.where(active, m_new, m), jnp.where(active, h_new, h)
        error = jnp.where(active, error_new, error)
        return m, h, error, active & (error > 10 * jnp.finfo(a.dtype).eps), i + 1

    h = jnp.broadcast_to(eye * (z ** (1 / p)).astype(a.dtype), a.shape)
    error = jnp.full((a.shape[0], 1, 1), jnp.inf, real_dtype(a.dtype))
    start = a * z.astype(a.dtype), h, error, jnp.ones(error.shape, bool), 0
    return jax.lax.while_loop(go_on, step, start)[1]
