"""Bring updates to one length, or take out a part of them."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import at, fine, over, times, widen
from ravine.core.rule import rule
from ravine.core.types import EmptyState, NonNegative, Params, Positive, Transform, Updates


@rule
class NormalizeByUpdateNorm(Transform):
    r"""Divide all leaves together by their joint Euclidean norm.

    .. math::
        u \leftarrow \frac{c\, u}{\|u\| + \epsilon}, \qquad \|u\|^2 = \textstyle\sum_i |u_i|^2.

    With ``eps=0.0`` the length is :math:`c` exactly, unless there is no gradient at all, which
    stays zero: what Optax has as ``contrib.normalize``.

    Args:
        scale_factor: the new length :math:`c > 0`.
        eps: :math:`\epsilon \ge 0`, added to the norm.

    >>> import jax.numpy as jnp
    >>> NormalizeByUpdateNorm(eps=0.0).update(jnp.array([3.0, -4.0]), EmptyState())[0]
    Array([ 0.6, -0.8], dtype=float32)
    """

    scale_factor: Positive = 1.0
    eps: NonNegative = 1e-6

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        norm = tree.norm(updates)
        # u = u / ((|u| + eps) / c)
        length = (norm + at(self.eps, norm)) / at(self.scale_factor, norm)
        new = jax.tree.map(lambda u: over(fine(u), length), updates)
        return tree.cast_like(new, updates), state


@rule
class Centralize(Transform):
    r"""Take the mean out of each slice of a leaf along its first axis.

    .. math::
        u_{i\cdot} \leftarrow u_{i\cdot} - \tfrac1n \textstyle\sum_j u_{ij}.

    Leaves with fewer than two axes pass unchanged.

    Reference: Yong et al., Gradient centralization: a new optimization technique for deep
    neural networks, 2020, https://arxiv.org/abs/2004.01461.

    >>> import jax.numpy as jnp
    >>> Centralize().update(jnp.array([[1.0, 3.0], [5.0, 5.0]]), EmptyState())[0]
    Array([[-1.,  1.], [ 0.,  0.]], dtype=float32)
    """

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        def leaf(u: Any) -> jax.Array:
            wide = fine(u)
            if wide.ndim < 2 or not wide.size:
                return wide
            return wide - jnp.mean(wide, axis=tuple(range(1, wide.ndim)), keepdims=True)

        return tree.cast_like(jax.tree.map(leaf, updates), updates), state


@rule
class OrthoGrad(Transform):
    r"""Take out of each leaf's update the part along its parameters, and keep its length.

    .. math::
        u_\perp = u - \frac{\langle\theta, u\rangle}{\|\theta\|^2}\, \theta, \qquad
        u \leftarrow \frac{\|u\|}{\|u_\perp\|}\, u_\perp.

    Put it first in a chain, ``chain(OrthoGrad(), Adam(...))``: then the loss is not lowered
    by merely scaling the weights, which delays generalization. A leaf of one element, of which
    nothing would be left, passes unchanged.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Prieto et al., Grokking at the edge of numerical stability, 2025,
    https://arxiv.org/abs/2501.04697.

    >>> import jax.numpy as jnp
    >>> params, g = jnp.array([2.0, 0.0]), jnp.array([3.0, 4.0])
    >>> OrthoGrad().update(g, EmptyState(), params)[0]
    Array([0., 5.], dtype=float32)
    """

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params("OrthoGrad", params, updates)

        def leaf(u: Any, p: Any) -> jax.Array:
            u, p = widen(u, p)
            if u.size < 2:
                return u
            # u' = u - <theta, u> / |theta|^2 theta
            rest = u - times(over(jnp.vdot(p, u).real, tree.norm_sq(p)), p)
            # u = |u| / |u'| u'
            return times(over(tree.norm(u), tree.norm(rest)), rest)

        return tree.cast_like(jax.tree.map(leaf, updates, params), updates), state
