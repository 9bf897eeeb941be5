"""Descent in another geometry: mirror descent."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.mirror import check_mirror
from ravine.core.numerics import safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Schedule, Standing, Transform, Updates
from ravine.transforms.proximal import difference
from ravine.transforms.scale import value_at


class MirrorStepState(NamedTuple):
    """The step count (int32), the learning rate of the last step, and the dual point."""

    count: jax.Array  # type: ignore[assignment]
    learning_rate: jax.Array
    dual: Params


@rule
class MirrorStep(Transform):
    r"""A gradient step in the dual space of a mirror map :math:`\nabla\psi`.

    .. math::
        z_{k+1} = z_k - \eta\,\nabla f(x_k), \qquad x_k = (\nabla\psi)^{-1}(z_k).

    The dual point is kept in the state, so that no element is rounded to 0 for good. A sweep
    judges :math:`x_k` by :math:`x - P(x - \nabla f(x))`, where :math:`P` projects on the set of
    the map: 0 at a solution and there alone.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        mirror_map: one of ``rv.mirror``.

    Raises:
        ValueError: at update, if the parameters are not given.

    >>> from ravine.core.mirror import SimplexEntropy
    >>> transform = MirrorStep(jnp.log(3.0), SimplexEntropy())
    >>> x = jnp.array([0.5, 0.5])
    >>> (x + transform.update(jnp.array([1.0, 0.0]), transform.init(x), x)[0]).tolist()
    [0.25..., 0.75...]
    """

    learning_rate: NonNegative | Schedule
    mirror_map: Any

    def __post_init__(self) -> None:
        check_mirror("MirrorStep", self.mirror_map)

    def init(self, params: Params) -> MirrorStepState:
        dual = tree.copy(self.mirror_map.dual(params))
        return MirrorStepState(jnp.zeros((), jnp.int32), jnp.zeros((), float), dual)

    def update(
        self,
        updates: Updates,
        state: MirrorStepState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, MirrorStepState]:
        check_params("MirrorStep", params, updates)
        eta = value_at(self.learning_rate, state.count)

        # z = z - eta g
        def leaf(z: jax.Array, g: Any) -> jax.Array:
            wide, g = widen(z, g)
            return (wide - times(eta, g)).astype(z.dtype)

        dual = jax.tree.map(leaf, state.dual, updates)
        new = MirrorStepState(safe_increment(state.count), eta, dual)
        return difference(self.mirror_map.primal(dual), params, updates), new

    def standing(self, state: MirrorStepState, here: Standing) -> Standing:
        aims = tree.sub(tree.widened(here.params), here.grads)
        ends = self.mirror_map.project(aims)
        return here._replace(grads=difference(here.params, ends, here.grads))
