"""Measurements of the updates on their way, kept in the state by name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.rule import rule, show
from ravine.core.types import Decay, DType, EmptyState, Params, State, Static, Transform, Updates
from ravine.transforms.momentum import Ema, EmaState


class MonitorState(NamedTuple):
    """The last measurement of each name, and what each measure carries."""

    measurements: dict[str, Any]
    inner_states: tuple[State, ...]


@rule
class Monitor(Transform):
    """Measure the updates at this place of a chain, and let them pass.

    The measurements stand in the state under their names, where ``ravine.inspect`` finds
    them; before the first step they are NaN, or 0 where their dtype has no NaN.

    Args:
        measures: a dict from names to functions from the updates to an array or a tree of
            arrays, defined once, at module level; or to ``MeasureWithEma``, or to any other
            transform, whose updates are then the measurement.

    Raises:
        TypeError: if ``measures`` is no such dict.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> chain = rv.chain(rv.Monitor({"gradient_norm": rv.tree.norm}), rv.SGD(0.1))
    >>> params = jnp.array([3.0, 4.0])
    >>> updates, state = chain.update(params, chain.init(params), params)
    >>> print(state.monitor.measurements["gradient_norm"])
    5.0
    """

    measures: dict[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.measures, Mapping):
            raise TypeError(
                "Monitor: measures must be a dict from names to functions of the updates, got "
                f"{type(self.measures).__name__}."
            )
        measures = {name: _as_measure(name, x) for name, x in self.measures.items()}
        object.__setattr__(self, "measures", measures)

    def init(self, params: Params) -> MonitorState:
        states = tuple(m.init(params) for m in self.measures.values())
        shapes = jax.eval_shape(lambda u: self._measured(u, states, params, {})[0], params)
        return MonitorState(jax.tree.map(lambda x: _blank(x.shape, x.dtype), shapes), states)

    def update(
        self, updates: Updates, state: MonitorState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, MonitorState]:
        found, states = self._measured(updates, state.inner_states, params, extra)
        return updates, MonitorState(tree.cast_like(found, state.measurements), states)

    def _measured(
        self, updates: Updates, states: Any, params: Any, extra: dict[str, Any]
    ) -> tuple[dict[str, Any], tuple[State, ...]]:
        pairs = [
            measure.update(updates, state, params, **extra)
            for measure, state in zip(self.measures.values(), states, strict=True)
        ]
        found = {name: pair[0] for name, pair in zip(self.measures, pairs, strict=True)}
        return found, tuple(pair[1] for pair in pairs)


@rule
class Measure(Transform):
    """A function of the updates, as a transform: what it returns takes their place."""

    function: Static[Callable[[Updates], Any]]

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        return jax.tree.map(jnp.asarray, self.function(updates)), state

    def __repr__(self) -> str:
        return show(self.function)


@rule
class MeasureWithEma(Transform):
    """A moving average of a measurement, for ``Monitor``.

    Args:
        measure: a function from the updates to a number or an array, defined once, at module
            level; bools count as 0 and 1.
        decay: decay of the average, in [0, 1).
        debias: divide out the weight of the zero that the average starts from.
        accumulator_dtype: dtype of the average; float32 by default.

    >>> import jax.numpy as jnp
    >>> monitor = Monitor({"largest": MeasureWithEma(jnp.max, decay=0.5)})
    >>> state = monitor.init(jnp.zeros(2))
    >>> for g in (1.0, 4.0):
    ...     _, state = monitor.update(jnp.array([0.0, g]), state)
    >>> print(state.measurements["largest"])
    3.0
    """

    measure: Static[Callable[[Updates], Any]]
    decay: Decay
    debias: Static[bool] = True
    accumulator_dtype: Static[DType] = None

    def init(self, params: Params) -> EmaState:
        return self._ema().init(jax.eval_shape(self._measured, params))

    def update(
        self, updates: Updates, state: EmaState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmaState]:
        return self._ema().update(self._measured(updates), state)

    def _measured(self, updates: Updates) -> Any:
        return tree.widened(self.measure(updates))

    def _ema(self) -> Ema:
        return Ema(self.decay, self.debias, self.accumulator_dtype)


def _as_measure(name: str, x: Any) -> Transform:
    if isinstance(x, Transform):
        return x
    if not callable(x):
        raise TypeError(
            f"Monitor: the measure {name!r} must be a function of the updates or a transform, got "
            f"{type(x).__name__}."
        )
    return Measure(x)


def _blank(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    return jnp.full(shape, jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0, dtype)
