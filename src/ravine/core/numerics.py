"""Arithmetic that keeps its digits in every dtype.

The policy, in one place: a transform computes in the dtype of the leaf or in float32,
whichever is finer, and casts to the dtype of the slot or the gradient at the end.
Hyperparameters take the compute dtype where they are used; ``1 - b`` and ``b**t`` are
taken in float32 or finer, and in double precision while ``b`` is a Python float.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.types import Space


def compute_dtype(*leaves: Any) -> Any:
    """The dtype in which to compute with ``leaves``: theirs promoted, float32 at least."""
    dtypes = [jnp.asarray(x).dtype if not hasattr(x, "dtype") else x.dtype for x in leaves]
    out = dtypes[0]
    for d in dtypes[1:]:
        out = jnp.promote_types(out, d)
    return jnp.promote_types(out, jnp.float32)


def real_dtype(dtype: Any) -> Any:
    """The dtype of the real part: complex64 has float32, and reals have themselves."""
    return jnp.finfo(dtype).dtype if jnp.issubdtype(dtype, jnp.complexfloating) else jnp.dtype(dtype)


def fine(x: Any) -> jax.Array:
    """``x`` in the dtype in which to compute with it."""
    x = jnp.asarray(x)
    return x.astype(compute_dtype(x))


def at(h: Any, x: jax.Array) -> Any:
    """The hyperparameter ``h`` in the (real) dtype of ``x``, so that it promotes nothing."""
    return jnp.asarray(concrete(h), real_dtype(x.dtype))


def complement(b: Any) -> Any:
    """``1 - b``, in double precision for a Python number, else in float32 or finer."""
    concrete(b)
    return 1 - b if isinstance(b, int | float) else 1 - fine(b)


def power(b: Any, t: jax.Array) -> jax.Array:
    """``b**t`` in the default float dtype, for an integer ``t``."""
    return jnp.asarray(concrete(b), float) ** t.astype(jnp.result_type(float))


def bias_correction(b: Any, t: jax.Array) -> jax.Array:
    """``1 - b**t``, by which a moment with decay ``b`` is divided after ``t`` steps."""
    return 1 - power(b, t)


def lerp(b: Any, old: jax.Array, new: jax.Array) -> jax.Array:
    """One step of an exponential moving average: ``b * old + (1 - b) * new``."""
    return at(complement(b), new) * new + at(b, old) * old


def abs_sq(x: jax.Array) -> jax.Array:
    """``|x|^2``, real for complex ``x``."""
    return (x.real**2 + x.imag**2) if jnp.iscomplexobj(x) else x * x


def safe_sqrt(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 instead of infinity at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), jnp.zeros_like(x))


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
    seed = jnp.asarray(seed) if isinstance(seed, int) else seed
    if jax.dtypes.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    return jax.random.wrap_key_data(seed) if seed.ndim and seed.shape[-1] == 2 else jax.random.key(seed)
