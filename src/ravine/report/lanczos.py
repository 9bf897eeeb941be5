"""Extreme eigenvalues of a Hessian that is known by its products with vectors."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.flat import dot, matmul, ravel


def lanczos(
    function: Any, params: Any, inputs: Any, steps: int, key: jax.Array
) -> tuple[np.ndarray, float]:
    """The eigenvalues of the Hessian on a Krylov space, and how far the extreme ones may be off.

    ``function(x, params, inputs)`` takes the parameters as a vector; ``steps`` is at most its size.
    """
    diagonal, beside = _tridiagonal(function, steps, params, inputs, key)
    a, b = np.asarray(diagonal, np.float64), np.asarray(beside, np.float64)
    eigenvalues, vectors = np.linalg.eigh(np.diag(a) + np.diag(b[:-1], 1) + np.diag(b[:-1], -1))
    # The residual of a Ritz vector: the last coefficient times what leads out of the space.
    missed = 0.0 if steps == ravel(params).size else b[-1] * np.abs(vectors[-1, [0, -1]]).max()
    return eigenvalues, float(missed)


@partial(jax.jit, static_argnums=(0, 1))
def _tridiagonal(
    function: Any, steps: int, params: Any, inputs: Any, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Lanczos's matrix, every new vector made orthogonal to all before it, twice."""
    x = ravel(params)
    product = jax.linearize(jax.grad(lambda x: function(x, params, inputs)), x)[1]

    def orthogonal(v: jax.Array, Q: jax.Array) -> jax.Array:
        for _ in range(2):
            v = v - matmul(matmul(Q, v), Q)
        return v

    def step(carry: tuple[jax.Array, jax.Array], k: jax.Array) -> Any:
        Q, q = carry
        Q = Q.at[k].set(q)
        v = product(q)
        a, scale = dot(q, v), jnp.sqrt(dot(v, v))
        v = orthogonal(v, Q)
        b = jnp.sqrt(dot(v, v))
        # An invariant subspace: go on in another, to which nothing leads.
        ended = b <= 10 * jnp.finfo(b.dtype).eps * scale
        anew = orthogonal(jax.random.normal(jax.random.fold_in(key, k), x.shape, x.dtype), Q)
        v = jnp.where(ended, anew, v)
        v /= jnp.maximum(jnp.sqrt(dot(v, v)), jnp.finfo(v.dtype).tiny)
        return (Q, v), (a, jnp.where(ended, 0, b))

    q = jax.random.normal(jax.random.fold_in(key, steps), x.shape, x.dtype)
    start = jnp.zeros((steps, x.size), x.dtype), q / jnp.sqrt(dot(q, q))
    return jax.lax.scan(step, start, jnp.arange(steps))[1]
