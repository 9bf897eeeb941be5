"""Shrink the parameters after a step, so that steps alone do not make them grow."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import safe_increment, safe_sqrt, times, widen
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Schedule, Transform, Updates
from ravine.transforms.scale import value_at


class ShrinkAfterStepState(NamedTuple):
    """The step count (int32, from 0), and the factor of the last step."""

    count: jax.Array  # type: ignore[assignment]
    factor: jax.Array


@rule
class ShrinkAfterStep(Transform):
    r"""Shrink where a step of relative length :math:`\eta` across the parameters would lengthen.

    .. math::
        u \leftarrow c\,(\theta + u) - \theta, \qquad c = 1 / \sqrt{1 + \eta^2}.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Bernstein et al., On the distance between two neural networks and the stability
    of learning, 2020, https://arxiv.org/abs/2002.03432.

    >>> import jax.numpy as jnp
    >>> transform, params = ShrinkAfterStep(0.75), jnp.array([4.0, 0.0])
    >>> transform.update(jnp.array([0.0, 3.0]), transform.init(params), params)[0]
    Array([-0.8,  2.4], dtype=float32)
    """

    learning_rate: NonNegative | Schedule

    def init(self, params: Params) -> ShrinkAfterStepState:
        return ShrinkAfterStepState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: ShrinkAfterStepState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ShrinkAfterStepState]:
        check_params("ShrinkAfterStep", params, updates)
        eta = value_at(self.learning_rate, state.count)
        root = safe_sqrt(1 + eta**2)
        # c - 1 = -eta^2 / (r (1 + r)) with r = 1 / c, written so that no digits cancel
        factor, loss = 1 / root, eta**2 / (root * (1 + root))

        def leaf(u: Any, p: Any) -> jax.Array:
            u, p = widen(u, p)
            # u = c u + (c - 1) theta
            return times(factor, u) - times(loss, p)

        new = tree.cast_like(jax.tree.map(leaf, updates, params), updates)
        return new, ShrinkAfterStepState(safe_increment(state.count), factor)
