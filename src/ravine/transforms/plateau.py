"""A step size that shrinks when the loss has stopped falling."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_value
from ravine.core.numerics import concrete, safe_increment, scalar
from ravine.core.rule import rule
from ravine.core.types import (
    Fraction,
    Interval,
    NonNegative,
    Number,
    Params,
    Period,
    Steps,
    Transform,
    Updates,
)


class ReduceOnPlateauState(NamedTuple):
    """The scale now, the best value so far, and the counts that decide when it shrinks."""

    scale: jax.Array
    best_value: jax.Array
    plateau_count: jax.Array
    cooldown_count: jax.Array
    count: jax.Array  # type: ignore[assignment]
    avg_value: jax.Array


@rule
class ReduceOnPlateau(Transform):
    r"""Multiply updates by a scale that shrinks when the loss has stopped falling.

    A mean :math:`f` of ``accumulation_size`` values is better than the best so far,
    :math:`f^*`, if

    .. math:: f < f^* - (r\,|f^*| + a).

    After ``patience`` means in a row that are not, the scale is multiplied by ``factor``, and
    for the next ``cooldown`` means nothing is counted. NaN is never better. Losses below
    zero may fall as any others may. It needs the extra argument ``value``, and its place is
    after an optimizer in a chain.

    Args:
        factor: by what the scale is multiplied, in (0, 1).
        patience: means without improvement before that, at least 1.
        rtol: relative tolerance :math:`r`, in [0, 1].
        atol: absolute tolerance :math:`a \ge 0`.
        cooldown: means to wait afterwards, at least 0.
        accumulation_size: values in a mean, at least 1; more than 1 for the losses of
            mini-batches.
        min_scale: the scale does not go below this.

    Raises:
        ValueError: if a number lies outside its range; at update, without ``value``.

    Reference: the scheduler of this name in PyTorch,
    https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html.

    >>> import jax.numpy as jnp
    >>> transform = ReduceOnPlateau(factor=0.5, patience=2)
    >>> state = transform.init(jnp.ones(1))
    >>> for value in (3.0, -1.0, -1.0, -1.0):
    ...     updates, state = transform.update(jnp.ones(1), state, value=value)
    ...     print(updates)
    [1.]
    [1.]
    [1.]
    [0.5]
    """

    factor: Annotated[Number, Interval(0.0, 1.0, above=True, below=True)] = 0.1
    patience: Period = 10
    rtol: Fraction = 1e-4
    atol: NonNegative = 0.0
    cooldown: Steps = 0
    accumulation_size: Period = 1
    min_scale: NonNegative = 0.0

    def init(self, params: Params) -> ReduceOnPlateauState:
        return ReduceOnPlateauState(
            scale=jnp.ones((), float),
            best_value=jnp.full((), jnp.inf, float),
            plateau_count=jnp.zeros((), jnp.int32),
            cooldown_count=jnp.zeros((), jnp.int32),
            count=jnp.zeros((), jnp.int32),
            avg_value=jnp.zeros((), float),
        )

    def update(
        self,
        updates: Updates,
        state: ReduceOnPlateauState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ReduceOnPlateauState]:
        value = check_value("ReduceOnPlateau", extra)
        n = state.count + 1
        # f = f + (value - f) / n
        mean = state.avg_value + (value - state.avg_value) / n.astype(float)
        due = n >= jnp.asarray(concrete(self.accumulation_size), n.dtype)
        judged = self._judged(state, mean)
        state = tree.where(due, judged, state._replace(count=n, avg_value=mean))
        return tree.scale(state.scale, updates), state

    def _judged(self, state: ReduceOnPlateauState, mean: jax.Array) -> ReduceOnPlateauState:
        """The state after a mean is complete."""
        rtol, atol, factor, least = (
            scalar(x) for x in (self.rtol, self.atol, self.factor, self.min_scale)
        )
        patience, cooldown = (
            jnp.asarray(concrete(x), jnp.int32) for x in (self.patience, self.cooldown)
        )
        best = state.best_value
        # f < f* - (r |f*| + a), where any number beats the infinity that f* starts from
        margin = jnp.where(jnp.isfinite(best), rtol * jnp.abs(best) + atol, 0)
        better = mean < best - margin
        bad = jnp.where(better, 0, safe_increment(state.plateau_count))
        waiting = state.cooldown_count > 0
        shrink = ~waiting & (bad >= patience)
        return ReduceOnPlateauState(
            scale=jnp.where(shrink, jnp.maximum(state.scale * factor, least), state.scale),
            best_value=jnp.where(better, mean, best),
            plateau_count=jnp.where(waiting | shrink, 0, bad),
            cooldown_count=jnp.where(shrink, cooldown, jnp.maximum(state.cooldown_count - 1, 0)),
            count=jnp.zeros((), jnp.int32),
            avg_value=jnp.zeros((), float),
        )
