"""Many arrays of few shapes: one batched call a shape instead of one a leaf.

A network has hundreds of matrices and a handful of their shapes. What costs time to trace and
to compile then grows with the shapes, and a device sees a few large products, not many small.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def in_stacks(f: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """``f`` of every item, computed once for all items of the same shapes and dtypes.

    An item is a tree of arrays that share the length of their first axis, which counts
    matrices. ``f`` takes such a tree with the items joined along that axis, must treat the
    matrices one by one, and returns a tree with the same first axis.

    >>> import jax.numpy as jnp
    >>> square, wide = jnp.ones((1, 2, 2)), jnp.ones((2, 2, 3))
    >>> [y.shape for y in in_stacks(lambda x: x @ x.mT, [square, wide, square])]
    [(1, 2, 2), (2, 2, 2), (1, 2, 2)]
    """
    groups: dict[Any, list[int]] = {}
    for i, item in enumerate(items):
        leaves, structure = jax.tree.flatten(item)
        key = structure, tuple((a.shape[1:], a.dtype) for a in leaves)
        groups.setdefault(key, []).append(i)
    out: list[Any] = [None] * len(items)
    for members in groups.values():
        sizes = [jax.tree.leaves(items[i])[0].shape[0] for i in members]
        result = f(_joined([items[i] for i in members]))
        start = 0
        for i, size in zip(members, sizes, strict=True):
            out[i] = _part(result, start, start + size)
            start += size
    return out


def in_stacks_by_row(f: Callable[[Any], Any], rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """``in_stacks`` for rows of items: the blocks of every leaf."""
    out = iter(in_stacks(f, [item for row in rows for item in row]))
    return [[next(out) for _ in row] for row in rows]


def _joined(items: list[Any]) -> Any:
    if len(items) == 1:
        return items[0]
    return jax.tree.map(lambda *xs: jnp.concatenate(xs), *items)


def _part(x: Any, start: int, stop: int) -> Any:
    return jax.tree.map(lambda a: jax.lax.slice_in_dim(a, start, stop), x)
