"""Gradients of several micro-batches, accumulated into one step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, over, safe_increment, widen
from ravine.core.rule import rule
from ravine.core.types import (
    DType,
    Params,
    Period,
    Schedule,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.guard import update_if
from ravine.transforms.scale import value_at
from ravine.transforms.wrapper import Wrapper


class MultiStepsState(NamedTuple):
    """The micro-steps since the last step, the steps so far (int32), and what is accumulated."""

    mini_step: jax.Array
    gradient_step: jax.Array
    inner_state: State
    acc_grads: Updates
    skip_state: Any


@rule
class MultiSteps(Wrapper):
    r"""Accumulate gradients over :math:`k` micro-steps, and step once with their mean.

    .. math::
        a_i = a_{i-1} + (g_i - a_{i-1}) / i, \quad i = 1, \dots, k, \qquad
        u = \mathrm{inner}(a_k),

    or :math:`a_i = a_{i-1} + g_i` for a sum. At the micro-steps before the last the updates
    are zero and ``inner`` does not run at all. Under ``vmap``, as in a sweep, it runs at
    each, because there both sides of a condition are computed; the result is the same.

    A gradient that is not finite spoils its own step and no later one. With
    ``should_skip_update_fn=skip_not_finite`` it spoils none: the micro-step is as if it had
    never been.

    Args:
        inner: the optimizer that steps.
        every_k_schedule: the number of micro-steps :math:`k \ge 1`; or a schedule, or a
            function, of the number of steps so far.
        use_grad_mean: the mean of the gradients, else their sum.
        should_skip_update_fn: a function ``(updates, gradient_step, params) -> (skip, info)``
            of module level that says which micro-steps to leave out, such as
            ``skip_not_finite``. Its ``info``, a tree of arrays, is kept as ``skip_state``.
        accumulator_dtype: dtype of the accumulator; float32, or that of the parameters where
            it is finer, by default.

    Raises:
        ValueError: if a number lies outside its range.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> transform = MultiSteps(Scale(-1.0), every_k_schedule=2)
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (1.0, 3.0):
    ...     updates, state = transform.update(jnp.full(1, g), state)
    ...     print(updates, transform.has_updated(state))
    [0.] False
    [-2.] True
    """

    inner: Transform
    every_k_schedule: Period | Schedule
    use_grad_mean: Static[bool] = True
    should_skip_update_fn: Static[Callable[..., Any] | None] = None
    accumulator_dtype: Static[DType] = None

    def init(self, params: Params) -> MultiStepsState:
        # Distinct zeros: a buffer that stands in two places cannot be donated.
        mini_step, gradient_step = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        acc = tree.fine_zeros_like(params, self.accumulator_dtype)
        _, info = self._skip(tree.zeros_like(params), gradient_step, params)
        return MultiStepsState(mini_step, gradient_step, self.inner.init(params), acc, info)

    def update(
        self, updates: Updates, state: MultiStepsState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, MultiStepsState]:
        k = jnp.round(value_at(self.every_k_schedule, state.gradient_step)).astype(jnp.int32)
        skip, info = self._skip(updates, state.gradient_step, params)
        i = jnp.where(skip, state.mini_step, state.mini_step + 1)
        emit = ~skip & (i >= k)

        def added(a: jax.Array, g: Any) -> jax.Array:
            wide, g = widen(a, g)
            # a = a + (g - a) / i, or a + g
            new = wide + (over(g - wide, at(i, g)) if self.use_grad_mean else g)
            return jnp.where(skip, wide, new).astype(a.dtype)

        acc = jax.tree.map(added, state.acc_grads, updates)
        new, inner = update_if(
            emit, self.inner, tree.cast_like(acc, updates), state.inner_state, params, extra,
            otherwise=tree.zeros_like(updates),
        )  # fmt: skip
        # Chosen and not multiplied: zero times infinity would stay in the accumulator for good.
        return new, MultiStepsState(
            mini_step=jnp.where(emit, 0, i),
            gradient_step=jnp.where(emit, safe_increment(state.gradient_step), state.gradient_step),
            inner_state=inner,
            acc_grads=tree.where(emit, tree.zeros_like(acc), acc),
            skip_state=tree.cast_like(info, state.skip_state),
        )

    def has_updated(self, state: MultiStepsState) -> jax.Array:
        """Whether the last micro-step that counted was one at which ``inner`` stepped."""
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def _skip(self, updates: Updates, count: jax.Array, params: Any) -> tuple[jax.Array, Any]:
        if self.should_skip_update_fn is None:
            return jnp.array(False), ()
        skip, info = self.should_skip_update_fn(updates, count, params)
        return jnp.asarray(skip, bool), jax.tree.map(jnp.asarray, info)


def skip_not_finite(
    updates: Updates, gradient_step: jax.Array, params: Params | None
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Tell ``MultiSteps`` to leave out gradients with an infinity or a NaN, and count these."""
    found = [jnp.sum(~jnp.isfinite(u), dtype=jnp.int32) for u in jax.tree.leaves(updates)]
    count = sum(found, jnp.zeros((), jnp.int32))
    return count > 0, {"should_skip": count > 0, "num_not_finite": count}


def skip_large_updates(
    updates: Updates, gradient_step: jax.Array, params: Params | None, max_squared_norm: Any
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Tell ``MultiSteps`` to leave out gradients whose squared norm is not below the bound.

    NaN is below no bound. Give the bound with ``functools.partial``, once, at module level.
    """
    norm_squared = tree.norm_sq(updates).astype(float)
    skip = ~(norm_squared < jnp.asarray(max_squared_norm, float))
    return skip, {"should_skip": skip, "norm_squared": norm_squared}
