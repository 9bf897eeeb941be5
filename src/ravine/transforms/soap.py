"""SOAP: Adam in the eigenbasis of Shampoo's statistics."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    bias_correction,
    lerp,
    over,
    safe_increment,
    safe_sqrt,
)
from ravine.core.rule import rule
from ravine.core.stack import in_stacks_by_row
from ravine.core.types import (
    Decay,
    DType,
    NonNegative,
    Params,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.adam import adaptive
from ravine.transforms.kronecker import (
    Leaf,
    Sides,
    accumulate,
    apply_sides,
    eyes,
    leaves_of,
    product,
)
from ravine.transforms.matrices import DimensionNumbers, from_matrices, to_matrices
from ravine.transforms.newton_schulz import Count


class ScaleBySoapState(NamedTuple):
    """The step count (int32), Adam's moments, and what each side of a matrix has seen.

    ``mu`` is in the parameters' own axes and ``nu`` in the eigenbasis. ``stats`` and ``bases``
    have a tuple in place of every leaf, empty where Adam works in the leaf's own axes.
    """

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    stats: Any
    bases: Any


@rule
class ScaleBySoap(Transform):
    r"""SOAP's direction: Adam's, in the eigenbasis of what the rows and the columns have seen.

    .. math::
        L_t &= \beta_3 L_{t-1} + (1-\beta_3) G_t G_t^\top, \qquad
        R_t = \beta_3 R_{t-1} + (1-\beta_3) G_t^\top G_t, \\
        G'_t &= Q_L^\top G_t Q_R, \qquad
        V_t = \beta_2 V_{t-1} + (1-\beta_2)\, G'_t \odot G'_t, \\
        U_t &= Q_L \left( Q_L^\top \hat M_t Q_R \,/\, (\sqrt{\hat V_t} + \epsilon) \right) Q_R^\top,

    where every few steps :math:`Q_L` becomes the orthogonal factor of :math:`L Q_L`, a step of
    the power iteration, and likewise :math:`Q_R`. The first step finds the bases and, as in the
    authors' code, leaves matrices where they are. Derivatives take the bases as constants;
    under ``vmap`` over the state they are found anew in every step.

    Args:
        b1: decay of the mean gradient :math:`M`, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        shampoo_beta: decay :math:`\beta_3` of the statistics, in [0, 1); ``b2`` by default.
        eps: :math:`\epsilon \ge 0`, outside the root.
        precondition_frequency: after how many steps the bases are turned.
        max_precond_dim: longest side that has a basis; a longer one keeps its own axes.
        precondition_1d: whether vectors have a basis too.
        normalize_grads: divide every leaf's direction by its root mean square.
        correct_bias: divide the moments by :math:`1-\beta^t`.
        skip_first: leave matrices where they are in the first step.
        mu_dtype: dtype of the mean gradient; that of the parameters by default.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Reference: Vyas et al., SOAP: improving and stabilizing Shampoo using Adam, 2024,
    https://arxiv.org/abs/2409.11321.

    >>> import jax.numpy as jnp
    >>> transform = ScaleBySoap(skip_first=False)
    >>> g = jnp.array([[3.0, 0.0], [0.0, -0.1]])
    >>> transform.update(g, transform.init(g))[0].round(3) + 0.0
    Array([[ 1.,  0.],
           [ 0., -1.]], dtype=float32)
    """

    b1: Decay = 0.95
    b2: Decay = 0.95
    shampoo_beta: Decay | None = None
    eps: NonNegative = 1e-8
    precondition_frequency: Count = 10
    max_precond_dim: Count = 10_000
    precondition_1d: Static[bool] = False
    normalize_grads: Static[bool] = False
    correct_bias: Static[bool] = True
    skip_first: Static[bool] = True
    mu_dtype: Static[DType] = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def init(self, params: Params) -> ScaleBySoapState:
        leaves = leaves_of(self.weight_dimension_numbers, params)
        bases = jax.tree.unflatten(jax.tree.structure(params), [self._bases(x) for x in leaves])
        mu, nu = tree.zeros_like(params, self.mu_dtype), tree.accumulators(params)
        return ScaleBySoapState(
            jnp.zeros((), jnp.int32), mu, nu, tree.zeros_like(bases), tree.copy(bases)
        )

    def update(
        self,
        updates: Updates,
        state: ScaleBySoapState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleBySoapState]:
        structure: Any = jax.tree.structure(updates)
        leaves = leaves_of(self.weight_dimension_numbers, updates)
        columns = (structure.flatten_up_to(x) for x in state[1:])
        rows = [
            [(sides, leaf.read(g), leaf.read(m), to_matrices(v, leaf.dims))]
            for leaf, g, m, v, *sides in zip(
                leaves, jax.tree.leaves(updates), *columns, strict=True
            )
        ]

        def matrix(item: Any) -> Any:
            (stats, bases), g, m, v = item
            if stats:
                return self._rotated(stats[0], bases[0], g, m, v, state.count)
            u, m, v = self._adam(g, g, m, v, Sides(None, None), safe_increment(state.count))
            return (), (), u, m, v

        done = [row[0] for row in in_stacks_by_row(matrix, rows)]
        u = [leaf.write(x[2]) for leaf, x in zip(leaves, done, strict=True)]
        if self.normalize_grads:
            u = [over(x, safe_sqrt(jnp.mean(abs_sq(x)))) for x in u]
        mu = [leaf.write(x[3]) for leaf, x in zip(leaves, done, strict=True)]
        nu = [from_matrices(x[4], f.shape, f.dims) for f, x in zip(leaves, done, strict=True)]
        u, mu, nu, stats, bases = (
            jax.tree.unflatten(structure, x)
            for x in (u, mu, nu, [x[0] for x in done], [x[1] for x in done])
        )
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        t = safe_increment(state.count)
        return tree.cast_like(u, updates), ScaleBySoapState(t, mu, nu, stats, bases)

    def _rotated(
        self,
        stats: Sides,
        bases: Sides,
        g: jax.Array,
        m: jax.Array,
        v: jax.Array,
        count: jax.Array,
    ) -> tuple[Any, ...]:
        first = count == 0
        # The authors count from the second step on.
        t = count if self.skip_first else safe_increment(count)
        # L = b3 L + (1 - b3) G G^T;  R = b3 R + (1 - b3) G^T G
        decay = self.b2 if self.shampoo_beta is None else self.shampoo_beta
        stats = accumulate(decay, stats, g)
        seen = jax.lax.stop_gradient(stats)
        bases = jax.lax.cond(first, lambda: seen.map(eigenbasis), lambda: bases)
        # G' = Q_L^T G Q_R
        turned = apply_sides(turns(bases), g)
        u, m_new, v_new = self._adam(g, turned, m, v, bases, t)
        if self.skip_first:
            m, v = jnp.where(first, m, m_new), jnp.where(first, v, v_new)
            u = jnp.where(first, 0, u)
        else:
            m, v = m_new, v_new
        due = (t > 0) & (t % self.precondition_frequency == 0)
        bases, v = jax.lax.cond(due, lambda: refreshed(seen, bases, v), lambda: (bases, v))
        return (stats,), (bases,), u, m, v

    def _adam(
        self, g: jax.Array, turned: jax.Array, m: jax.Array, v: jax.Array, q: Sides, t: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Adam's direction for ``turned``, the gradient in the bases, turned back."""
        # M = b1 M + (1 - b1) G;  V = b2 V + (1 - b2) G' G'
        m = lerp(self.b1, m, g)
        v = lerp(self.b2, v, abs_sq(turned).astype(v.dtype))
        m_hat, v_hat = apply_sides(turns(q), m), v
        if self.correct_bias:
            m_hat = over(m_hat, bias_correction(self.b1, t))
            v_hat = over(v, bias_correction(self.b2, t))
        # U = Q_L (M' / (sqrt(V^) + eps)) Q_R^T
        return apply_sides(turns(q, back=True), adaptive(m_hat, v_hat, self.eps, 0.0)), m, v

    def _bases(self, leaf: Leaf) -> tuple[Sides, ...]:
        """Where a leaf starts: its own axes; nothing if it never leaves them."""
        _, rows, columns = shape = leaf.matrix
        wanted = 1 < rows <= self.max_precond_dim, 1 < columns <= self.max_precond_dim
        if (leaf.dims is None and not self.precondition_1d) or 0 in shape or not any(wanted):
            return ()
        return (eyes(shape, leaf.dtype, wanted),)


def turns(q: Sides, back: bool = False) -> Sides:
    """What to multiply from the left and the right to turn into the bases, or back."""
    left, right = (None if x is None else x.mT.conj() for x in q)
    return Sides(q.left, right) if back else Sides(left, q.right)


def eigenbasis(a: jax.Array) -> jax.Array:
    """The eigenvectors, those of the largest eigenvalues first."""
    return jnp.linalg.eigh(a)[1][..., ::-1]


def refreshed(stats: Sides, bases: Sides, v: jax.Array) -> tuple[Sides, jax.Array]:
    """The bases after a step of the power iteration, and ``v`` in their new order."""
    new: list[Any] = []
    for axis, (a, q) in enumerate(zip(stats, bases, strict=True), start=1):
        if q is None:
            new.append(None)
            continue
        moved = product(a, q)
        size = jnp.sum((q.conj() * moved).real, axis=-2)
        order = jnp.argsort(-size, axis=-1)
        # Q = qr(A Q), its columns from the largest to the smallest estimate q^T A q
        new.append(jnp.linalg.qr(jnp.take_along_axis(moved, order[:, None, :], 2))[0])
        v = jnp.take_along_axis(v, order[:, :, None] if axis == 1 else order[:, None, :], axis)
    return Sides(*new), v
