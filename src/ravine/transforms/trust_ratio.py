"""A step size for each leaf, from the size of its parameters."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import at, fine, safe_sqrt, times, widen
from ravine.core.rule import rule
from ravine.core.types import EmptyState, NonNegative, Params, Transform, Updates


@rule
class ScaleByTrustRatio(Transform):
    r"""Bring each leaf's update to the size of its parameters.

    .. math::
        u \leftarrow \tau\, \frac{\max(\|\theta\|, n)}{\max(\|u\|, n) + \epsilon}\, u,

    and :math:`u` itself where either norm is zero, for else nothing would ever move.

    Args:
        min_norm: the smallest norm :math:`n \ge 0` that is reckoned with.
        trust_coefficient: the factor :math:`\tau \ge 0`.
        eps: :math:`\epsilon \ge 0`, added to the update's norm.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: You, Gitman and Ginsburg, Large batch training of convolutional networks,
    2017, https://arxiv.org/abs/1708.03888.

    >>> import jax.numpy as jnp
    >>> params, g = jnp.array([6.0, 8.0]), jnp.array([0.0, -0.5])
    >>> ScaleByTrustRatio().update(g, EmptyState(), params)[0]
    Array([  0., -10.], dtype=float32)
    """

    min_norm: NonNegative = 0.0
    trust_coefficient: NonNegative = 1.0
    eps: NonNegative = 0.0

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params("ScaleByTrustRatio", params, updates)

        def leaf(u: Any, p: Any) -> jax.Array:
            u, p = widen(u, p)
            norms = tree.norm(p), tree.norm(u)
            p_norm, u_norm = (jnp.maximum(n, at(self.min_norm, n)) for n in norms)
            still = (p_norm == 0) | (u_norm == 0)
            below = jnp.where(still, 1, u_norm + at(self.eps, u_norm))
            # u = tau |theta| / (|u| + eps) u
            ratio = times(self.trust_coefficient, p_norm) / below
            return times(jnp.where(still, 1, ratio), u)

        return tree.cast_like(jax.tree.map(leaf, updates, params), updates), state


@rule
class ScaleByParamBlockNorm(Transform):
    r"""Multiply each leaf's update by its parameters' norm.

    .. math::
        u \leftarrow \max(\|\theta\|, s)\, u.

    Args:
        min_scale: the smallest factor :math:`s \ge 0`.

    Raises:
        ValueError: at update, if the parameters are not given.

    >>> import jax.numpy as jnp
    >>> ScaleByParamBlockNorm().update(jnp.ones(2), EmptyState(), jnp.array([3.0, 4.0]))[0]
    Array([5., 5.], dtype=float32)
    """

    min_scale: NonNegative = 1e-3

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params("ScaleByParamBlockNorm", params, updates)
        return _scaled(updates, params, self.min_scale, root_mean_square=False), state


@rule
class ScaleByParamBlockRms(Transform):
    r"""Multiply each leaf's update by its parameters' root mean square.

    .. math::
        u \leftarrow \max(\mathrm{rms}(\theta), s)\, u, \qquad
        \mathrm{rms}(\theta)^2 = \tfrac1n \textstyle\sum_i |\theta_i|^2.

    Args:
        min_scale: the smallest factor :math:`s \ge 0`.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory
    cost, 2018, https://arxiv.org/abs/1804.04235.

    >>> import jax.numpy as jnp
    >>> ScaleByParamBlockRms().update(jnp.ones(2), EmptyState(), jnp.array([3.0, -3.0]))[0]
    Array([3., 3.], dtype=float32)
    """

    min_scale: NonNegative = 1e-3

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params("ScaleByParamBlockRms", params, updates)
        return _scaled(updates, params, self.min_scale, root_mean_square=True), state


def rms(x: jax.Array) -> jax.Array:
    """The root mean square of one array; 0 for an empty one, with derivative 0 at 0."""
    return safe_sqrt(tree.norm_sq(x) / max(x.size, 1))


def _scaled(updates: Updates, params: Params, smallest: Any, *, root_mean_square: bool) -> Updates:
    def leaf(u: Any, p: Any) -> jax.Array:
        u, p = widen(u, p)
        size = rms(p) if root_mean_square else tree.norm(p)
        return times(jnp.maximum(size, at(smallest, size)), fine(u))

    return tree.cast_like(jax.tree.map(leaf, updates, params), updates)
