"""Schedule-free learning: an average in place of a learning rate that decays."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    complement,
    over,
    safe_increment,
    safe_power,
    scalar,
    times,
    widen,
)
from ravine.core.rule import rule
from ravine.core.types import (
    DType,
    Interval,
    NonNegative,
    Number,
    Params,
    Schedule,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.scale import value_at

Share = Annotated[Number, Interval(0.0, 1.0, above=True)]
"""A share in (0, 1]. A leaf."""


class ScheduleFreeState(NamedTuple):
    """The step count (int32), two numbers of the average, the base's state, and its point."""

    count: jax.Array  # type: ignore[assignment]
    weight_sum: jax.Array
    max_lr: jax.Array
    base_optimizer_state: State
    z: Params


@rule
class ScheduleFree(Transform):
    r"""Let a base optimizer move :math:`z`, average it to :math:`x`, and stay between the two.

    .. math::
        z_{t+1} &= z_t + u_t, \qquad
        x_{t+1} = (1 - c_{t+1})\,x_t + c_{t+1} z_{t+1}, \qquad
        y_{t+1} = \beta_1 x_{t+1} + (1-\beta_1) z_{t+1}, \\
        c_{t+1} &= w_t / \textstyle\sum_{i \le t} w_i, \qquad
        w_t = (\max_{i \le t} \gamma_i)^p, \qquad t = 0, 1, \dots

    The parameters are :math:`y`, where gradients are taken; the base's update :math:`u_t` is
    made there too, so that its weight decay is that of :math:`y`. Evaluate at :math:`x`, which
    ``eval_params(state, params)`` returns. The learning rate needs no decay, but a warm-up may
    help, and the base must have no momentum: :math:`\beta_1` takes its place.

    The step is that of the authors' code: :math:`c_1 = 1`, and the learning rate
    :math:`\gamma_t` in the weights is that of the base's own step. (In Optax 0.2.8 the count in
    the weights is one ahead of the base's, which a schedule notices.) The update is computed as
    :math:`c_{t+1} (z_{t+1} - y_t) + (1 - c_{t+1}) (1 - \beta_1)\,u_t`, without :math:`x`.

    Args:
        base_optimizer: the optimizer that moves :math:`z`. Extra arguments go to it.
        learning_rate: :math:`\gamma \ge 0`, that of the base, a number or a schedule.
        b1: :math:`\beta_1` in (0, 1], the share of the average in the parameters.
        weight_lr_power: :math:`p \ge 0`.
        state_dtype: dtype of :math:`z`; that of the parameters, but float32 at least, by
            default: in half precision small steps would leave it where it is.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if the base is no transform.

    Reference: Defazio et al., The road less scheduled, 2024,
    https://arxiv.org/abs/2405.15682.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> optimizer = ScheduleFree(Scale(-0.5), learning_rate=0.5, b1=0.5)
    >>> y = jnp.array([1.0, -2.0])
    >>> state = optimizer.init(y)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(y, state, y)
    ...     y += updates
    >>> state.z, optimizer.eval_params(state, y)  # their mean over both steps
    (Array([ 0.25, -0.5 ], dtype=float32), Array([ 0.375, -0.75 ], dtype=float32))
    """

    base_optimizer: Transform
    learning_rate: NonNegative | Schedule
    b1: Share = 0.9
    weight_lr_power: NonNegative = 2.0
    state_dtype: Static[DType] = None

    def init(self, params: Params) -> ScheduleFreeState:
        z = tree.cast(tree.copy(params), self.state_dtype)
        z = tree.widened(z) if self.state_dtype is None else z
        zero, base = jnp.zeros((), float), self.base_optimizer.init(params)
        return ScheduleFreeState(jnp.zeros((), jnp.int32), zero, zero.copy(), base, z)

    def update(
        self,
        updates: Updates,
        state: ScheduleFreeState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScheduleFreeState]:
        check_params("ScheduleFree", params, updates)
        u, base = self.base_optimizer.update(updates, state.base_optimizer_state, params, **extra)
        # w = (max gamma)^p;  c = w / sum w
        max_lr = jnp.maximum(state.max_lr, value_at(self.learning_rate, state.count))
        weight = safe_power(max_lr, scalar(self.weight_lr_power))
        weight_sum = state.weight_sum + weight
        c = over(weight, weight_sum)
        rest = (1 - c) * scalar(complement(self.b1))
        z = tree.add(state.z, u)

        # y' - y = c (z' - y) + (1 - c) (1 - b1) u
        def step(u: Any, z: jax.Array, y: Any) -> jax.Array:
            wide, z, y = widen(u, z, y)
            return (times(c, z - y) + times(rest, wide)).astype(jnp.result_type(u))

        new = ScheduleFreeState(safe_increment(state.count), weight_sum, max_lr, base, z)
        return tree.cast_like(jax.tree.map(step, u, z, params), updates), new

    def eval_params(self, state: ScheduleFreeState, params: Params) -> Params:
        # x = (y - (1 - b1) z) / b1
        def leaf(y: Any, z: jax.Array) -> jax.Array:
            wide, z = widen(y, z)
            x = over(wide - times(complement(self.b1), z), scalar(self.b1))
            return x.astype(jnp.result_type(y))

        return jax.tree.map(leaf, params, state.z)
