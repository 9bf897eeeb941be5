"""Dion: orthonormal updates of low rank, what they leave out kept for later."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import abs_sq, as_key, at, complement, over, safe_sqrt, times
from ravine.core.rule import rule
from ravine.core.stack import in_stacks
from ravine.core.types import Decay, DType, NonNegative, Params, Seed, Static, Transform, Updates
from ravine.transforms.kronecker import Leaf, leaves_of, product
from ravine.transforms.matrices import DimensionNumbers, fans
from ravine.transforms.newton_schulz import Count


class ScaleByDionState(NamedTuple):
    """The momentum, less what has been used of it, and a basis of its strongest directions.

    ``bases`` has an array of shape (count, inputs, rank) in place of every leaf.
    """

    mu: Updates
    bases: Any


@rule
class ScaleByDion(Transform):
    r"""Dion's direction: an orthonormal matrix of low rank, from one step of the power iteration.

    .. math::
        B_t &= M_{t-1} + G_t, \qquad P_t = \mathrm{qr}(B_t Q_{t-1}), \qquad
        R_t = B_t^\top P_t, \\
        M_t &= B_t - (1-\mu) P_t R_t^\top, \qquad
        Q_t = R_t / \text{its columns' lengths}, \qquad
        U_t = \sqrt{n_\text{out} / n_\text{in}}\; P_t Q_t^\top,

    of matrices from inputs to outputs. What the low rank leaves out stays in :math:`M` and comes
    with later steps. A vector is divided by its length. Derivatives take :math:`P` as constant.

    Args:
        momentum: :math:`\mu` in [0, 1).
        rank: most columns of :math:`P`; a matrix's shorter side if that is less.
        eps: :math:`\epsilon \ge 0`, added to the lengths of columns.
        mu_dtype: dtype of the momentum; that of the parameters by default.
        key: an integer seed or a JAX random key of the first bases; 0 by default.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Reference: Ahn et al., Dion: distributed orthonormalized updates, 2025,
    https://arxiv.org/abs/2504.05295.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByDion()
    >>> g = jnp.array([[3.0, 0.0], [0.0, -3.0]])
    >>> u, state = transform.update(g, transform.init(g))
    >>> (u @ g).round() + 0.0
    Array([[3., 0.],
           [0., 3.]], dtype=float32)
    """

    momentum: Decay = 0.95
    rank: Count = 128
    eps: NonNegative = 1e-8
    mu_dtype: Static[DType] = None
    key: Seed | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def init(self, params: Params) -> ScaleByDionState:
        leaves = leaves_of(self.weight_dimension_numbers, params)
        keys = jax.random.split(as_key(0 if self.key is None else self.key), max(len(leaves), 1))

        def basis(leaf: Leaf, key: jax.Array) -> jax.Array:
            count, n_in, n_out = leaf.matrix
            return jax.random.normal(key, (count, n_in, min(self.rank, n_in, n_out)), leaf.dtype)

        bases = [basis(leaf, k) for leaf, k in zip(leaves, keys, strict=False)]
        mu = tree.zeros_like(params, self.mu_dtype)
        return ScaleByDionState(mu, jax.tree.unflatten(jax.tree.structure(params), bases))

    def update(
        self, updates: Updates, state: ScaleByDionState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByDionState]:
        def matrix(item: tuple[jax.Array, jax.Array, jax.Array]) -> Any:
            g, m, q = item
            # B = M + G
            b = m + g
            if 0 in q.shape:
                return b, b, q
            # P = qr(B Q);  R = B^T P
            p = jax.lax.stop_gradient(jnp.linalg.qr(product(b, q))[0])
            r = product(b.mT.conj(), p)
            # M = B - (1 - mu) P R^T
            m = b - times(complement(self.momentum), product(p, r.mT.conj()))
            # Q = R / |R|, column by column
            size = safe_sqrt(jnp.sum(abs_sq(r), axis=-2, keepdims=True))
            q = over(r, jnp.broadcast_to(size + at(self.eps, size), r.shape))
            return product(p, q.mT.conj()), m, q

        structure: Any = jax.tree.structure(updates)
        leaves = leaves_of(self.weight_dimension_numbers, updates)
        columns = [jax.tree.leaves(x) for x in (updates, state.mu, state.bases)]
        # From (inputs, outputs), as JAX writes a matrix, to (outputs, inputs), as the paper does.
        items = [
            (leaf.read(g).mT, leaf.read(m).mT, q)
            for leaf, g, m, q in zip(leaves, *columns, strict=True)
        ]
        done = in_stacks(matrix, items)
        u, mu = (
            jax.tree.unflatten(
                structure, [leaf.write(x[i].mT) for leaf, x in zip(leaves, done, strict=True)]
            )
            for i in (0, 1)
        )
        shapes = [fans(leaf.shape, leaf.dims) for leaf in leaves]
        scales = [math.sqrt(n_out / max(n_in, 1)) for n_in, n_out in shapes]
        u = jax.tree.map(times, jax.tree.unflatten(structure, scales), u)
        bases = jax.tree.unflatten(structure, [x[2] for x in done])
        new = ScaleByDionState(tree.cast_like(mu, state.mu), bases)
        return tree.cast_like(u, updates), new
