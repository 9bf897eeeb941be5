"""PSGD-Kron: triangular factors, learned step by step, that whiten the gradient."""

from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    as_key,
    bias_correction,
    concrete,
    over,
    real_dtype,
    safe_increment,
    safe_sqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.stack import in_stacks
from ravine.core.types import (
    STATIC,
    Canonical,
    Decay,
    DType,
    Fraction,
    NonNegative,
    Params,
    Positive,
    Schedule,
    Seed,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.kronecker import Leaf, Sides, leaves_of
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.newton_schulz import Count
from ravine.transforms.scale import value_at
from ravine.transforms.triangular import balanced, beside, descended, whitened

DEFAULT_SEED = 5318008
"""The authors' own, so that their runs can be followed."""
BALANCE = 0.01
"""How probable it is that an update of the factors balances their sizes first."""
CLIP = 1.1
"""A whitened gradient has root mean square 1: what exceeds this is cut down to it."""


def as_save_mode(x: Any) -> Any:
    """The name of a way to save memory, or ``None``."""
    if x not in (None, "one_diag", "all_diag"):
        raise TypeError("it must be None, one_diag or all_diag")
    return x


SaveMode: TypeAlias = Annotated[Any, STATIC, Canonical(as_save_mode)]


@rule
class KronProbability(Schedule):
    r"""How often PSGD-Kron learns: always at first, then ever less.

    .. math::
        p(t) = \min(p_\max, \max(p_\max e^{-c (t - t_0)}, p_\min)).

    Args:
        max_prob: :math:`p_\max` in [0, 1].
        min_prob: :math:`p_\min` in [0, 1].
        decay: :math:`c \ge 0`.
        flat_start: :math:`t_0 \ge 0`, the last step before it falls.

    >>> import jax.numpy as jnp
    >>> KronProbability()(jnp.array([100, 1500, 9000])).round(2)
    Array([1.  , 0.37, 0.03], dtype=float32)
    """

    max_prob: Fraction = 1.0
    min_prob: Fraction = 0.03
    decay: NonNegative = 0.001
    flat_start: NonNegative = 500

    def __call__(self, count: Any) -> jax.Array:
        t = jnp.asarray(count).astype(float)
        high, low, decay, start = (
            jnp.asarray(concrete(x), float)
            for x in (self.max_prob, self.min_prob, self.decay, self.flat_start)
        )
        return jnp.minimum(jnp.maximum(high * jnp.exp(-decay * (t - start)), low), high)


class ScaleByKronState(NamedTuple):
    """The step count and the steps since the last update of the factors (int32), momentum, factors.

    ``factors`` has ``Sides`` in place of every leaf: triangular matrices of shape (count, n, n),
    or their diagonals of shape (count, n).
    """

    count: jax.Array  # type: ignore[assignment]
    update_counter: jax.Array
    mu: Updates
    factors: Any


@rule
class ScaleByKron(Transform):
    r"""The gradient whitened by a Kronecker product of learned triangular factors.

    .. math::
        U = Q_L^\top Q_L\, \hat M\, Q_R^\top Q_R, \qquad
        A = Q_L \hat M Q_R^\top, \quad B = Q_L^{-\top} Z Q_R^{-1}, \\
        Q_L \leftarrow Q_L - \rho\, \mathrm{triu}\!\left(
            \frac{A A^\top - B B^\top}{\|A A^\top + B B^\top\|} \right) Q_L,

    and likewise on the right with :math:`A^\top A` and :math:`B^\top B`, where :math:`Z` is
    normal noise. The direction's root mean square is cut down to 1.1.

    Args:
        b1: decay of the momentum :math:`M`, in [0, 1).
        preconditioner_update_probability: how often the factors learn, in [0, 1]: every
            :math:`1/p` steps; a number, or a schedule of the step counted from 1.
        max_size_triangular: longest side with a triangular factor; a longer one has a diagonal.
        min_ndim_triangular: 1 for triangular factors of vectors too.
        memory_save_mode: ``"one_diag"`` for a diagonal on the longest side, ``"all_diag"`` for
            diagonals on all.
        momentum_into_precond_update: learn from the momentum, not from the gradient.
        preconditioner_lr: the factors' own learning rate :math:`\rho \ge 0`.
        preconditioner_init_scale: the factors' product at the start, greater than 0.
        mu_dtype: dtype of the momentum; that of the parameters by default.
        precond_dtype: dtype of the factors; that of the parameters or float32 by default,
            whichever is finer.
        key: an integer seed or a JAX random key of the noise. An extra argument ``key`` at
            update takes its place for that step, which a sweep passes for each lane.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Reference: Pooladzandi and Li, Curvature-informed SGD via general purpose Lie-group
    preconditioners, 2024, https://arxiv.org/abs/2402.04553.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByKron(b1=0.0, preconditioner_update_probability=0.0)
    >>> g = jnp.array([[1.0, 0.0], [0.0, -1.0]])
    >>> transform.update(g, transform.init(g))[0] + 0.0
    Array([[ 1.,  0.],
           [ 0., -1.]], dtype=float32)
    """

    b1: Decay = 0.9
    preconditioner_update_probability: Fraction | Schedule = KronProbability()
    max_size_triangular: Count = 8192
    min_ndim_triangular: Count = 2
    memory_save_mode: SaveMode = None
    momentum_into_precond_update: Static[bool] = True
    preconditioner_lr: NonNegative = 0.1
    preconditioner_init_scale: Positive = 1.0
    mu_dtype: Static[DType] = None
    precond_dtype: Static[DType] = None
    key: Seed | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def init(self, params: Params) -> ScaleByKronState:
        leaves = leaves_of(self.weight_dimension_numbers, params)
        factors = jax.tree.unflatten(jax.tree.structure(params), [self._start(x) for x in leaves])
        mu, zero = tree.zeros_like(params, self.mu_dtype), jnp.zeros((), jnp.int32)
        return ScaleByKronState(zero, tree.copy(zero), mu, factors)

    def update(
        self, updates: Updates, state: ScaleByKronState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByKronState]:
        structure: Any = jax.tree.structure(updates)
        leaves = leaves_of(self.weight_dimension_numbers, updates)
        t = safe_increment(state.count)
        # m = b1 m + (1 - b1) g
        mu = tree.moment(self.b1, state.mu, updates)
        c = bias_correction(self.b1, t)
        m = [over(x, c) for x in jax.tree.leaves(mu)]
        # The factors learn in every (1 / p)th step.
        waited = safe_increment(state.update_counter)
        due = waited.astype(float) >= 1 / value_at(self.preconditioner_update_probability, t)
        key = extra.get("key")
        key = as_key((DEFAULT_SEED if self.key is None else self.key) if key is None else key)
        key = jax.random.split(jax.random.fold_in(key, state.count))[1]
        sources = m if self.momentum_into_precond_update else jax.tree.leaves(updates)
        q = jax.lax.cond(
            due,
            lambda q: self._learned(key, leaves, q, sources),
            lambda q: q,
            structure.flatten_up_to(state.factors),
        )
        # U = Q_L^T Q_L M Q_R^T Q_R
        matrices = [leaf.read(x) for leaf, x in zip(leaves, m, strict=True)]
        done = in_stacks(lambda item: whitened(*item), list(zip(q, matrices, strict=True)))
        u = [leaf.write(x) for leaf, x in zip(leaves, done, strict=True)]
        u = [over(x, jnp.maximum(1, rms(x) / CLIP)) for x in u]
        new = ScaleByKronState(
            t,
            jnp.where(due, 0, waited),
            tree.cast_like(mu, state.mu),
            jax.tree.unflatten(structure, q),
        )
        return tree.cast_like(jax.tree.unflatten(structure, u), updates), new

    def _learned(
        self, key: jax.Array, leaves: list[Leaf], factors: list[Sides], sources: list[Any]
    ) -> list[Sides]:
        """The factors after a step towards whitening ``sources``."""
        key, sub = jax.random.split(key)
        balance = jax.random.uniform(sub) < BALANCE
        keys = jax.random.split(jax.random.split(key)[1], max(len(leaves), 1))
        items = []
        for leaf, q, g, k in zip(leaves, factors, sources, keys, strict=False):
            z = jax.random.normal(k, leaf.shape, leaf.dtype)
            g = jnp.asarray(g).astype(leaf.dtype)
            size = jnp.sum(jnp.abs(g)) / max(g.size, 1)
            # A little noise, so that no direction is without a gradient.
            g += times(float(jnp.finfo(jnp.float32).eps) ** 0.5 * size, z)
            items.append((q, leaf.read(g), leaf.read(z)))

        def step(item: Any) -> Sides:
            q, g, z = item
            q = jax.lax.cond(balance, balanced, lambda q: q, q)
            new = descended(q, g, z, self.preconditioner_lr)
            # Where no gradient was, there is nothing to whiten, and the noise would have it grow.
            seen = jnp.any(g != 0, axis=(-2, -1))
            return q.map(lambda old, x: jnp.where(beside(seen, old), x, old).astype(old.dtype), new)

        return in_stacks(step, items)

    def _start(self, leaf: Leaf) -> Sides:
        count, *sides = leaf.matrix
        vector = leaf.dims is None
        dtype = self.precond_dtype or leaf.dtype
        scale = jnp.asarray(concrete(self.preconditioner_init_scale), real_dtype(dtype))
        scale = (scale if vector else safe_sqrt(scale)).astype(dtype)
        longest = 1 if sides[1] >= sides[0] else 0

        def factor(axis: int) -> jax.Array | None:
            n = sides[axis]
            if vector and axis == 0:
                return None
            saved = self.memory_save_mode == "all_diag"
            saved |= self.memory_save_mode == "one_diag" and axis == longest
            small = (1 if vector else 2) < self.min_ndim_triangular or not leaf.shape
            if n <= 1 or n > self.max_size_triangular or saved or small:
                return jnp.full((count, n), scale, dtype)
            return jnp.tile(scale * jnp.eye(n, dtype=dtype), (count, 1, 1))

        return Sides(factor(0), factor(1))


def rms(x: jax.Array) -> jax.Array:
    """The root mean square; 0 of nothing."""
    return safe_sqrt(jnp.sum(abs_sq(x)) / max(x.size, 1))
