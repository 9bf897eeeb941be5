"""Weight decay."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.errors import check_params
from ravine.core.numerics import safe_increment, times, widen
from ravine.core.paths import Mask, resolve
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Schedule, Static, Transform, Updates
from ravine.transforms.scale import value_at


class AddDecayedWeightsState(NamedTuple):
    """The step count (int32, from 0), and the decay of the last step."""

    count: jax.Array  # type: ignore[assignment]
    weight_decay: jax.Array


@rule
class AddDecayedWeights(Transform):
    r"""Add a multiple of the parameters: :math:`u_t \leftarrow u_t + \lambda_t \theta_{t-1}`.

    Before an adaptive transform this is :math:`L_2` regularization; after it, and before
    the learning rate, it is decoupled weight decay.

    Args:
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        mask: which leaves decay: a glob over paths or a tuple of globs (``"*kernel"``), a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: at update, if the parameters are not given, or the mask does not fit them.

    Reference: Loshchilov and Hutter, Decoupled weight decay regularization, 2017,
    https://arxiv.org/abs/1711.05101.

    >>> import jax.numpy as jnp
    >>> params = {"kernel": jnp.ones(2), "bias": jnp.ones(1)}
    >>> transform = AddDecayedWeights(0.25, mask="*kernel")
    >>> zeros = {"kernel": jnp.zeros(2), "bias": jnp.zeros(1)}
    >>> transform.update(zeros, transform.init(params), params)[0]
    {'bias': Array([0.], dtype=float32), 'kernel': Array([0.25, 0.25], dtype=float32)}
    """

    weight_decay: NonNegative | Schedule = 0.0
    mask: Static[Mask] = None

    @property
    def elementwise(self) -> bool:
        return self.mask is None

    def init(self, params: Params) -> AddDecayedWeightsState:
        return AddDecayedWeightsState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: AddDecayedWeightsState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, AddDecayedWeightsState]:
        check_params("AddDecayedWeights", params, updates)
        decay = value_at(self.weight_decay, state.count)
        new = add_decayed(updates, decay, params, self.mask)
        return new, AddDecayedWeightsState(safe_increment(state.count), decay)


def add_decayed(updates: Updates, decay: jax.Array, params: Params, mask: Any) -> Updates:
    """``updates + decay * params`` for the leaves in the mask, in the dtypes of the updates."""

    def leaf(g: Any, p: Any) -> jax.Array:
        wide, p = widen(g, p)
        return (wide + times(decay, p)).astype(jnp.result_type(g))

    # u = u + lambda theta
    if mask is None or not jax.tree.leaves(updates):
        return jax.tree.map(leaf, updates, params)
    # Read from the parameters each time: the state is that of any other decay.
    select = resolve(mask, params)
    kept = jax.tree.map(leaf, select.keep(True, updates), select.keep(True, params))
    return select.merge({True: kept}, updates)
