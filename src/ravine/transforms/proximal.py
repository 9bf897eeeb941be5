"""Steps that a penalty or a constraint shapes: proximal gradient, plain and accelerated."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import safe_increment, scalar, times, widen
from ravine.core.prox import Prox, check_prox
from ravine.core.rule import rule
from ravine.core.types import (
    NonNegative,
    Params,
    Schedule,
    Standing,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.scale import value_at


class ProximalStepState(NamedTuple):
    """The step count (int32) and the learning rate of the last step."""

    count: jax.Array  # type: ignore[assignment]
    learning_rate: jax.Array


@rule
class ProximalStep(Transform):
    r"""A gradient step, and then the step of a penalty: ISTA.

    .. math::
        x_{k+1} = \mathrm{prox}_{\eta g}(x_k - \eta\,\nabla f(x_k)).

    A sweep judges :math:`x_k` by the loss and the penalty together, and by the gradient mapping
    :math:`x - \mathrm{prox}_g(x - \nabla f(x))`, which is 0 at a solution and there alone. What it
    reports belongs to :math:`x_k`; a constraint adds nothing to the value.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; at most :math:`1 / L`, where
            :math:`L` is the largest curvature of the loss.
        prox: the penalty :math:`g`, or the constraint: one of ``rv.prox``.

    Raises:
        ValueError: at update, if the parameters are not given.

    >>> from ravine.core.prox import L1
    >>> transform = ProximalStep(0.5, L1(1.0))
    >>> x = jnp.array([2.0, 0.25])
    >>> x + transform.update(x, transform.init(x), x)[0]
    Array([0.5, 0. ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    prox: Any

    def __post_init__(self) -> None:
        check_prox("ProximalStep", "prox", self.prox)

    def init(self, params: Params) -> ProximalStepState:
        return ProximalStepState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: ProximalStepState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ProximalStepState]:
        check_params("ProximalStep", params, updates)
        eta = value_at(self.learning_rate, state.count)
        x = descended(self.prox, params, updates, eta)
        return difference(x, params, updates), ProximalStepState(safe_increment(state.count), eta)

    def standing(self, state: ProximalStepState, here: Standing) -> Standing:
        return judged(self.prox, here)


class AcceleratedProximalStepState(NamedTuple):
    """The step count (int32), the last learning rate, the momentum's number, and the point."""

    count: jax.Array  # type: ignore[assignment]
    learning_rate: jax.Array
    t: jax.Array
    x: Params


@rule
class AcceleratedProximalStep(Transform):
    r"""Proximal gradient with Nesterov's momentum: FISTA.

    .. math::
        x_{k+1} &= \mathrm{prox}_{\eta g}(y_k - \eta\,\nabla f(y_k)), \qquad
        t_{k+1} = \tfrac12 + \sqrt{\tfrac14 + t_k^2}, \\
        y_{k+1} &= x_{k+1} + \frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k), \qquad t_0 = 1.

    With ``restart``, where :math:`\langle y_k - x_{k+1}, x_{k+1} - x_k\rangle > 0` the momentum
    points uphill and starts anew: :math:`t_{k+1} = 1` and :math:`y_{k+1} = x_{k+1}`.

    The parameters are :math:`y`, where gradients are taken, and which a constraint does not bind;
    the answer is :math:`x`, which ``eval_params(state, params)`` returns. A sweep judges
    :math:`y_k` by the loss and the penalty there, and by the gradient mapping
    :math:`y_k - \mathrm{prox}_g(y_k - \nabla f(y_k))`; where a test then says stop, it hands out
    :math:`x_{k+1}`, to which that gradient leads. The value reported is that at :math:`y_k`; a
    constraint adds nothing to it.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; at most :math:`1 / L`, where
            :math:`L` is the largest curvature of the loss.
        prox: the penalty :math:`g`, or the constraint: one of ``rv.prox``.
        restart: whether momentum that points uphill is dropped.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems, 2009, https://doi.org/10.1137/080716542; O'Donoghue and Candès, Adaptive
    restart for accelerated gradient schemes, 2012, https://arxiv.org/abs/1204.3982.
    """

    learning_rate: NonNegative | Schedule
    prox: Any
    restart: Static[bool] = True

    def __post_init__(self) -> None:
        check_prox("AcceleratedProximalStep", "prox", self.prox)

    def init(self, params: Params) -> AcceleratedProximalStepState:
        return AcceleratedProximalStepState(
            count=jnp.zeros((), jnp.int32),
            learning_rate=jnp.zeros((), float),
            t=jnp.ones((), float),
            x=tree.copy(tree.widened(params)),
        )

    def update(
        self,
        updates: Updates,
        state: AcceleratedProximalStepState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, AcceleratedProximalStepState]:
        check_params("AcceleratedProximalStep", params, updates)
        eta = value_at(self.learning_rate, state.count)
        x = tree.cast_like(descended(self.prox, params, updates, eta), state.x)
        beta, t = momentum(state.t, 1.0, uphill(params, x, state.x) if self.restart else False)
        y = extrapolated(x, beta, state.x)
        new = AcceleratedProximalStepState(safe_increment(state.count), eta, t, x)
        return difference(y, params, updates), new

    def eval_params(self, state: AcceleratedProximalStepState, params: Params) -> Params:
        return tree.cast_like(state.x, params)

    def standing(self, state: AcceleratedProximalStepState, here: Standing) -> Standing:
        x = tree.cast_like(state.x, here.params)
        return judged(self.prox, here)._replace(params=x, restless=True)


def descended(prox: Prox, params: Params, grads: Updates, eta: Any) -> Params:
    """A gradient step and a proximal step from ``params``, in the dtype to compute in."""

    # prox(x - eta g)
    def leaf(x: Any, g: Any) -> jax.Array:
        x, g = widen(x, g)
        return x - times(eta, g)

    return prox(jax.tree.map(leaf, params, grads), eta)


def mapping(prox: Prox, params: Params, grads: Updates) -> Updates:
    """The gradient mapping ``x - prox(x - g)``, which is 0 where ``x`` is a solution."""
    return difference(params, descended(prox, params, grads, 1.0), grads)


def judged(prox: Prox, here: Standing) -> Standing:
    """The same point, judged with the penalty."""
    penalty = prox.value(here.params).astype(here.value.dtype)
    return here._replace(value=here.value + penalty, grads=mapping(prox, here.params, here.grads))


def momentum(t: jax.Array, ratio: Any, drop: Any) -> tuple[jax.Array, jax.Array]:
    """The momentum and the next ``t``, where learning rates have this ratio, old to new."""
    # t' = (1 + sqrt(1 + 4 r t^2)) / 2;  beta = (t - 1) / t'
    new = (1 + jnp.sqrt(1 + 4 * scalar(ratio) * t * t)) / 2
    return jnp.where(drop, 0, (t - 1) / new), jnp.where(drop, 1, new)


def uphill(y: Params, x: Params, old: Params) -> jax.Array:
    """Whether the last step goes against the gradient mapping: ``<y - x, x - old> > 0``."""
    return tree.inner(difference(y, x, x), tree.sub(x, old)) > 0


def extrapolated(x: Params, beta: jax.Array, old: Params) -> Params:
    """``x + beta (x - old)``."""
    return tree.add_scale(x, beta, tree.sub(x, old))


def difference(a: Any, b: Any, like: Any) -> Any:
    """``a - b`` taken in the finest dtype, in the dtypes of ``like``."""

    def leaf(a: Any, b: Any) -> jax.Array:
        a, b = widen(a, b)
        return a - b

    return tree.cast_like(jax.tree.map(leaf, a, b), like)
