"""Updates that land on a set."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import widen
from ravine.core.projections import projection_non_negative
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params, Static, Transform, Updates


@rule
class Project(Transform):
    r"""Make the update land on a set: the parameters are projected after each step.

    .. math::
        u \leftarrow P(\theta + u) - \theta.

    Put it last in a chain, ``chain(SGD(0.1), Project(rv.projections.projection_l2_ball, (2.0,)))``:
    that is projected gradient descent. In half precision the parameters may end beside the set
    by a rounding of their sum with the update.

    Args:
        projection: :math:`P`, a function at module level, such as those of ``rv.projections``;
            it is called with the tree and then with ``args``.
        args: a tuple of its further arguments: numbers, which a sweep may draw and ``vmap`` map
            over, or trees.

    Raises:
        ValueError: at update, if the parameters are not given.

    >>> import jax.numpy as jnp
    >>> from ravine.core.projections import projection_l2_ball
    >>> transform = Project(projection_l2_ball, (1.0,))
    >>> params = jnp.array([0.6, 0.8])
    >>> params + transform.update(jnp.array([2.4, 3.2]), EmptyState(), params)[0]
    Array([0.6, 0.8], dtype=float32)
    """

    projection: Static[Callable[..., Any]]
    args: tuple[Any, ...] = ()

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params(type(self).__name__, params, updates)
        return projected(updates, params, self.projection, self.args), state


@rule
class KeepParamsNonnegative(Transform):
    r"""Stop every parameter at zero: :math:`u \leftarrow \max(\theta + u, 0) - \theta`.

    Raises:
        ValueError: at update, if the parameters are not given.

    >>> import jax.numpy as jnp
    >>> params = jnp.array([1.0, 1.0])
    >>> KeepParamsNonnegative().update(jnp.array([-0.5, -2.0]), EmptyState(), params)[0]
    Array([-0.5, -1. ], dtype=float32)
    """

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        check_params("KeepParamsNonnegative", params, updates)
        return projected(updates, params, projection_non_negative, ()), state


def projected(
    updates: Updates, params: Params, projection: Callable[..., Any], args: tuple[Any, ...]
) -> Updates:
    """The updates that lead from ``params`` to the projection of ``params + updates``."""
    aims = jax.tree.map(lambda u, p: sum(widen(u, p)), updates, params)
    ends = projection(aims, *args)

    def leaf(u: Any, p: Any, aim: jax.Array, end: jax.Array) -> jax.Array:
        # An element that the projection leaves alone keeps its update to the last digit.
        u, p = widen(u, p)
        return jnp.where(end == aim, u, end - p)

    return tree.cast_like(jax.tree.map(leaf, updates, params, aims, ends), updates)
