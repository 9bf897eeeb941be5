"""Arithmetic on pytrees of arrays, leaf by leaf.

``None`` is an empty subtree everywhere, as in JAX. Nothing here promotes a dtype
implicitly: scalars take the dtype of the leaf that they meet.
"""

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.numerics import (
    abs_sq,
    astype,
    compute_dtype,
    concrete,
    dtype_of,
    fine,
    lerp,
    real_dtype,
    safe_sqrt,
    times,
    widen,
)

SHORT = 16
"""Sums of fewer numbers gain nothing from being taken as products."""


def add(x: Any, y: Any) -> Any:
    """``x + y``, in the dtypes of ``x``."""
    return jax.tree.map(lambda a, b: _joined(jnp.add, a, b), x, y)


def sub(x: Any, y: Any) -> Any:
    """``x - y``, in the dtypes of ``x``."""
    return jax.tree.map(lambda a, b: _joined(jnp.subtract, a, b), x, y)


def mul(x: Any, y: Any) -> Any:
    """``x * y``, in the dtypes of ``x``."""
    return jax.tree.map(lambda a, b: _joined(jnp.multiply, a, b), x, y)


def scale(factor: Any, x: Any) -> Any:
    """``factor * x`` for one number ``factor``."""
    return jax.tree.map(lambda a: astype(times(factor, fine(a)), dtype_of(a)), x)


def add_scale(x: Any, factor: Any, y: Any) -> Any:
    """``x + factor * y`` for one number ``factor``."""
    return add(x, scale(factor, y))


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros shaped like ``x``, fresh buffers of its own or of the given dtype."""
    return jax.tree.map(lambda a: jnp.zeros_like(a, dtype or jnp.result_type(a)), x)


def full_like(x: Any, value: Any, dtype: Any = None) -> Any:
    """``value`` everywhere, shaped like ``x``."""
    return jax.tree.map(lambda a: jnp.full_like(a, value, dtype or jnp.result_type(a)), x)


def accumulators(x: Any, value: Any = 0.0) -> Any:
    """Real slots shaped like ``x`` for sums of squares: float32 or finer, whatever ``x`` is.

    A running mean of squares with decay 0.999 cannot move in bfloat16, and overflows or
    vanishes in float16; hence no half-precision slots here.
    """
    value = concrete(value)
    return jax.tree.map(lambda a: jnp.full_like(a, value, real_dtype(compute_dtype(a))), x)


def fine_zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros shaped like ``x`` for sums of small terms: float32 or finer, or of the given dtype.

    They are complex where ``x`` is.
    """
    return jax.tree.map(lambda a: jnp.zeros_like(a, dtype or compute_dtype(a)), x)


def widened(x: Any) -> Any:
    """``x`` in the dtypes in which to compute with it."""
    return jax.tree.map(fine, x)


def moment(b: Any, old: Any, g: Any) -> Any:
    """Leaf by leaf ``b * old + (1 - b) * g``, in the compute dtype of the two."""
    return jax.tree.map(lambda m, g: lerp(b, *widen(m, g)), old, g)


def second_moment(b: Any, old: Any, g: Any) -> Any:
    """Leaf by leaf ``b * old + (1 - b) * |g|^2``: real, in the compute dtype of the two."""
    return moment(b, old, jax.tree.map(lambda x: abs_sq(fine(x)), g))


def copy(x: Any) -> Any:
    """The same values in fresh buffers, safe to donate beside ``x``."""
    return jax.tree.map(lambda a: jnp.array(a, copy=True), x)


def cast(x: Any, dtype: Any) -> Any:
    """``x`` in ``dtype``; ``None`` leaves it as it is."""
    return x if dtype is None else jax.tree.map(lambda a: astype(a, dtype), x)


def cast_like(x: Any, y: Any) -> Any:
    """``x`` in the dtypes of ``y``, leaf by leaf."""
    return jax.tree.map(lambda a, b: astype(a, dtype_of(b)), x, y)


def where(condition: Any, x: Any, y: Any) -> Any:
    """``x`` where the scalar ``condition`` holds, else ``y``."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), x, y)


def total(x: Any) -> jax.Array:
    """The sum of all elements of all leaves."""
    return _folded(jnp.add, [jnp.sum(fine(a)) for a in jax.tree.leaves(x)])


def vdot(x: Any, y: Any) -> jax.Array:
    """The inner product over all leaves, conjugating ``x``."""
    return total(jax.tree.map(lambda a, b: _joined(jnp.vdot, fine(a), fine(b)), x, y))


def inner(x: Any, y: Any) -> jax.Array:
    """The real part of the inner product over all leaves, in the default float dtype."""
    return vdot(x, y).real.astype(float)


def sum_abs(x: Any) -> jax.Array:
    """The sum of the absolute values of all leaves: the L1 norm."""
    return total(jax.tree.map(lambda a: jnp.abs(fine(a)), x))


def norm_sq(x: Any) -> jax.Array:
    """The squared Euclidean norm over all leaves."""
    return _folded(jnp.add, [_sum(abs_sq(fine(a))) for a in jax.tree.leaves(x)])


def max_abs(x: Any) -> jax.Array:
    """The largest absolute value of all leaves: the maximum norm."""
    return _folded(jnp.maximum, [jnp.max(jnp.abs(fine(a)), initial=0) for a in jax.tree.leaves(x)])


def norm(x: Any) -> jax.Array:
    """The Euclidean norm over all leaves; its derivative at zero is zero."""
    return safe_sqrt(norm_sq(x))


def _sum(a: jax.Array) -> jax.Array:
    """The sum as a product with ones: many sums side by side are faster so on a CPU."""
    if a.size < SHORT:
        return jnp.sum(a)
    a = a.ravel()
    return jnp.dot(a, jnp.ones_like(a), precision=jax.lax.Precision.HIGHEST)


def size(x: Any) -> int:
    """The number of elements of all leaves."""
    return sum(jnp.size(a) for a in jax.tree.leaves(x))


def all_finite(x: Any) -> jax.Array:
    """Whether no element of any leaf is infinite or NaN."""
    return reduce(
        jnp.logical_and, [jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(x)], jnp.array(True)
    )


def random_normal(key: jax.Array, x: Any) -> Any:
    """Standard normal numbers shaped like ``x``, in its dtypes: one key a leaf, in order."""
    leaves, structure = jax.tree.flatten(x)
    keys = jax.random.split(key, max(len(leaves), 1))
    draws = [
        jax.random.normal(k, jnp.shape(a), jnp.result_type(a))
        for k, a in zip(keys, leaves, strict=False)
    ]
    return jax.tree.unflatten(structure, draws)


def _joined(op: Callable[..., jax.Array], a: Any, b: Any) -> jax.Array:
    """``op(a, b)`` computed in their common dtype and returned in that of ``a``."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    common = a.dtype if a.dtype == b.dtype else compute_dtype(a, b)
    return astype(op(astype(a, common), astype(b, common)), a.dtype)


def _folded(op: Callable[..., jax.Array], scalars: list[jax.Array]) -> jax.Array:
    """Reduce real or complex scalars of several dtypes in the finest of them."""
    if not scalars:
        return jnp.zeros((), float)
    common = compute_dtype(*scalars)
    return reduce(op, [s.astype(common) for s in scalars])
