"""Adam's step sizes by channel or by matrix, estimated in a random subspace."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    at,
    bias_correction,
    compute_dtype,
    concrete,
    fine,
    over,
    real_dtype,
    safe_increment,
    safe_sqrt,
    scalar,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    NonNegative,
    Params,
    Period,
    Positive,
    Seed,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.draw import first_key
from ravine.transforms.galore import check_rank
from ravine.transforms.matrices import (
    DimensionNumbers,
    MuonDimensionNumbers,
    from_matrices,
    resolve_dimension_numbers,
    to_matrices,
)


class ScaleByApolloState(NamedTuple):
    """The step count (int32), the random key of the projections, moments, and norms.

    Of a matrix the moments are those in the subspace, and the norm (one a matrix) is that of
    its last update; other leaves have moments as in Adam and no norm.
    """

    count: jax.Array  # type: ignore[assignment]
    rng_key: jax.Array
    mu: Updates
    nu: Updates
    norms: Updates


@rule
class ScaleByApollo(Transform):
    r"""APOLLO's direction, before the learning rate.

    .. math::
        R_t &= P G_t, \qquad \tilde R_t = m_t / (\sqrt{v_t} + \epsilon), \qquad
        s_j = \frac{\|\tilde R_{t,\cdot j}\|}{\|R_{t,\cdot j}\|}, \qquad
        \tilde G_t = G_t \operatorname{diag}(s), \\
        u_t &= \sqrt\alpha\, \frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\, \tilde G_t
        \min\!\Big(1, \gamma \frac{\|\tilde G_{t-1}\|}{\|\tilde G_t\|}\Big),

    with :math:`m` and :math:`v` Adam's moments of :math:`R`, and :math:`P` a random matrix that
    takes the shorter side to :math:`r`; the longer side's places :math:`j` are the channels. It
    is drawn anew every so many steps, from a key, and so takes no memory. Leaves that are
    no matrices go as in Adam. The limit on growth is Fira's.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        rank: :math:`r`, at least 1; at most the shorter side counts.
        update_proj_gap: number of steps between new projections, at least 1.
        scale: :math:`\alpha \ge 0`.
        scale_type: "channel", or "tensor" for one factor a matrix.
        max_growth: :math:`\gamma > 0`, by which the norm of a matrix's update may grow in a step.
        key: an integer seed or a JAX random key; 0 by default.
        weight_dimension_numbers: how leaves are matrices: ``GaLoreDimensionNumbers``, a tree of
            them, or a function from the parameters to one; leaves with two axes by default.

    Raises:
        ValueError: if the rank is less than 1, for another scale type; at init, if the dimension
            numbers do not fit.

    Reference: Zhu et al., APOLLO: SGD-like memory, AdamW-level performance, 2024,
    https://arxiv.org/abs/2412.05270.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-6
    rank: Static[int] = 256
    update_proj_gap: Period = 200
    scale: NonNegative = 1.0
    scale_type: Static[Literal["channel", "tensor"]] = "channel"
    max_growth: Positive = 1.01
    key: Seed | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def __post_init__(self) -> None:
        check_rank(self)
        check_scale_type(self)

    def init(self, params: Params) -> ScaleByApolloState:
        leaves, structure = jax.tree.flatten(params)
        dims = resolve_dimension_numbers(self.weight_dimension_numbers, params)
        small = [self._small(x, d) for x, d in zip(leaves, dims, strict=True)]
        mu = jax.tree.unflatten(structure, small)
        norms = [
            None if d is None else jnp.zeros(x.shape[0], real_dtype(compute_dtype(x)))
            for x, d in zip(small, dims, strict=True)
        ]
        count = jnp.zeros((), jnp.int32)
        nu, norms = tree.accumulators(mu), jax.tree.unflatten(structure, norms)
        return ScaleByApolloState(count, first_key(self.key), mu, nu, norms)

    def update(
        self,
        updates: Updates,
        state: ScaleByApolloState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByApolloState]:
        t = safe_increment(state.count)
        leaves = jax.tree.leaves(updates)
        structure: Any = jax.tree.structure(updates)
        dims = resolve_dimension_numbers(self.weight_dimension_numbers, updates)
        gap = jnp.asarray(concrete(self.update_proj_gap)).astype(jnp.int32)
        key = jax.random.fold_in(state.rng_key, state.count // gap)
        keys = jax.random.split(key, max(len(leaves), 1))
        # R = P G
        parts = [
            fine(g) if d is None else self._inside(k, to_matrices(fine(g), d))
            for k, g, d in zip(keys, leaves, dims, strict=False)
        ]
        R = jax.tree.unflatten(structure, parts)
        # m = b1 m + (1 - b1) R;  v = b2 v + (1 - b2) R^2
        mu = tree.moment(self.b1, state.mu, R)
        nu = tree.second_moment(self.b2, state.nu, R)
        # R~ = m / (sqrt(v) + eps)
        steps = jax.tree.map(lambda m, v: over(m, safe_sqrt(v) + at(self.eps, v)), mu, nu)
        # sqrt(1 - b2^t) / (1 - b1^t)
        c = safe_sqrt(bias_correction(self.b2, t)) / bias_correction(self.b1, t)
        out: list[jax.Array] = []
        norms: list[jax.Array | None] = []
        old = structure.flatten_up_to(state.norms)
        for g, r, step, d, last in zip(
            leaves, parts, jax.tree.leaves(steps), dims, old, strict=True
        ):
            if d is None:
                out.append(times(c, step))
                norms.append(None)
                continue
            G = to_matrices(fine(g), d)
            limited, norm = self._limited(G, r, step, last, state.count > 0)
            whole = from_matrices(limited, jnp.shape(g), d)
            out.append(times(c * safe_sqrt(scalar(self.scale)), whole))
            norms.append(norm)
        new = tree.cast_like(jax.tree.unflatten(structure, out), updates)
        mu, nu = tree.cast_like(mu, state.mu), tree.cast_like(nu, state.nu)
        state = ScaleByApolloState(t, state.rng_key, mu, nu, jax.tree.unflatten(structure, norms))
        return new, state

    def _limited(
        self, G: jax.Array, r: jax.Array, step: jax.Array, last: jax.Array, goes_on: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The matrices scaled as Adam scaled them in the subspace, and their norms."""
        # s = |R~| / |R|, along the shorter side or over the whole matrix
        short = 2 if G.shape[1] >= G.shape[2] else 1
        axes = (short,) if self.scale_type == "channel" else (1, 2)
        size = _norm(r, axes)
        scaled = times(over(_norm(step.astype(r.dtype), axes), size + 1e-8), G)
        # min(1, gamma |G~| / |G~|) of the last step's and this one's
        norm = _norm(scaled, (1, 2))
        before = last.reshape(-1, 1, 1).astype(norm.dtype) + 1e-8
        growth = at(self.max_growth, norm)
        limiter = jnp.maximum(norm / before, growth) / growth
        limiter = jnp.where(goes_on, limiter, 1)
        return over(scaled, limiter), (norm / limiter).reshape(-1).astype(last.dtype)

    def _inside(self, key: jax.Array, m: jax.Array) -> jax.Array:
        """The matrices with their shorter side projected to ``rank`` directions."""
        rank, side = self._rank(m.shape), min(m.shape[1:])
        P = jax.random.normal(key, (rank, side), real_dtype(m.dtype)) / max(rank, 1) ** 0.5
        P = jnp.broadcast_to(P.astype(m.dtype), (m.shape[0], rank, side))
        high = jax.lax.Precision.HIGHEST
        if m.shape[1] >= m.shape[2]:
            return jnp.matmul(m, P.mT, precision=high)
        return jnp.matmul(P, m, precision=high)

    def _rank(self, shape: tuple[int, ...]) -> int:
        return min(self.rank, *shape[1:])

    def _small(self, x: Any, d: MuonDimensionNumbers | None) -> jax.Array:
        """Zeros for the first moment of a leaf."""
        if d is None:
            return jnp.zeros_like(x, jnp.result_type(x))
        m = jax.eval_shape(lambda: to_matrices(jnp.asarray(x), d))
        count, rows, columns = m.shape
        rank = self._rank(m.shape)
        sides = (rows, rank) if rows >= columns else (rank, columns)
        return jnp.zeros((count, *sides), m.dtype)


def check_scale_type(owner: Any) -> None:
    """Check the field ``scale_type`` of ``owner``."""
    if owner.scale_type not in ("channel", "tensor"):
        raise ValueError(
            f"{type(owner).__name__}: scale_type must be 'channel' or 'tensor', got "
            f"{owner.scale_type!r}."
        )


def _norm(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    return safe_sqrt(jnp.sum(abs_sq(x), axis=axes, keepdims=True))
