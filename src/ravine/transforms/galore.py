"""Optimizer state in a subspace of low rank: GaLore's projection of the gradients."""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import concrete, fine, safe_increment, times
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Period, State, Static, Transform, Updates
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.matrices import (
    DimensionNumbers,
    MuonDimensionNumbers,
    from_matrices,
    resolve_dimension_numbers,
    to_matrices,
)

GaLoreDimensionNumbers: TypeAlias = MuonDimensionNumbers
"""Which axes of a leaf are the rows and which the columns of its matrix."""


class ScaleByGaloreState(NamedTuple):
    """The step count (int32), the inner state, and each leaf's basis (or ``None``)."""

    count: jax.Array  # type: ignore[assignment]
    base_optimizer_state: State
    projector: Updates


@rule
class ScaleByGalore(Transform):
    r"""Let a transform work on gradients projected to a few directions.

    .. math::
        R_t = P^\top G_t, \qquad U_t = \alpha P\, \mathrm{base}(R_t),

    with :math:`P` the first :math:`r` left singular vectors of the gradient, taken anew every so
    many steps. It is for a gradient with at least as many rows as columns; the others are
    projected from the right. Leaves that are no matrices go to the inner transform as they are.

    Args:
        rank: :math:`r`, at least 1; smaller matrices keep their own rank.
        update_proj_gap: number of steps between new bases, at least 1. Under ``vmap`` a basis is
            computed at every step.
        scale: :math:`\alpha \ge 0`, for what was projected.
        base_optimizer: the inner transform, Adam's direction by default. It sees projected
            gradients and no parameters, so it can hold no weight decay.
        weight_dimension_numbers: how leaves are matrices: ``GaLoreDimensionNumbers``, a tree of
            them, or a function from the parameters to one; leaves with two axes by default.

    Raises:
        ValueError: if the rank is less than 1; at init, if the dimension numbers do not fit.

    Reference: Zhao et al., GaLore: memory-efficient LLM training by gradient low-rank
    projection, 2024, https://arxiv.org/abs/2403.03507.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByGalore(rank=1)
    >>> g = jnp.array([[3.0, 3.0], [-4.0, -4.0]])
    >>> u, state = transform.update(g, transform.init(g))
    >>> u.round(3)
    Array([[ 0.6,  0.6], [-0.8, -0.8]], dtype=float32)
    >>> state.base_optimizer_state.mu.shape
    (1, 1, 2)
    """

    rank: Static[int] = 128
    update_proj_gap: Period = 200
    scale: NonNegative = 1.0
    base_optimizer: Transform | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def __post_init__(self) -> None:
        check_rank(self)

    def init(self, params: Params) -> ScaleByGaloreState:
        leaves, structure = jax.tree.flatten(params)
        dims = resolve_dimension_numbers(self.weight_dimension_numbers, params)
        zeros = [jnp.zeros_like(fine(x)) for x in leaves]
        bases = [self._basis(x, d) for x, d in zip(zeros, dims, strict=True)]
        parts = [_inside(x, b, d) for x, b, d in zip(zeros, bases, dims, strict=True)]
        # The inner slots get the dtypes that they would have without a projection.
        parts = [p.astype(jnp.result_type(x)) for p, x in zip(parts, leaves, strict=True)]
        return ScaleByGaloreState(
            jnp.zeros((), jnp.int32),
            self._base.init(jax.tree.unflatten(structure, parts)),
            jax.tree.unflatten(
                structure, [None if b is None else jnp.zeros_like(b) for b in bases]
            ),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByGaloreState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByGaloreState]:
        leaves = jax.tree.leaves(updates)
        structure: Any = jax.tree.structure(updates)
        dims = resolve_dimension_numbers(self.weight_dimension_numbers, updates)
        gap = jnp.asarray(concrete(self.update_proj_gap)).astype(jnp.int32)
        renew = state.count % gap == 0

        def basis(g: Any, d: Any, old: Any) -> Any:
            if d is None:
                return None
            new = jax.lax.cond(renew, lambda: self._basis(fine(g), d), lambda: old)
            return jax.lax.stop_gradient(new)

        old = structure.flatten_up_to(state.projector)
        bases = [basis(g, d, b) for g, d, b in zip(leaves, dims, old, strict=True)]
        # R = P^T G
        parts = [
            _inside(fine(g), b, d).astype(jnp.result_type(g))
            for g, b, d in zip(leaves, bases, dims, strict=True)
        ]
        small, inner = self._base.update(
            jax.tree.unflatten(structure, parts), state.base_optimizer_state, None, **extra
        )
        # U = alpha P base(R)
        back = [
            u if d is None else times(self.scale, _outside(fine(u), b, d, jnp.shape(g)))
            for u, b, d, g in zip(jax.tree.leaves(small), bases, dims, leaves, strict=True)
        ]
        new = tree.cast_like(jax.tree.unflatten(structure, back), updates)
        projector = jax.tree.unflatten(structure, bases)
        return new, ScaleByGaloreState(safe_increment(state.count), inner, projector)

    @property
    def _base(self) -> Transform:
        return ScaleByAdam() if self.base_optimizer is None else self.base_optimizer

    def _basis(self, g: jax.Array, d: MuonDimensionNumbers | None) -> Any:
        """The first singular vectors of the longer side, shape (count, side, rank)."""
        if d is None:
            return None
        m = to_matrices(g, d)
        rows, columns = m.shape[1:]
        rank = min(self.rank, rows, columns)
        if not m.size:
            return jnp.zeros((m.shape[0], max(rows, columns), rank), m.dtype)
        u, _, vh = jnp.linalg.svd(m, full_matrices=False)
        return u[..., :rank] if rows >= columns else vh[..., :rank, :].mT.conj()


def check_rank(owner: Any) -> None:
    """Check the field ``rank`` of ``owner``."""
    if owner.rank < 1:
        raise ValueError(f"{type(owner).__name__}: rank must be at least 1, got {owner.rank}.")


def _inside(g: jax.Array, basis: Any, d: MuonDimensionNumbers | None) -> jax.Array:
    """``g`` in the subspace: a stack of small matrices."""
    if d is None:
        return g
    m = to_matrices(g, d)
    return _product(basis.mT.conj(), m) if m.shape[1] >= m.shape[2] else _product(m, basis)


def _outside(
    u: jax.Array, basis: jax.Array, d: MuonDimensionNumbers, shape: tuple[int, ...]
) -> jax.Array:
    """The leaf of this shape that ``u`` stands for."""
    basis = basis.astype(u.dtype)
    _, rows, columns = jax.eval_shape(lambda: to_matrices(jnp.zeros(shape), d)).shape
    whole = _product(basis, u) if rows >= columns else _product(u, basis.mT.conj())
    return from_matrices(whole, shape, d)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
