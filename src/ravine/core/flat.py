"""A tree as one vector: for methods whose arithmetic is that of matrices.

P parameters: the real numbers of all leaves, a complex one counting as two.
"""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.numerics import compute_dtype, real_dtype


def vector_dtype(x: Any) -> Any:
    """The dtype of the vector of ``x``: real, the finest of its leaves, float32 at least."""
    leaves = jax.tree.leaves(x)
    return real_dtype(compute_dtype(*leaves)) if leaves else jnp.dtype(jnp.result_type(float))


def ravel(x: Any, dtype: Any = None) -> jax.Array:
    """All leaves of ``x`` as one real vector of shape (P,).

    >>> ravel({"a": jnp.ones((1, 2)), "b": jnp.array(2 + 3j)})
    Array([1., 1., 2., 3.], dtype=float32)
    """
    dtype = dtype or vector_dtype(x)
    parts = [part.ravel().astype(dtype) for leaf in jax.tree.leaves(x) for part in _parts(leaf)]
    if len(parts) == 1:
        return parts[0]
    return jnp.concatenate(parts) if parts else jnp.zeros(0, dtype)


def unravel(v: jax.Array, like: Any) -> Any:
    """The vector as a tree shaped like ``like``, in its dtypes."""
    leaves, structure = jax.tree.flatten(like)
    out, start = [], 0
    for leaf in leaves:
        shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
        n = prod(shape)
        parts = []
        for _ in _parts(leaf):
            part = v[start : start + n].reshape(shape)
            parts.append(part)
            start += n
        x = jax.lax.complex(*parts) if len(parts) == 2 else parts[0]
        out.append(x.astype(dtype))
    return jax.tree.unflatten(structure, out)


def _parts(leaf: Any) -> tuple[jax.Array, ...]:
    leaf = jnp.asarray(leaf)
    return (leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else (leaf,)


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """The inner product of two vectors."""
    return jnp.dot(a, b, precision=jax.lax.Precision.HIGHEST)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """The product of two matrices, or of a matrix and a vector, with all digits."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
