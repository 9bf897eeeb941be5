"""Proximal gradient that finds its learning rate by backtracking, one evaluation a step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params, check_value
from ravine.core.numerics import safe_increment, scalar
from ravine.core.prox import check_prox
from ravine.core.rule import rule
from ravine.core.types import Params, Positive, Standing, Static, Transform, Updates
from ravine.transforms.proximal import (
    descended,
    difference,
    extrapolated,
    judged,
    mapping,
    momentum,
    uphill,
)

FLAT = 0.5
"""A step along which the loss bends by no more than this share of what is allowed was short."""


class BacktrackedProximalStepState(NamedTuple):
    """The answer and how good it is, the point from which trials go, and how far the search is."""

    # Points accepted so far, int32; 0 before the first evaluation.
    count: jax.Array  # type: ignore[assignment]
    learning_rate: jax.Array  # that of the trial, or of the next one
    t: jax.Array  # the momentum's number
    x: Params  # the last accepted point
    value: jax.Array  # the loss and the penalty at x
    mapping: Updates  # x - prox(x - g)
    y: Params  # where the trial comes from
    base_value: jax.Array  # the loss at y
    grad: Updates  # at y
    judging: jax.Array  # whether the parameters are a trial, and not the next y; bool
    growing: jax.Array  # whether the learning rate may grow; bool


@rule
class BacktrackedProximalStep(Transform):
    r"""Proximal gradient, plain or accelerated, with the largest learning rate that is safe.

    The steps are those of ``ProximalStep`` and ``AcceleratedProximalStep``. A trial
    :math:`x^+ = \mathrm{prox}_{\eta g}(y - \eta\,\nabla f(y))` is evaluated, and accepted if

    .. math::
        f(x^+) \le f(y) + \langle \nabla f(y), x^+ - y\rangle + \tfrac1{2\eta} \|x^+ - y\|^2 ;

    otherwise :math:`\eta` is halved. It is doubled after an accepted point where
    :math:`\langle \nabla f(x^+) - \nabla f(y), x^+ - y\rangle` is at most half of
    :math:`\|x^+ - y\|^2 / \eta`; with acceleration only up to the first halving, and after each
    restart up to the next, since momentum suffers from growth. Where rounding hides the
    difference of the values, the same product decides: it must not exceed the whole. Each call
    of ``update`` is told of one point: a trial, or with momentum the next :math:`y`, so an
    accelerated step takes two.

    ``eval_params`` is the last accepted point; the value, the penalty in it, and the gradient
    mapping by which a sweep judges are that point's.

    Args:
        prox: the penalty :math:`g`, or the constraint: one of ``rv.prox``.
        first: the first learning rate to try.
        acceleration: whether there is momentum.
        restart: whether momentum that points uphill is dropped.

    Raises:
        ValueError: at update, without the parameters or without ``value=``.

    Reference: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems, 2009, https://doi.org/10.1137/080716542; Scheinberg, Goldfarb and Bai, Fast
    first-order methods for composite convex optimization with backtracking, 2014,
    https://doi.org/10.1007/s10208-014-9189-9.
    """

    prox: Any
    first: Positive = 1.0
    acceleration: Static[bool] = True
    restart: Static[bool] = True

    def __post_init__(self) -> None:
        check_prox("BacktrackedProximalStep", "prox", self.prox)

    def init(self, params: Params) -> BacktrackedProximalStepState:
        wide, zero = tree.widened(params), jnp.zeros((), float)
        return tree.copy(
            BacktrackedProximalStepState(
                count=jnp.zeros((), jnp.int32),
                learning_rate=scalar(self.first),
                t=zero + 1,
                x=wide,
                value=zero,
                mapping=tree.zeros_like(wide),
                y=wide,
                base_value=zero,
                grad=tree.zeros_like(wide),
                judging=jnp.zeros((), bool),
                growing=jnp.ones((), bool),
            )
        )

    def update(
        self,
        updates: Updates,
        state: BacktrackedProximalStepState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, BacktrackedProximalStepState]:
        check_params("BacktrackedProximalStep", params, updates)
        f = check_value("BacktrackedProximalStep", extra)
        eta, begun = state.learning_rate, state.count > 0
        p, g = tree.cast_like(params, state.x), tree.cast_like(updates, state.grad)
        finite = jnp.isfinite(f) & tree.all_finite(g)
        fits, flat = self._judge(f, p, g, state)
        accept = state.judging & finite & fits
        reject = state.judging & ~accept
        # An extrapolation can leave the domain of the loss: back to x, without momentum.
        lost = begun & ~state.judging & ~finite

        drop = accept & (uphill(state.y, p, state.x) if self.restart else False)
        # Momentum forgives no growth on its way: between a restart and the first halving only.
        growing = (state.growing & ~reject) | drop if self.acceleration else state.growing
        grow = accept & flat & growing
        new_eta = eta * jnp.where(reject, 0.5, jnp.where(grow, 2.0, 1.0))
        beta, t = jnp.zeros_like(state.t), state.t
        if self.acceleration:
            beta, t = momentum(state.t, eta / new_eta, drop)
            beta = jnp.where(accept, beta, 0)
            t = jnp.where(accept, t, jnp.where(lost, 1, state.t))
        ahead = accept & (beta > 0)

        keep = reject | lost | ahead
        y = tree.where(keep, state.y, p)
        grad = tree.where(keep, state.grad, g)
        trial = tree.cast_like(descended(self.prox, y, grad, new_eta), y)
        target = tree.where(ahead, extrapolated(p, beta, state.x), trial)
        target = tree.where(lost, state.x, target)

        enter = accept | ~begun
        penalty = self.prox.value(p).astype(f.dtype)
        new = BacktrackedProximalStepState(
            count=jnp.where(enter, safe_increment(state.count), state.count),
            learning_rate=new_eta,
            t=t,
            x=tree.where(enter, p, state.x),
            value=jnp.where(enter, f + penalty, state.value),
            mapping=tree.where(enter, mapping(self.prox, p, g), state.mapping),
            y=y,
            base_value=jnp.where(keep, state.base_value, f),
            grad=grad,
            judging=~(ahead | lost),
            growing=growing,
        )
        return difference(target, params, updates), new

    def _judge(
        self, f: jax.Array, p: Params, g: Updates, state: BacktrackedProximalStepState
    ) -> tuple[jax.Array, jax.Array]:
        """Whether the trial lies below the parabola of its learning rate, and so far below."""
        step, change = tree.sub(p, state.y), tree.sub(g, state.grad)
        square, eta, eps = tree.inner(step, step), state.learning_rate, jnp.finfo(f.dtype).eps
        # f(x) <= f(y) + <g, x - y> + |x - y|^2 / 2 eta
        room = tree.inner(state.grad, step) + square / (2 * eta)
        below = f - state.base_value <= room
        rounding = 10 * eps * jnp.sqrt(square * tree.inner(g, g))
        bend = tree.inner(change, step)
        mild = bend <= square / eta + rounding
        level = square / eta <= 1e4 * eps * jnp.abs(state.base_value)
        return jnp.where(level, mild, below), bend <= FLAT * square / eta

    def eval_params(self, state: BacktrackedProximalStepState, params: Params) -> Params:
        x = tree.cast_like(state.x, params)
        return tree.where(state.count > 0, x, params)

    def standing(self, state: BacktrackedProximalStepState, here: Standing) -> Standing:
        begun, first = state.count > 0, judged(self.prox, here)
        found = tree.cast_like(state.mapping, here.grads)
        return first._replace(
            params=self.eval_params(state, here.params),
            value=jnp.where(begun, state.value.astype(here.value.dtype), first.value),
            grads=tree.where(begun, found, first.grads),
            restless=True,
        )
