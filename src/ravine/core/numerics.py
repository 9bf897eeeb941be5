"""Arithmetic that keeps its digits in every dtype.

The policy, in one place: a transform computes in the dtype of the leaf or in float32,
whichever is finer, and casts to the dtype of the slot or the gradient at the end.
Hyperparameters take the compute dtype where they are used; ``1 - b`` and ``b**t`` are
taken in float32 or finer, and in double precision while ``b`` is a Python float.
"""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ravine.core.types import Space


def compute_dtype(*leaves: Any) -> Any:
    """The dtype in which to compute with ``leaves``: theirs promoted, float32 at least."""
    return _compute_dtype(*map(dtype_of, leaves))


@cache
def _compute_dtype(*dtypes: Any) -> Any:
    double = any(d in (jnp.float64, jnp.complex128) for d in dtypes)
    if any(jnp.issubdtype(d, jnp.complexfloating) for d in dtypes):
        return jnp.dtype(jnp.complex128 if double else jnp.complex64)
    return jnp.dtype(jnp.float64 if double else jnp.float32)


def dtype_of(x: Any) -> Any:
    """The dtype of ``x`` in JAX, whatever ``x`` is."""
    return x.dtype if _is_strong(x) else jnp.result_type(x)


def astype(x: Any, dtype: Any) -> jax.Array:
    """``x`` as an array of this dtype; nothing is traced if it is one already."""
    return x if _is_strong(x) and x.dtype == dtype else jnp.asarray(x).astype(dtype)


def _is_strong(x: Any) -> bool:
    return isinstance(x, jax.Array) and not x.weak_type


def real_dtype(dtype: Any) -> Any:
    """The dtype of the real part: complex64 has float32, and reals have themselves."""
    is_complex = jnp.issubdtype(dtype, jnp.complexfloating)
    return jnp.finfo(dtype).dtype if is_complex else jnp.dtype(dtype)


def fine(x: Any) -> jax.Array:
    """``x`` in the dtype in which to compute with it."""
    return astype(x, compute_dtype(x))


def widen(*leaves: Any) -> tuple[jax.Array, ...]:
    """``leaves`` in the one dtype in which to compute with all of them."""
    wide = compute_dtype(*leaves)
    return tuple(astype(x, wide) for x in leaves)


def at(h: Any, x: jax.Array) -> Any:
    """The hyperparameter ``h`` in the (real) dtype of ``x``, so that it promotes nothing."""
    dtype = real_dtype(x.dtype)
    # A constant need not be put on a device, which would take longer than the arithmetic to trace.
    return np.asarray(h, dtype) if isinstance(h, float) else astype(concrete(h), dtype)


def scalar(h: Any) -> jax.Array:
    """The hyperparameter ``h`` as an array of the default float dtype."""
    return jnp.asarray(concrete(h), float)


def complement(b: Any) -> Any:
    """``1 - b``, in double precision for a Python number, else in float32 or finer."""
    concrete(b)
    return 1 - b if isinstance(b, int | float) else 1 - fine(b)


def root(b: Any) -> Any:
    """The square root of a decay, in double precision for a Python number."""
    concrete(b)
    return math.sqrt(b) if isinstance(b, int | float) else safe_sqrt(fine(b))


def power(b: Any, t: jax.Array) -> jax.Array:
    """``b**t`` in the default float dtype, for an integer ``t``."""
    return jnp.asarray(concrete(b), float) ** t.astype(jnp.result_type(float))


def bias_correction(b: Any, t: jax.Array) -> jax.Array:
    """``1 - b**t``, by which a moment with decay ``b`` is divided after ``t`` steps."""
    return 1 - power(b, t)


def by_part(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """``f(x)`` for a real-linear ``f``: on the real and the imaginary part of a complex ``x``.

    Complex times real as a complex product would turn infinity into NaN.
    """
    return jax.lax.complex(f(x.real), f(x.imag)) if jnp.iscomplexobj(x) else f(x)


def times(h: Any, x: jax.Array) -> jax.Array:
    """``h * x`` for a real number ``h``, in the dtype of ``x``."""
    h = at(h, x)
    multiply = lax.mul if h.shape in ((), x.shape) else jnp.multiply
    return by_part(lambda part: multiply(h, part), x)


def hidden(value: jax.Array) -> jax.Array:
    """How large a change of a sum of many terms rounding may hide: half of its digits."""
    return np.sqrt(jnp.finfo(value.dtype).eps).astype(value.dtype) * jnp.abs(value)


def over(x: jax.Array, d: jax.Array) -> jax.Array:
    """``x / d`` for a real ``d``, and 0 where ``d`` is 0: no gradient seen, no step."""
    d = astype(d, real_dtype(x.dtype))
    safe = instead(lax.eq(d, np.zeros((), d.dtype)), jnp.inf, d)
    divide = lax.div if d.shape in ((), x.shape) else jnp.divide
    return by_part(lambda part: divide(part, safe), x)


def instead(condition: jax.Array, number: float, x: jax.Array) -> jax.Array:
    """``number`` where ``condition`` holds, else ``x``; faster to trace than ``jnp.where``."""
    constant = np.asarray(number, x.dtype)
    return lax.select(condition, lax.broadcast(constant, x.shape) if x.ndim else constant, x)


def lerp(b: Any, old: jax.Array, new: jax.Array) -> jax.Array:
    """One step of an exponential moving average: ``b * old + (1 - b) * new``."""
    return lax.add(times(complement(b), new), times(b, old))


def abs_sq(x: jax.Array) -> jax.Array:
    """``|x|^2``, real for complex ``x``."""
    return (x.real**2 + x.imag**2) if jnp.iscomplexobj(x) else x * x


def safe_sqrt(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 instead of infinity at 0; NaN stays NaN."""
    zero = lax.le(x, np.zeros((), x.dtype))
    return instead(zero, 0, lax.sqrt(instead(zero, 1, x)))


def safe_rsqrt(x: jax.Array) -> jax.Array:
    """One over the square root, and 0 with derivative 0 at 0; NaN stays NaN."""
    zero = lax.le(x, np.zeros((), x.dtype))
    return instead(zero, 0, lax.rsqrt(instead(zero, 1, x)))


def safe_power(x: jax.Array, p: jax.Array) -> jax.Array:
    """``x**p`` for ``x`` and ``p`` of at least 0, with derivative 0 instead of infinity at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1) ** p, (p == 0).astype(x.dtype))


def safe_increment(count: jax.Array) -> jax.Array:
    """``count + 1``, staying at the largest integer of its dtype instead of wrapping."""
    top = jnp.iinfo(count.dtype).max
    return jnp.where(count < top, count + 1, top).astype(count.dtype)


def concrete(h: Any) -> Any:
    """``h`` itself, unless it is a space that no sweep has filled in."""
    if isinstance(h, Space):
        raise TypeError(
            f"{h!r} is a space, and only ravine.sweep draws from it. Give a number here, or hand "
            "the whole optimizer to sweep(loss, init, optimizer, ...)."
        )
    return h


def as_key(seed: Any) -> jax.Array:
    """A typed random key from an integer seed or from a key of either kind."""
    if isinstance(seed, int):
        return jax.random.key(seed)
    seed = jnp.asarray(concrete(seed))
    if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    return jax.random.wrap_key_data(seed) if seed.ndim else jax.random.key(seed)


def same_precision() -> AbstractContextManager[Any]:
    """A context that gives another thread this one's choice of 32 or 64 bits."""
    double = jnp.dtype(jax.dtypes.canonicalize_dtype(float)).itemsize == 8
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(double)
    return jax.experimental.enable_x64(double)  # type: ignore[attr-defined]  # before JAX 0.8


def settled(flag: jax.Array) -> jax.Array:
    """The same decision, come to once for all that hangs on it.

    XLA fuses what is cheap into each of its users, so a long chain of comparisons would be gone
    through again for every number that it decides about; a root is not cheap.

    >>> settled(jnp.array([True, False]))
    Array([ True, False], dtype=bool)
    """
    return lax.sqrt(flag.astype(jnp.float32)) > 0.5
