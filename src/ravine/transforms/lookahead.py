"""Lookahead: slow weights that follow the fast ones every few steps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.errors import check_params
from ravine.core.numerics import concrete, times, widen
from ravine.core.rule import rule
from ravine.core.types import (
    NonNegative,
    Params,
    Period,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.wrapper import Wrapper


class LookaheadState(NamedTuple):
    """The steps since the last synchronization (int32), the slow weights, and the inner state."""

    steps_since_sync: jax.Array
    slow: Params
    inner_state: State


@rule
class Lookahead(Wrapper):
    r"""Let an optimizer run ahead, and every :math:`k` steps go part of the way after it.

    .. math::
        \phi \leftarrow \phi + \alpha (\theta - \phi), \qquad \theta \leftarrow \phi
        \qquad\text{after every } k \text{ steps of } \theta.

    The parameters are the fast weights :math:`\theta`, in whatever tree they come; the slow
    weights :math:`\phi` are in the state, in float32 or finer, and ``eval_params`` returns
    them. Put it last in a chain: its updates must be added as they are.

    Args:
        inner: the optimizer of the fast weights.
        sync_period: :math:`k \ge 1`.
        slow_step_size: :math:`\alpha \ge 0`, usually in (0, 1].
        reset_state: start the inner optimizer anew after each synchronization.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.

    Reference: Zhang et al., Lookahead optimizer: k steps forward, 1 step back, 2019,
    https://arxiv.org/abs/1907.08610.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.Lookahead(rv.SGD(0.5), sync_period=2, slow_step_size=0.5)
    >>> params = jnp.array([4.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    ...     params = rv.apply_updates(params, updates)
    ...     print(params, optimizer.eval_params(state, params))
    [2.] [4.]
    [2.5] [2.5]
    """

    inner: Transform
    sync_period: Period
    slow_step_size: NonNegative
    reset_state: Static[bool] = False

    def init(self, params: Params) -> LookaheadState:
        slow = tree.copy(tree.widened(params))
        return LookaheadState(jnp.zeros((), jnp.int32), slow, self.inner.init(params))

    def update(
        self, updates: Updates, state: LookaheadState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, LookaheadState]:
        check_params("Lookahead", params, updates)
        u, inner = self.inner.update(updates, state.inner_state, params, **extra)
        k = state.steps_since_sync + 1
        sync = k >= jnp.asarray(concrete(self.sync_period), k.dtype)

        def ahead(slow: jax.Array, p: Any, u: Any) -> jax.Array:
            # phi = phi + alpha (theta - phi)
            slow, p, u = widen(slow, p, u)
            return slow + times(self.slow_step_size, p + u - slow)

        def caught(slow: jax.Array, p: Any, u: Any) -> jax.Array:
            slow, p, u = widen(slow, p, u)
            return jnp.where(sync, slow - p, u)

        new = tree.cast_like(jax.tree.map(ahead, state.slow, params, u), state.slow)
        slow = tree.where(sync, new, state.slow)
        u = tree.cast_like(jax.tree.map(caught, slow, params, u), updates)
        if self.reset_state:
            inner = tree.where(sync, self.inner.init(apply_updates(params, u)), inner)
        return u, LookaheadState(jnp.where(sync, 0, k), slow, inner)

    def eval_params(self, state: LookaheadState, params: Params) -> Params:
        return tree.cast_like(state.slow, params)
