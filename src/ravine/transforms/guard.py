"""Run the inner transform under a condition: while all is finite, or when a function says so."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import safe_increment, scalar
from ravine.core.rule import rule
from ravine.core.types import Params, State, Static, Steps, Transform, Updates
from ravine.transforms.wrapper import Wrapper


class ApplyIfFiniteState(NamedTuple):
    """How many of the last updates were not finite, how many ever (int32), and the inner state."""

    notfinite_count: jax.Array
    total_notfinite: jax.Array
    inner_state: State


@rule
class ApplyIfFinite(Wrapper):
    """Leave out steps whose gradients are not finite, up to so many in a row.

    Where a gradient is infinite or NaN the updates are zero and the inner state stays as it
    is. After ``max_consecutive_errors`` such steps the next one is let through, whatever it
    holds, so that a run which has failed is seen to fail. The last step was finite exactly
    when ``state.notfinite_count`` is 0.

    Args:
        inner: the optimizer to guard.
        max_consecutive_errors: how many steps in a row may be left out, at least 0;
            ``math.inf`` for any number.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> guarded = ApplyIfFinite(Scale(-0.5), max_consecutive_errors=1)
    >>> state = guarded.init(jnp.ones(2))
    >>> for _ in range(2):
    ...     updates, state = guarded.update(jnp.array([jnp.inf, 1.0]), state)
    ...     print(updates, int(state.notfinite_count))
    [0. 0.] 1
    [-inf -0.5] 2
    """

    inner: Transform
    max_consecutive_errors: Steps

    def init(self, params: Params) -> ApplyIfFiniteState:
        zero, total = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return ApplyIfFiniteState(zero, total, self.inner.init(params))

    def update(
        self,
        updates: Updates,
        state: ApplyIfFiniteState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ApplyIfFiniteState]:
        finite = tree.all_finite(updates)
        in_a_row = jnp.where(finite, 0, safe_increment(state.notfinite_count))
        total = jnp.where(finite, state.total_notfinite, safe_increment(state.total_notfinite))
        # As floats, so that infinity is a number of steps too.
        enough = in_a_row.astype(float) > scalar(self.max_consecutive_errors)
        new, inner = update_if(
            finite | enough, self.inner, updates, state.inner_state, params, extra,
            otherwise=tree.zeros_like(updates),
        )  # fmt: skip
        return new, ApplyIfFiniteState(in_a_row, total, inner)


class ConditionallyTransformState(NamedTuple):
    """The step count (int32, from 0), and the inner state."""

    step: jax.Array
    inner_state: State


@rule
class ConditionallyTransform(Wrapper):
    """Transform at the steps that a function picks, and let updates pass at the others.

    At the others the inner transform does not run, and its state stays as it is.

    Args:
        inner: the transform.
        should_transform_fn: ``step -> bool``, the step counted from 0, or
            ``(step, **extra) -> bool``; a function defined once, at module level, because a
            fresh one is a fresh program.
        forward_extra_args: hand the extra arguments of update (``value``, ...) on to it.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> transform = ConditionallyTransform(Scale(2.0), lambda step: step > 0)
    >>> state = transform.init(jnp.ones(1))
    >>> for _ in range(2):
    ...     updates, state = transform.update(jnp.ones(1), state)
    ...     print(updates)
    [1.]
    [2.]
    """

    inner: Transform
    should_transform_fn: Static[Callable[..., Any]]
    forward_extra_args: Static[bool] = False

    def init(self, params: Params) -> ConditionallyTransformState:
        return ConditionallyTransformState(jnp.zeros((), jnp.int32), self.inner.init(params))

    def update(
        self,
        updates: Updates,
        state: ConditionallyTransformState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ConditionallyTransformState]:
        new, inner = update_if(
            _asked(self, state.step, extra), self.inner, updates, state.inner_state, params, extra,
            otherwise=updates,
        )  # fmt: skip
        return new, ConditionallyTransformState(safe_increment(state.step), inner)


@rule
class ConditionallyMask(Wrapper):
    """Transform at the steps that a function picks, and stand still at the others.

    It is ``ConditionallyTransform`` with zeros in place of the untransformed updates, for
    a whole optimizer, whose untransformed updates would be raw gradients.

    Args:
        inner: the transform.
        should_transform_fn: ``step -> bool``, as for ``ConditionallyTransform``.
        forward_extra_args: hand the extra arguments of update (``value``, ...) on to it.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> transform = ConditionallyMask(Scale(2.0), lambda step: step > 0)
    >>> transform.update(jnp.ones(1), transform.init(jnp.ones(1)))[0]
    Array([0.], dtype=float32)
    """

    inner: Transform
    should_transform_fn: Static[Callable[..., Any]]
    forward_extra_args: Static[bool] = False

    def init(self, params: Params) -> ConditionallyTransformState:
        return ConditionallyTransformState(jnp.zeros((), jnp.int32), self.inner.init(params))

    def update(
        self,
        updates: Updates,
        state: ConditionallyTransformState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ConditionallyTransformState]:
        new, inner = update_if(
            _asked(self, state.step, extra), self.inner, updates, state.inner_state, params, extra,
            otherwise=tree.zeros_like(updates),
        )  # fmt: skip
        return new, ConditionallyTransformState(safe_increment(state.step), inner)


def update_if(
    condition: Any,
    inner: Transform,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: dict[str, Any],
    otherwise: Updates,
) -> tuple[Updates, State]:
    """What ``inner`` returns if the condition holds, else ``otherwise`` and the state as it is.

    Only one of the two is computed, except under ``vmap``, which computes both and selects.
    """

    def do() -> tuple[Updates, State]:
        new, after = inner.update(updates, state, params, **extra)
        return tree.cast_like(new, updates), after

    return jax.lax.cond(condition, do, lambda: (tree.cast_like(otherwise, updates), state))


def _asked(owner: Any, step: jax.Array, extra: dict[str, Any]) -> Any:
    return owner.should_transform_fn(step, **(extra if owner.forward_extra_args else {}))
