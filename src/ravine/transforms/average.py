"""Averages of the parameters along the way, for evaluation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.errors import check_params
from ravine.core.numerics import bias_correction, concrete, over, safe_increment, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, Params, Period, Static, Steps, Transform, Updates


class EmaParamsState(NamedTuple):
    """The step count (int32), and the average before its bias is taken out."""

    count: jax.Array  # type: ignore[assignment]
    average: Params


@rule
class EmaParams(Transform):
    r"""Keep an exponential moving average of the parameters; updates pass unchanged.

    .. math::
        a_t = \beta a_{t-1} + (1-\beta) \theta_t, \qquad
        \bar\theta_t = a_t / (1-\beta^t), \quad a_0 = 0,

    or, without debiasing, :math:`\bar\theta_t = a_t` and :math:`a_0 = \theta_0`, as PyTorch
    has it. ``eval_params`` of the chain returns :math:`\bar\theta_t`. Put it last in the chain:
    it takes parameters plus updates for the new parameters.

    Args:
        decay: :math:`\beta` in [0, 1).
        debias: forget where the parameters started from.
        accumulator_dtype: dtype of the average; float32, or that of the parameters where it
            is finer, by default. A decay near 1 moves nothing in half precision.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Polyak and Juditsky, Acceleration of stochastic approximation by averaging,
    1992, https://doi.org/10.1137/0330046.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.chain(rv.SGD(0.5), rv.EmaParams(decay=0.5))
    >>> params = jnp.array([8.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    ...     params = rv.apply_updates(params, updates)
    >>> print(params, optimizer.eval_params(state, params))
    [2.] [2.6666667]
    """

    decay: Decay
    debias: Static[bool] = True
    accumulator_dtype: Static[DType] = None

    def init(self, params: Params) -> EmaParamsState:
        start = tree.fine_zeros_like(params, self.accumulator_dtype)
        if not self.debias:
            start = tree.copy(tree.cast_like(params, start))
        return EmaParamsState(jnp.zeros((), jnp.int32), start)

    def update(
        self, updates: Updates, state: EmaParamsState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmaParamsState]:
        check_params("EmaParams", params, updates)
        # a = b a + (1 - b) theta
        a = tree.moment(self.decay, state.average, apply_updates(params, updates))
        t = safe_increment(state.count)
        return updates, EmaParamsState(t, tree.cast_like(a, state.average))

    def eval_params(self, state: EmaParamsState, params: Params) -> Params:
        if not self.debias:
            return tree.cast_like(state.average, params)
        c = bias_correction(self.decay, state.count)
        mean = jax.tree.map(lambda a: over(a, c), state.average)
        # Before the first step there is nothing to average.
        return tree.where(state.count > 0, tree.cast_like(mean, params), params)


class SWAState(NamedTuple):
    """The step count, how many points are averaged (both int32), and their mean."""

    count: jax.Array  # type: ignore[assignment]
    n_averaged: jax.Array
    average: Params


@rule
class SWA(Transform):
    r"""Stochastic weight averaging: the plain mean of the parameters of late steps.

    .. math::
        \bar\theta \leftarrow \bar\theta + (\theta_t - \bar\theta) / n
        \qquad\text{at } t = t_0, t_0 + c, t_0 + 2c, \dots, \quad n = 1, 2, \dots

    Updates pass unchanged. ``eval_params`` of the chain returns the mean, and before
    :math:`t_0` the parameters. Put it last in the chain: it takes parameters plus updates for
    the new parameters. Where a network has batch statistics, take them anew at the mean.

    Args:
        start: :math:`t_0`, the first step that counts; the first step of all is 1.
        every: :math:`c \ge 1`, such as the length of a cycle of the learning rate.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.

    Reference: Izmailov et al., Averaging weights leads to wider optima and better
    generalization, 2018, https://arxiv.org/abs/1803.05407.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.chain(rv.SGD(0.5), rv.SWA(start=2))
    >>> params = jnp.array([8.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(3):
    ...     updates, state = optimizer.update(params, state, params)
    ...     params = rv.apply_updates(params, updates)
    ...     print(params, optimizer.eval_params(state, params))
    [4.] [4.]
    [2.] [2.]
    [1.] [1.5]
    """

    start: Steps
    every: Period = 1

    def init(self, params: Params) -> SWAState:
        count, n = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return SWAState(count, n, tree.fine_zeros_like(params))

    def update(
        self, updates: Updates, state: SWAState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, SWAState]:
        check_params("SWA", params, updates)
        t = safe_increment(state.count)
        start, every = (jnp.asarray(concrete(x), t.dtype) for x in (self.start, self.every))
        due = (t >= start) & ((t - start) % every == 0)
        n = jnp.where(due, state.n_averaged + 1, state.n_averaged)

        def mean(a: jax.Array, p: Any) -> jax.Array:
            a, p = widen(a, p)
            return a + over(p - a, jnp.where(due, n, 1))

        # theta = theta + (theta_t - theta) / n
        new = jax.tree.map(mean, state.average, apply_updates(params, updates))
        average = tree.where(due, tree.cast_like(new, state.average), state.average)
        return updates, SWAState(t, n, average)

    def eval_params(self, state: SWAState, params: Params) -> Params:
        mean = tree.cast_like(state.average, params)
        return tree.where(state.n_averaged > 0, mean, params)
