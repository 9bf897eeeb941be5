"""Clip updates: each element, each leaf, or all together."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, compute_dtype, concrete, fine, real_dtype, safe_sqrt
from ravine.core.rule import rule
from ravine.core.types import EmptyState, NonNegative, Params, Transform, Updates


@rule
class Clip(Transform):
    r"""Clip every element: :math:`u \leftarrow \max(-\delta, \min(u, \delta))`.

    Infinite elements become :math:`\pm\delta`, NaN stays NaN, and of a complex element the
    magnitude is clipped.

    Args:
        max_delta: the largest magnitude :math:`\delta \ge 0`.

    >>> import jax.numpy as jnp
    >>> Clip(1.0).update(jnp.array([0.5, -3.0, jnp.inf]), EmptyState())[0]
    Array([ 0.5, -1. ,  1. ], dtype=float32)
    """

    max_delta: NonNegative

    elementwise = True

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        def leaf(u: Any) -> jax.Array:
            wide = fine(u)
            delta = at(self.max_delta, wide)
            if jnp.iscomplexobj(wide):
                each = jax.vmap(lambda z: shrunk([z], delta)[0])
                return each(wide.ravel()).reshape(wide.shape)
            return jnp.clip(wide, -delta, delta)

        return tree.cast_like(jax.tree.map(leaf, updates), updates), state


@rule
class ClipByBlockRms(Transform):
    r"""Shrink each leaf whose root mean square is too large.

    .. math::
        u \leftarrow u / \max(1, \mathrm{rms}(u) / \tau), \qquad
        \mathrm{rms}(u)^2 = \tfrac1n \textstyle\sum_i |u_i|^2.

    In a leaf with infinite elements these share the norm, with their signs, and the others
    become 0: the limit of the formula. A NaN makes the whole leaf NaN.

    Args:
        threshold: the largest root mean square :math:`\tau \ge 0`.

    >>> import jax.numpy as jnp
    >>> ClipByBlockRms(1.0).update([jnp.array([3.0, -3.0]), jnp.ones(1)], EmptyState())[0]
    [Array([ 1., -1.], dtype=float32), Array([1.], dtype=float32)]
    """

    threshold: NonNegative

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        def leaf(u: Any) -> jax.Array:
            wide = fine(u)
            return shrunk([wide], self.threshold, mean=True)[0]

        return tree.cast_like(jax.tree.map(leaf, updates), updates), state


@rule
class ClipByGlobalNorm(Transform):
    r"""Shrink all leaves together when their joint Euclidean norm is too large.

    .. math::
        u \leftarrow u \min(1, c / \|u\|), \qquad \|u\|^2 = \textstyle\sum_i |u_i|^2.

    The norm neither overflows nor vanishes. Infinite elements share the norm, with their
    signs, and the others become 0: the limit of the formula. A NaN makes everything NaN.

    Args:
        max_norm: the largest norm :math:`c \ge 0`.

    Reference: Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural
    networks, 2012, https://arxiv.org/abs/1211.5063.

    >>> import jax.numpy as jnp
    >>> clip = ClipByGlobalNorm(1.0)
    >>> clip.update((jnp.array(3.0), jnp.array([4.0])), EmptyState())[0]
    (Array(0.6, dtype=float32), Array([0.8], dtype=float32))
    >>> clip.update(jnp.array([2.0, -jnp.inf]), EmptyState())[0]
    Array([ 0., -1.], dtype=float32)
    """

    max_norm: NonNegative

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        leaves, structure = jax.tree.flatten(updates)
        new = jax.tree.unflatten(structure, shrunk([fine(u) for u in leaves], self.max_norm))
        return tree.cast_like(new, updates), state


def shrunk(leaves: list[jax.Array], bound: Any, mean: bool = False) -> list[jax.Array]:
    """``leaves`` times ``min(1, bound / norm)``, their joint Euclidean norm taken safely.

    With ``mean`` the root mean square stands for the norm. Dividing by a power of two near
    the largest magnitude keeps the squares in range and rounds nothing; to differentiation
    it is a constant, because the result does not depend on it.
    """
    size = sum(x.size for x in leaves)
    if not size:
        return leaves
    parts = [_as_real(x) for x in leaves]
    common = real_dtype(compute_dtype(*leaves))
    tops = [jnp.max(jnp.abs(x), initial=0).astype(common) for x in parts]
    top = jax.lax.stop_gradient(jnp.max(jnp.stack(tops)))
    endless = jnp.isinf(top)
    power = jnp.ldexp(jnp.ones((), common), jnp.frexp(top)[1] - 1)
    power = jnp.maximum(power, jnp.finfo(common).tiny)
    unit = jnp.where(jnp.isnan(top), top, jnp.where((top == 0) | endless, 1, power))

    def scaled(x: jax.Array) -> jax.Array:
        limit = jnp.where(jnp.isinf(x), jnp.sign(x), jnp.zeros_like(x))
        return jnp.where(endless, limit, x / unit.astype(x.dtype))

    directions = [scaled(x) for x in parts]
    squares = jnp.stack([jnp.sum(x * x).astype(common) for x in directions])
    length = safe_sqrt(jnp.sum(squares) / (size if mean else 1))
    bound = jnp.asarray(concrete(bound), common)
    inside = jnp.where(endless, jnp.inf, unit * length) <= bound
    # An infinite bound, which clips nothing, must not meet the zeros of the other branch.
    bound, length = jnp.where(inside, 0, bound), jnp.where(length == 0, 1, length)

    def leaf(x: jax.Array, direction: jax.Array) -> jax.Array:
        clipped = direction / length.astype(direction.dtype) * bound.astype(direction.dtype)
        return jnp.where(inside, x, _like(clipped, x))

    return [leaf(x, direction) for x, direction in zip(leaves, directions, strict=True)]


def _as_real(x: jax.Array) -> jax.Array:
    """A complex array as its real and imaginary parts, side by side on a last axis."""
    return jnp.stack([x.real, x.imag], axis=-1) if jnp.iscomplexobj(x) else x


def _like(parts: jax.Array, x: jax.Array) -> jax.Array:
    """The parts put together again where ``x`` is complex."""
    return jax.lax.complex(parts[..., 0], parts[..., 1]) if jnp.iscomplexobj(x) else parts
