"""Second moments kept by row and by column: Adafactor's and CAME's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    at,
    compute_dtype,
    concrete,
    fine,
    lerp,
    over,
    real_dtype,
    safe_increment,
    safe_sqrt,
)
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Static, Steps, Transform, Updates


class Factors(NamedTuple):
    """The second moment of a leaf: of its rows and columns, or, unfactored, of its elements."""

    row: jax.Array | None
    col: jax.Array | None
    full: jax.Array | None


def power_decay(count: jax.Array, decay_rate: Any) -> jax.Array:
    """Adafactor's decay of the second moment: ``1 - (count + 1)**-decay_rate``."""
    t = jnp.maximum(count + 1, 1).astype(float)
    return 1 - t ** -at(decay_rate, t)


class ScaleByFactoredRmsState(NamedTuple):
    """The step count (int32), and each leaf's second moment (real, float32 or finer)."""

    count: jax.Array  # type: ignore[assignment]
    v: Updates


@rule
class ScaleByFactoredRms(Transform):
    r"""Adafactor's direction: gradients over the root of a second moment of rank one.

    .. math::
        R_t &= \beta_t R_{t-1} + (1-\beta_t)\, \mathrm{mean}_j (|G_t|^2 + \epsilon)_{ij}, &
        C_t &= \beta_t C_{t-1} + (1-\beta_t)\, \mathrm{mean}_i (|G_t|^2 + \epsilon)_{ij}, \\
        V_t &= R_t C_t^\top / \mathrm{mean}(R_t), &
        U_t &= G_t / \sqrt{V_t}, \qquad \beta_t = 1 - t^{-\rho}, \quad t = 1, 2, \dots

    The two largest axes of a leaf are its rows and columns. A leaf without two axes that are
    large enough keeps :math:`V` element by element.

    Args:
        factored: whether to factor at all.
        decay_rate: :math:`\rho \ge 0`.
        step_offset: number of steps that do not count towards :math:`t`, at least 0.
        min_dim_size_to_factor: the smallest size of an axis that is factored.
        epsilon: :math:`\epsilon \ge 0`, added to every square.
        decay_rate_fn: a function at module level that gives :math:`\beta_t` from
            :math:`t - 1` and ``decay_rate``; the formula above by default.

    Reference: Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory
    cost, 2018, https://arxiv.org/abs/1804.04235.

    >>> import jax.numpy as jnp
    >>> g = jnp.array([[1.0, 2.0], [2.0, -4.0]])
    >>> transform = ScaleByFactoredRms(min_dim_size_to_factor=2)
    >>> u, state = transform.update(g, transform.init(g))
    >>> u
    Array([[ 1.,  1.], [ 1., -1.]], dtype=float32)
    >>> state.v.row, state.v.col
    (Array([ 2.5, 10. ], dtype=float32), Array([ 2.5, 10. ], dtype=float32))
    """

    factored: Static[bool] = True
    decay_rate: NonNegative = 0.8
    step_offset: Steps = 0
    min_dim_size_to_factor: Static[int] = 128
    epsilon: NonNegative = 1e-30
    decay_rate_fn: Static[Callable[[jax.Array, Any], jax.Array] | None] = None

    def init(self, params: Params) -> ScaleByFactoredRmsState:
        v = jax.tree.map(lambda p: empty_factors(p, self._axes(p)), params)
        return ScaleByFactoredRmsState(jnp.zeros((), jnp.int32), v)

    def update(
        self,
        updates: Updates,
        state: ScaleByFactoredRmsState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByFactoredRmsState]:
        offset = jnp.asarray(concrete(self.step_offset)).astype(jnp.int32)
        decay_rate_fn = self.decay_rate_fn or power_decay
        beta = decay_rate_fn(state.count - offset, concrete(self.decay_rate))

        def moved(g: Any, v: Factors) -> Factors:
            square = abs_sq(fine(g))
            return moved_factors(beta, v, square + at(self.epsilon, square), self._axes(g))

        v = jax.tree.map(moved, updates, state.v)
        # U = G / sqrt(V)
        u = jax.tree.map(lambda g, v: over_root(fine(g), v, self._axes(g)), updates, v)
        count = safe_increment(state.count)
        return tree.cast_like(u, updates), ScaleByFactoredRmsState(count, v)

    def _axes(self, x: Any) -> tuple[int, int] | None:
        return largest_axes(jnp.shape(x), self.min_dim_size_to_factor) if self.factored else None


def largest_axes(shape: tuple[int, ...], smallest: int = 1) -> tuple[int, int] | None:
    """The second largest and the largest axis, if neither is smaller than ``smallest``."""
    if len(shape) < 2:
        return None
    *_, second, largest = np.argsort(shape, kind="stable").tolist()
    return (second, largest) if shape[second] >= smallest else None


def empty_factors(p: Any, axes: tuple[int, int] | None) -> Factors:
    """Zeros for the second moment of a leaf."""
    shape, dtype = jnp.shape(p), real_dtype(compute_dtype(p))
    if axes is None:
        return Factors(None, None, jnp.zeros(shape, dtype))
    row, col = (tuple(n for i, n in enumerate(shape) if i != gone) for gone in reversed(axes))
    return Factors(jnp.zeros(row, dtype), jnp.zeros(col, dtype), None)


def moved_factors(
    beta: Any, old: Factors, square: jax.Array, axes: tuple[int, int] | None
) -> Factors:
    """One step of the moving averages towards ``square``, which is shaped like the leaf."""

    def moved(mean: Any, x: jax.Array) -> jax.Array:
        return lerp(beta, mean, x.astype(mean.dtype))

    if axes is None:
        return Factors(None, None, moved(old.full, square))
    # R = beta R + (1 - beta) mean over the columns;  C likewise over the rows
    second, largest = axes
    return Factors(
        moved(old.row, _mean(square, largest)), moved(old.col, _mean(square, second)), None
    )


def over_root(g: jax.Array, v: Factors, axes: tuple[int, int] | None) -> jax.Array:
    """``g`` over the root of the second moment that the factors stand for."""
    roots = jax.tree.map(safe_sqrt, v)
    if axes is None:
        return over(g, roots.full)
    second, largest = axes
    # sqrt(V) = sqrt(R / mean(R)) sqrt(C): roots first, for their squares leave the range
    mean = _mean(v.row, second - (second > largest), keepdims=True)
    row = over(roots.row, safe_sqrt(mean))
    g = over(g, jnp.expand_dims(row, largest))
    return over(g, jnp.expand_dims(roots.col, second))


def _mean(x: Any, axis: int, *, keepdims: bool = False) -> jax.Array:
    """The mean along an axis, and 0 along an empty one."""
    return jnp.sum(x, axis, keepdims=keepdims) / max(x.shape[axis], 1)
