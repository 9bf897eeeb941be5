"""Clip each unit's gradient in proportion to its weights."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import at, times, widen
from ravine.core.paths import leaf_paths
from ravine.core.rule import rule
from ravine.core.types import EmptyState, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.clip import shrunk


@rule
class AdaptiveGradClip(Transform):
    r"""Shrink the update of each unit whose norm is too large for its weights.

    .. math::
        u_i \leftarrow u_i \min\!\Big(1, \frac{\lambda \max(\|\theta_i\|, \epsilon)}{\|u_i\|}\Big).

    A unit :math:`i` is what feeds one output: the whole of a leaf with at most one axis, a
    column of a matrix, and of a convolution's kernel all axes but the last. A leaf with
    three axes is taken for a matrix a head. Infinite elements share the norm of their unit, as in
    ``ClipByGlobalNorm``.

    Args:
        clipping: the largest ratio :math:`\lambda \ge 0` of the two norms.
        eps: :math:`\epsilon \ge 0`, so that weights of zero can move.
        axis: the axis or axes over which a norm is taken, instead of those named above.

    Raises:
        ValueError: at update, if the parameters are not given, or a leaf has more than five axes
            and ``axis`` does not say which to take.

    Reference: Brock et al., High-performance large-scale image recognition without
    normalization, 2021, https://arxiv.org/abs/2102.06171.

    >>> import jax.numpy as jnp
    >>> params = jnp.array([[3.0, 1.0], [4.0, 0.0]])
    >>> AdaptiveGradClip(0.5).update(jnp.full((2, 2), 0.3), EmptyState(), params)[0]
    Array([[0.3, 0.3], [0.3, 0.3]], dtype=float32)
    >>> AdaptiveGradClip(0.5).update(jnp.array([[0.0, 9.0], [9.0, 0.0]]), EmptyState(), params)[0]
    Array([[0. , 0.5], [2.5, 0. ]], dtype=float32)
    """

    clipping: NonNegative
    eps: NonNegative = 1e-3
    axis: Static[int | tuple[int, ...] | None] = None

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params("AdaptiveGradClip", params, updates)

        def leaf(path: str, u: Any, p: Any) -> jax.Array:
            u, p = widen(u, p)
            axes = self._axes(path, p)
            others = [i for i in range(p.ndim) if i not in axes]
            order = (*others, *axes)
            shape = [p.shape[i] for i in order]

            def units(x: jax.Array) -> jax.Array:
                fan = [p.shape[i] for i in axes]
                return x.transpose(order).reshape(-1 if p.size else 0, math.prod(fan))

            norms = jax.vmap(tree.norm)(units(p))
            # c = lambda max(|theta|, eps);  u = u min(1, c / |u|)
            bounds = times(self.clipping, jnp.maximum(norms, at(self.eps, norms)))
            clipped = jax.vmap(lambda x, bound: shrunk([x], bound)[0])(units(u), bounds)
            return clipped.reshape(shape).transpose(sorted(range(p.ndim), key=order.__getitem__))

        paths = jax.tree.unflatten(jax.tree.structure(updates), leaf_paths(updates))
        return tree.cast_like(jax.tree.map(leaf, paths, updates, params), updates), state

    def _axes(self, path: str, p: jax.Array) -> tuple[int, ...]:
        """The axes over which the norm of a unit is taken."""
        if self.axis is not None:
            given = (self.axis,) if isinstance(self.axis, int) else self.axis
            return tuple(i % p.ndim for i in given)
        if sum(n != 1 for n in p.shape) <= 1:
            return tuple(range(p.ndim))
        if p.ndim <= 3:
            return (0,)
        if p.ndim <= 5:
            return tuple(range(p.ndim - 1))
        raise ValueError(
            f"AdaptiveGradClip: the leaf {path!r} has {p.ndim} axes. Say with axis=... over "
            "which of them to take the norm of a unit."
        )
