"""Multiply updates by a number, a schedule, or minus the learning rate."""

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import concrete, safe_increment
from ravine.core.rule import rule
from ravine.core.types import (
    EmptyState,
    NonNegative,
    Params,
    Real,
    Schedule,
    Static,
    Transform,
    Updates,
)


@rule
class Scale(Transform):
    r"""Multiply by a number: :math:`u \leftarrow c\,u`.

    Args:
        step_size: the factor :math:`c`, any real number.

    >>> import jax.numpy as jnp
    >>> Scale(-2.0).update(jnp.ones(2), EmptyState())[0]
    Array([-2., -2.], dtype=float32)
    """

    step_size: Real

    elementwise = True

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        return tree.scale(self.step_size, updates), state


class ScaleByScheduleState(NamedTuple):
    """The step count (int32, from 0) and the factor of the last step."""

    count: jax.Array  # type: ignore[assignment]
    step_size: jax.Array


@rule
class ScaleBySchedule(Transform):
    r"""Multiply by a schedule of the step.

    .. math::
        u_t \leftarrow c(t)\,u_t, \qquad t = 0, 1, \dots

    Args:
        step_size_fn: the schedule :math:`c`; a plain function of the step is taken too.
    """

    step_size_fn: Real | Schedule

    elementwise = True

    def init(self, params: Params) -> ScaleByScheduleState:
        return ScaleByScheduleState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: ScaleByScheduleState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByScheduleState]:
        c = value_at(self.step_size_fn, state.count)
        return tree.scale(c, updates), ScaleByScheduleState(safe_increment(state.count), c)


class ScaleByLearningRateState(NamedTuple):
    """The step count (int32, from 0) and the learning rate of the last step."""

    count: jax.Array  # type: ignore[assignment]
    learning_rate: jax.Array


@rule
class ScaleByLearningRate(Transform):
    r"""Multiply by minus the learning rate: :math:`u_t \leftarrow -\eta_t\,u_t`.

    The state has the same structure for a number and for a schedule, and shows the rate
    that was last used.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; ``None`` leaves the
            updates as they are, sign included.
        flip_sign: whether to put the minus, that is, to descend.
    """

    learning_rate: NonNegative | Schedule | None = None
    _: KW_ONLY
    flip_sign: Static[bool] = True

    elementwise = True

    def init(self, params: Params) -> ScaleByLearningRateState:
        return ScaleByLearningRateState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: ScaleByLearningRateState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByLearningRateState]:
        if self.learning_rate is None:
            return updates, state
        eta = value_at(self.learning_rate, state.count)
        updates = tree.scale(-eta if self.flip_sign else eta, updates)
        return updates, ScaleByLearningRateState(safe_increment(state.count), eta)


def value_at(number: Any, count: jax.Array) -> jax.Array:
    """The value of a number or of a schedule at step ``count``, in the default float dtype."""
    number = concrete(number)
    return jnp.asarray(number(count) if isinstance(number, Schedule) else number, float)
