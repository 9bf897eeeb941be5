"""Sum updates, and let them out every so many steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import concrete, widen
from ravine.core.rule import rule
from ravine.core.types import Params, Period, Transform, Updates


class ApplyEveryState(NamedTuple):
    """The number of updates in the sum (int32), and the sum (float32 or finer)."""

    count: jax.Array  # type: ignore[assignment]
    grad_acc: Updates


@rule
class ApplyEvery(Transform):
    r"""Sum updates, and let the sum out every :math:`k` steps; the other steps are zero.

    .. math::
        s_t = g_t + [k \nmid t - 1]\, s_{t-1}, \qquad u_t = [k \mid t]\, s_t,
        \quad t = 1, 2, \dots

    Put it last in a chain. What stands before it, such as Adam, moves on at every step: to
    have a whole optimizer see one gradient in :math:`k`, accumulate the gradients instead.

    Args:
        k: number of steps in a sum, at least 1.

    >>> import jax.numpy as jnp
    >>> transform = ApplyEvery(2)
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (1.0, 2.0, 4.0, 8.0):
    ...     u, state = transform.update(jnp.full(1, g), state)
    ...     print(u)
    [0.]
    [3.]
    [0.]
    [12.]
    """

    k: Period = 1

    def init(self, params: Params) -> ApplyEveryState:
        return ApplyEveryState(jnp.zeros((), jnp.int32), tree.fine_zeros_like(params))

    def update(
        self, updates: Updates, state: ApplyEveryState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ApplyEveryState]:
        k = jnp.asarray(concrete(self.k)).astype(jnp.int32)
        goes_on, full = state.count > 0, state.count == k - 1

        def added(g: Any, s: jax.Array) -> jax.Array:
            # Chosen, not multiplied by 0: a NaN in one sum must not reach the next.
            s = jnp.where(goes_on, s, 0)
            g, s = widen(g, s)
            return g + s

        s = jax.tree.map(added, updates, state.grad_acc)
        u = jax.tree.map(lambda s: jnp.where(full, s, 0), s)
        count = (state.count + 1) % k
        return tree.cast_like(u, updates), ApplyEveryState(count, tree.cast_like(s, state.grad_acc))
