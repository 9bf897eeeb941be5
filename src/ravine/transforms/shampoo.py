"""Shampoo: a matrix between inverse roots of what its rows and its columns have seen."""

from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.choice import one_of
from ravine.core.numerics import (
    abs_sq,
    at,
    bias_correction,
    concrete,
    fine,
    over,
    safe_increment,
    safe_sqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.stack import in_stacks_by_row
from ravine.core.types import (
    STATIC,
    Canonical,
    Decay,
    DType,
    NonNegative,
    Params,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.blocks import cut, join
from ravine.transforms.kronecker import Leaf, accumulate, apply_sides, eyes, leaves_of
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.newton_schulz import Count
from ravine.transforms.roots import inverse_root

GRAFTS = ("sgd", "adagrad", "rmsprop", "adam")


def as_graft(x: Any) -> Any:
    """The name of the method whose step lengths to take, or ``None``."""
    if x is not None and x not in GRAFTS:
        raise TypeError(f"it must be None or one of {', '.join(GRAFTS)}")
    return x


Graft: TypeAlias = Annotated[Any, STATIC, Canonical(as_graft)]
RootMethod: TypeAlias = Annotated[str, STATIC, one_of("eigh", "newton")]


class ScaleByShampooState(NamedTuple):
    """The step count (int32), moments like the parameters, and factors of every block.

    ``stats`` and ``roots`` have a tuple of ``Sides`` in place of every leaf, one for all full
    blocks and one for each kind that is left over at an end.
    """

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates
    stats: Any
    roots: Any


@rule
class ScaleByShampoo(Transform):
    r"""Shampoo's direction, with the length of another method's step.

    .. math::
        L_t &= \beta_2 L_{t-1} + (1-\beta_2) G_t G_t^\top, &
        R_t &= \beta_2 R_{t-1} + (1-\beta_2) G_t^\top G_t, \\
        S_t &= \hat L_t^{-1/4} \hat M_t \hat R_t^{-1/4}, &
        U_t &= \|D_t\|\, S_t / \|S_t\|,

    where :math:`\hat M` is the mean gradient and :math:`D` the step of the method that is
    grafted. A vector has :math:`S = \hat m / (\sqrt{\hat v} + \epsilon)`, and so has a matrix with
    both sides too long. Under ``vmap`` over the state the roots are taken in every step.

    Args:
        b1: decay of the mean gradient, in [0, 1); 0 for the gradient itself.
        b2: decay :math:`\beta_2` of the statistics, in [0, 1); ``None`` sums them, as in the
            first paper.
        eps: :math:`\epsilon \ge 0`, outside the root of second moments.
        matrix_eps: what is added to the diagonal of a statistic, relative to its largest row
            sum; at least 0.
        block_size: most rows and columns of a block; each has statistics of its own.
        max_precond_dim: longest side of a matrix that has statistics.
        precondition_frequency: after how many steps the roots are taken anew.
        graft: whose step length to take: ``"sgd"``, ``"adagrad"``, ``"rmsprop"``, ``"adam"``, or
            ``None`` for Shampoo's own.
        root_method: ``"eigh"``, or ``"newton"`` for products alone.
        mu_dtype: dtype of the mean gradient; that of the parameters by default.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Reference: Gupta, Koren and Singer, Shampoo: preconditioned stochastic tensor optimization,
    2018, https://arxiv.org/abs/1802.09568; Anil et al., Scalable second order optimization for
    deep learning, 2020, https://arxiv.org/abs/2002.09018.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByShampoo(graft=None)
    >>> g = jnp.array([[3.0, 0.0], [0.0, -0.1]])
    >>> transform.update(g, transform.init(g))[0].round(2) + 0.0
    Array([[ 1.,  0.],
           [ 0., -1.]], dtype=float32)
    """

    b1: Decay = 0.9
    b2: Decay | None = 0.999
    eps: NonNegative = 1e-8
    matrix_eps: NonNegative = 1e-6
    block_size: Count = 1024
    max_precond_dim: Count = 8192
    precondition_frequency: Count = 10
    graft: Graft = "adam"
    root_method: RootMethod = "eigh"
    mu_dtype: Static[DType] = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def init(self, params: Params) -> ScaleByShampooState:
        leaves = leaves_of(self.weight_dimension_numbers, params)
        roots = jax.tree.unflatten(
            jax.tree.structure(params),
            [
                tuple(eyes(x.shape, x.dtype) for x in self._blocks(leaf, leaf.zeros()))
                for leaf in leaves
            ],
        )
        mu, nu = tree.zeros_like(params, self.mu_dtype), tree.accumulators(params)
        return ScaleByShampooState(
            jnp.zeros((), jnp.int32), mu, nu, tree.zeros_like(roots), tree.copy(roots)
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByShampooState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByShampooState]:
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g
        mu = tree.moment(self.b1, state.mu, updates)
        c1 = bias_correction(self.b1, t)
        m_hat = jax.tree.map(lambda m: over(m, c1), mu)
        # d = m^ / (sqrt(v^) + eps)
        nu, c2 = self._second_moment(state.nu, updates, t)
        d = jax.tree.map(lambda m, v: over(m, safe_sqrt(over(v, c2)) + at(self.eps, v)), m_hat, nu)
        stats, roots, s = self._precondition(state, updates, m_hat, d, t)
        if self.graft is not None:
            # U = |D| S / |S|
            like = m_hat if self.graft == "sgd" else d
            s = jax.tree.map(lambda d, s: times(over(tree.norm(d), tree.norm(s)), s), like, s)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        return tree.cast_like(s, updates), ScaleByShampooState(t, mu, nu, stats, roots)

    def _second_moment(self, nu: Updates, g: Updates, t: jax.Array) -> tuple[Updates, jax.Array]:
        """The next second moment, and by what to divide it."""
        if self.b2 is None or self.graft == "adagrad":
            squares = jax.tree.map(lambda x: abs_sq(fine(x)), g)
            return tree.add(nu, squares), jnp.ones(())
        nu = tree.second_moment(self.b2, nu, g)
        return nu, jnp.ones(()) if self.graft == "rmsprop" else bias_correction(self.b2, t)

    def _precondition(
        self, state: ScaleByShampooState, g: Updates, m_hat: Updates, d: Updates, t: jax.Array
    ) -> tuple[Any, Any, Updates]:
        """The next factors, and the direction: ``d`` for what is no matrix."""
        due = state.count % self.precondition_frequency == 0
        c2 = jnp.ones(()) if self.b2 is None else bias_correction(self.b2, t)

        def root(a: jax.Array) -> jax.Array:
            return inverse_root(over(a, c2), 4, concrete(self.matrix_eps), self.root_method)

        def block(item: Any) -> Any:
            stats, roots, g, m = item
            # L = b2 L + (1 - b2) G G^T;  R = b2 R + (1 - b2) G^T G
            stats = accumulate(self.b2, stats, g)
            roots = jax.lax.cond(due, lambda: stats.map(root), lambda: roots)
            # S = L^(-1/4) M R^(-1/4)
            return stats, roots, apply_sides(roots, m)

        structure: Any = jax.tree.structure(g)
        leaves = leaves_of(self.weight_dimension_numbers, g)
        columns = (structure.flatten_up_to(x) for x in (state.stats, state.roots, g, m_hat))
        rows = [
            list(zip(stats, roots, self._blocks(leaf, g), self._blocks(leaf, m), strict=True))
            for leaf, stats, roots, g, m in zip(leaves, *columns, strict=True)
        ]
        done = in_stacks_by_row(block, rows)
        s = [
            leaf.write(join([b[2] for b in row], leaf.matrix, self.block_size)) if row else diagonal
            for leaf, row, diagonal in zip(leaves, done, jax.tree.leaves(d), strict=True)
        ]
        stats, roots = ([tuple(b[i] for b in row) for row in done] for i in (0, 1))
        return tuple(jax.tree.unflatten(structure, x) for x in (stats, roots, s))

    def _blocks(self, leaf: Leaf, x: jax.Array) -> list[jax.Array]:
        """The blocks of a leaf, if it is a matrix that is not too large."""
        if leaf.dims is None or 0 in leaf.shape or max(leaf.matrix[1:]) > self.max_precond_dim:
            return []
        return cut(leaf.read(x), self.block_size)
