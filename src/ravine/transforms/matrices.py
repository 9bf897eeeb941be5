"""Which leaves are matrices, and how a leaf with more axes is read as one."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core.paths import LabelTree, leaf_paths
from ravine.core.types import Canonical


class MuonDimensionNumbers(NamedTuple):
    """Which axes of a leaf are the rows and which the columns of its matrix.

    The matrix maps the reduction axes, by which an input is multiplied and summed, to the
    output axes. All other axes count matrices, each of which is treated on its own: a
    convolution's kernel of shape (height, width, in, out) is one matrix with
    ``MuonDimensionNumbers((0, 1, 2), 3)``, and one for every place with ``(2, 3)``.
    """

    reduction_axis: int | tuple[int, ...] = 0
    output_axis: int | tuple[int, ...] = 1


def as_dimension_numbers(spec: Any) -> Any:
    """Any form of dimension numbers, made hashable so that they can be structure."""
    if spec is None or isinstance(spec, LabelTree) or _is_function(spec):
        return spec
    leaves, structure = jax.tree.flatten(spec, is_leaf=_ends)
    for leaf in leaves:
        if not _ends(leaf):
            raise TypeError(
                "it must be MuonDimensionNumbers, a tree of them (None for leaves that are no "
                "matrices), or a function from the parameters to such a tree"
            )
    return LabelTree(structure, tuple(x if x is None else _plain(x) for x in leaves))


DimensionNumbers: TypeAlias = Annotated[Any, Canonical(as_dimension_numbers)]
"""How leaves are matrices: a tree of ``MuonDimensionNumbers``, or ``params -> tree``."""


def matrices_of(owner: str, spec: Any, updates: Any) -> list[MuonDimensionNumbers | None]:
    """The dimension numbers of every leaf for a transform that takes every leaf as a matrix.

    Raises:
        ValueError: at a leaf with three axes or more that has no dimension numbers.
    """
    dims = resolve_dimension_numbers(spec, updates)
    for path, d, x in zip(leaf_paths(updates), dims, jax.tree.leaves(updates), strict=True):
        if d is None and jnp.ndim(x) > 2:
            raise ValueError(
                f"{owner}: the leaf {path!r} has {jnp.ndim(x)} axes and is no matrix. Say which "
                "axes are its rows and columns with dimension numbers, or give the leaf to "
                "another transform with Masked or Partition."
            )
    return dims


def resolve_dimension_numbers(
    spec: Any, params: Any, fold: bool = False
) -> list[MuonDimensionNumbers | None]:
    """The dimension numbers of every leaf, in leaf order; ``None`` for what is no matrix.

    Without a ``spec``, leaves with two axes are matrices and no others; with ``fold`` those with
    more axes are too, all but the last of which are rows, as kernels of convolutions have it.

    Raises:
        ValueError: if the spec is no prefix of the parameters, or does not fit a leaf.
    """
    leaves = jax.tree.leaves(params)
    if spec is None:
        axes = [jnp.ndim(x) for x in leaves]
        return [
            MuonDimensionNumbers(tuple(range(n - 1)), n - 1) if n == 2 or (fold and n > 2) else None
            for n in axes
        ]
    spec = as_dimension_numbers(spec(params) if _is_function(spec) else spec)
    found: list[MuonDimensionNumbers | None] = []
    if spec is not None:
        try:
            jax.tree.map(
                lambda d, sub: found.extend([d] * len(jax.tree.leaves(sub))),
                spec.tree(),
                params,
                is_leaf=_ends,
            )
        except ValueError as error:
            raise ValueError(
                "The dimension numbers must be a tree like the parameters, or a prefix of it; the "
                f"leaves of the parameters are {', '.join(map(repr, leaf_paths(params)[:8]))}."
            ) from error
    found = found or [None] * len(leaves)
    for path, d, x in zip(leaf_paths(params), found, leaves, strict=True):
        if d is not None:
            _check(path, d, jnp.ndim(x))
    return found


def to_matrices(x: jax.Array, d: MuonDimensionNumbers | None) -> jax.Array:
    """A leaf as a stack of matrices, of shape (count, rows, columns); a vector is one row."""
    if d is None:
        return x.reshape(1, 1, x.size)
    parts = batch, rows, columns = _parts(d, x.ndim)
    return x.transpose(batch + rows + columns).reshape([_size(x.shape, axes) for axes in parts])


def from_matrices(
    m: jax.Array, shape: tuple[int, ...], d: MuonDimensionNumbers | None
) -> jax.Array:
    """The inverse of ``to_matrices``, for a leaf of this shape."""
    if d is None:
        return m.reshape(shape)
    order = sum(_parts(d, len(shape)), ())
    back = sorted(range(len(shape)), key=order.__getitem__)
    return m.reshape([shape[axis] for axis in order]).transpose(back)


def fans(shape: tuple[int, ...], d: MuonDimensionNumbers | None) -> tuple[int, int]:
    """The numbers of inputs and of outputs of a leaf's matrix."""
    if d is None:
        return 1, 1
    rows, columns = _axes(d, len(shape))
    return _size(shape, rows), _size(shape, columns)


def matrix_shape(shape: tuple[int, ...], d: MuonDimensionNumbers | None) -> tuple[int, int, int]:
    """The shape that ``to_matrices`` gives a leaf: how many, rows, columns."""
    if d is None:
        return 1, 1, math.prod(shape)
    batch, rows, columns = (_size(shape, axes) for axes in _parts(d, len(shape)))
    return batch, rows, columns


def row_axes(d: MuonDimensionNumbers | None, ndim: int) -> tuple[int, ...]:
    """The axes of a leaf that are its matrix's rows; none of a vector."""
    return () if d is None else _axes(d, ndim)[0]


@dataclass(frozen=True)
class MatrixLabels:
    """Labels for ``Partition``: which leaves are matrices, and which are for Adam."""

    spec: Any
    matrix: str = "muon"
    other: str = "adam"

    def __call__(self, params: Any) -> Any:
        dims = resolve_dimension_numbers(self.spec, params)
        labels = [self.other if d is None else self.matrix for d in dims]
        return jax.tree.unflatten(jax.tree.structure(params), labels)


def _ends(x: Any) -> bool:
    return x is None or hasattr(x, "reduction_axis")


def _is_function(x: Any) -> bool:
    return callable(x) and jax.tree_util.all_leaves([x])


def _plain(d: Any) -> MuonDimensionNumbers:
    axes = (x if isinstance(x, int) else tuple(x) for x in (d.reduction_axis, d.output_axis))
    return MuonDimensionNumbers(*axes)


def _axes(d: MuonDimensionNumbers, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rows, columns = ((x,) if isinstance(x, int) else x for x in d)
    return tuple(i % ndim for i in rows), tuple(i % ndim for i in columns)


def _parts(d: MuonDimensionNumbers, ndim: int) -> tuple[tuple[int, ...], ...]:
    rows, columns = _axes(d, ndim)
    return tuple(i for i in range(ndim) if i not in rows + columns), rows, columns


def _size(shape: tuple[int, ...], axes: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axes)


def _check(path: str, d: MuonDimensionNumbers, ndim: int) -> None:
    given = [i for x in d for i in ((x,) if isinstance(x, int) else x)]
    inside = all(-ndim <= i < ndim for i in given)
    if not inside or len({i % ndim for i in given}) < len(given):
        raise ValueError(
            f"{d} does not fit the leaf {path!r}, which has {ndim} axes: the rows and the columns "
            "need different axes of it. For leaves that are no matrices write None."
        )
