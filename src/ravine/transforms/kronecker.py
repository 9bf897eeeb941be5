"""What the methods share that precondition a matrix from the left and from the right."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.numerics import compute_dtype, fine, lerp
from ravine.transforms.matrices import (
    MuonDimensionNumbers,
    from_matrices,
    matrix_shape,
    resolve_dimension_numbers,
    to_matrices,
)

EXACT = jax.lax.Precision.HIGHEST
"""Roots and bases amplify what is lost in a product: no shortened float32 in them."""


class Sides(NamedTuple):
    """An array for the rows and one for the columns; none for a side that is left alone.

    Their first axis counts matrices: (count, rows, rows) and (count, columns, columns).
    """

    left: Any
    right: Any

    def map(self, f: Callable[..., Any], *others: "Sides") -> "Sides":
        """``f`` of each side that is there."""
        pairs = zip(self, *others, strict=True)
        return Sides(*(None if side is None else f(side, *rest) for side, *rest in pairs))


def eyes(shape: tuple[int, ...], dtype: Any, wanted: tuple[bool, bool] = (True, True)) -> Sides:
    """Identities for the sides of matrices of shape (count, rows, columns)."""
    count, *sides = shape
    return Sides(
        *(
            jnp.tile(jnp.eye(n, dtype=dtype), (count, 1, 1)) if want else None
            for n, want in zip(sides, wanted, strict=True)
        )
    )


def outer(g: jax.Array, like: Sides) -> Sides:
    """``G G*`` and ``G* G``."""
    h = g.mT.conj()
    return Sides(
        None if like.left is None else product(g, h),
        None if like.right is None else product(h, g),
    )


def accumulate(b: Any, sides: Sides, g: jax.Array) -> Sides:
    """``b L + (1 - b) G G*``, and likewise on the right; sums if ``b`` is ``None``."""
    new = outer(g, sides)
    return sides.map(lambda old, x: old + x if b is None else lerp(b, old, x), new)


def apply_sides(sides: Sides, g: jax.Array) -> jax.Array:
    """``L G R``, without the sides that are not there."""
    g = g if sides.left is None else product(sides.left, g)
    return g if sides.right is None else product(g, sides.right)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product with all digits of its dtype."""
    return jnp.matmul(a, b, precision=EXACT)


class Leaf(NamedTuple):
    """How one leaf is read as matrices."""

    shape: tuple[int, ...]
    dtype: Any
    dims: MuonDimensionNumbers | None

    @property
    def matrix(self) -> tuple[int, int, int]:
        """The shape as matrices: how many, rows, columns."""
        return matrix_shape(self.shape, self.dims)

    def zeros(self) -> jax.Array:
        """Zeros like the leaf, in the dtype in which to compute with it."""
        return jnp.zeros(self.shape, self.dtype)

    def read(self, x: Any) -> jax.Array:
        """A leaf as matrices, in the dtype in which to compute with it."""
        return to_matrices(fine(x).astype(self.dtype), self.dims)

    def write(self, m: jax.Array) -> jax.Array:
        """Matrices as the leaf."""
        return from_matrices(m, self.shape, self.dims)


def leaves_of(spec: Any, params: Any) -> list[Leaf]:
    """How every leaf is read, in leaf order."""
    dims = resolve_dimension_numbers(spec, params, fold=True)
    return [
        Leaf(jnp.shape(x), compute_dtype(x), d)
        for x, d in zip(jax.tree.leaves(params), dims, strict=True)
    ]
