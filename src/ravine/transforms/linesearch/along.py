"""A line search along the directions of a transform, one evaluation a step."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.choice import one_of
from ravine.core.errors import check_params, check_value
from ravine.core.flat import dot, ravel, unravel, vector_dtype
from ravine.core.numerics import hidden, over, safe_increment, settled
from ravine.core.rule import rule
from ravine.core.types import STATIC, Params, Standing, State, Transform, Updates
from ravine.transforms.linesearch.box import Box, Line
from ravine.transforms.linesearch.search import (
    ACCEPT,
    FAIL,
    RETURN,
    Sample,
    Search,
    check_search,
    finite_sample,
)
from ravine.transforms.linesearch.wolfe import StrongWolfe
from ravine.transforms.secant import Last

PATIENCE = 10
"""So many accepted points in a row may bring nothing, where rounding hides what they bring."""


class Direction(Transform):
    """A transform made for line searches, which call it at every trial.

    Its ``update`` takes two more flags: what it sees enters its state only where ``accepted``
    is true, and where ``restart`` is, it forgets what it has learnt. And it takes the ``last``
    point accepted, which the line search keeps, if its state does not.
    """


class LineSearchState(NamedTuple):
    """The base point and the direction from it, and how far the search is; P parameters."""

    # Points accepted so far, int32; 0 before the first evaluation.
    count: jax.Array  # type: ignore[assignment]
    point: jax.Array  # (P,)
    grad: jax.Array  # (P,)
    direction: jax.Array  # (P,)
    value: jax.Array  # the value and the slope at the base point
    slope: jax.Array
    learning_rate: jax.Array  # the step of the trial
    search: Any
    returning: jax.Array  # whether the trial is one seen before, the best; bool
    steepest: jax.Array  # whether the direction is that of steepest descent; bool
    least: jax.Array  # the lowest value so far
    lowest: jax.Array  # the lowest squared norm of the gradient since then
    idle: jax.Array  # accepted points in a row that brought nothing, int32
    stalled: jax.Array  # whether there is nothing more to be had; bool
    inner_state: State


@rule
class LineSearch(Transform):
    r"""Move along a transform's directions by steps that a line search finds.

    .. math::
        x_{k+1} = x_k + t_k d_k, \qquad d_k = -u_k,

    where :math:`u_k` is what ``inner`` makes of the gradient at :math:`x_k`. It stands in a
    chain where the learning rate would, and it must be the last part.

    Each call of ``update`` is told the value and the gradient at one point, the trial, and
    returns the move to the next. While the search goes on, the parameters are a trial,
    and ``eval_params`` is the point that was last accepted. A direction that does not
    descend gives way to that of steepest descent, and so does one along which the search
    fails, or one after five points in a row that lowered neither the value nor the gradient.
    If it fails along that one too, or if there are ten such points, the parameters return to
    the last accepted point, stay there, and ``stalled`` is true in the state. Where the value
    changes only in the second half of its digits, which rounding may hide, the slopes at both
    ends tell the change: :math:`t\,(\phi'(0) + \phi'(t)) / 2`.

    Args:
        inner: the transform that makes the directions. It is updated at accepted points only,
            and begins anew where its direction gives way.
        linesearch: ``StrongWolfe()``, ``HagerZhang()`` or ``Backtracking()``.
        first: the first step along a direction: ``"one"`` for directions of a natural length,
            such as Newton's; ``"slope"`` for one that promises as much as the last one did.
        box: bounds on the parameters. Trials then lie on the projection of the line into the
            box, and the gradient by which to judge a point is :math:`x - P(x - g)`.

    Raises:
        ValueError: at update, without the parameters or without ``value=``.

    Reference: Nocedal and Wright, Numerical optimization, 2006, chapter 3.

    >>> from ravine.transforms.identity import Identity
    >>> transform = LineSearch(Identity())
    >>> x = jnp.array([3.0])
    >>> state = transform.init(x)
    >>> for _ in range(4):
    ...     u, state = transform.update(x, state, x, value=jnp.sum(x**2) / 2)
    ...     x += u
    >>> x
    Array([0.], dtype=float32)
    """

    inner: Transform
    linesearch: Search = StrongWolfe()
    first: Annotated[str, STATIC, one_of("one", "slope")] = "one"
    box: Box | None = None

    def __post_init__(self) -> None:
        check_search("LineSearch", self.linesearch)

    def init(self, params: Params) -> LineSearchState:
        zero = jnp.zeros((), vector_dtype(params))
        inner_state = self.inner.init(params)
        if isinstance(self.inner, Direction) and hasattr(inner_state, "last"):
            inner_state = inner_state._replace(last=None)
        # As many buffers as leaves: donation takes no buffer twice.
        return tree.copy(
            LineSearchState(
                count=jnp.zeros((), jnp.int32),
                point=ravel(params),
                grad=jnp.zeros_like(ravel(params)),
                direction=jnp.zeros_like(ravel(params)),
                value=zero,
                slope=zero,
                learning_rate=zero,
                search=self.linesearch.init(zero.dtype),
                returning=jnp.zeros((), bool),
                steepest=jnp.zeros((), bool),
                least=zero,
                lowest=zero,
                idle=jnp.zeros((), jnp.int32),
                stalled=jnp.zeros((), bool),
                inner_state=inner_state,
            )
        )

    def update(
        self,
        updates: Updates,
        state: LineSearchState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, LineSearchState]:
        check_params("LineSearch", params, updates)
        dtype = state.point.dtype
        x, g = ravel(params, dtype), ravel(updates, dtype)
        t, begun = state.learning_rate, state.count > 0
        base = Sample(jnp.zeros_like(t), state.value, state.slope)
        f = check_value("LineSearch", extra).astype(dtype)
        line = self._line(params, dtype)
        velocity = line.velocity(state.point + t * state.direction, state.direction)
        trial = finite_sample(t, f, dot(g, velocity)).told(base)
        search, verdict = self.linesearch.advance(state.search, base, trial)

        # The first point is taken as it is; one to which the search returned, if it is better.
        found = jnp.where(state.returning, trial.value < base.value, verdict.code == ACCEPT)
        enter = ~begun & jnp.any(line.clip(x) != x)
        found = jnp.where(begun, found, jnp.isfinite(trial.value) & ~enter)
        accept = settled(found & ~state.stalled)
        still = ~jnp.any(x != state.point)  # a step too short to change a digit
        failed = ~found & (~begun | state.returning | still | (verdict.code == FAIL)) & ~enter
        failed = settled(failed)
        stalled = state.stalled | (failed & (state.steepest | ~begun))
        fresh = accept | (failed & ~stalled)
        # Nor is there progress where the value hardly changes, and neither it nor the gradient
        # is the lowest yet.
        gg = dot(g, g)
        lower = ~begun | (f < state.least)
        least = jnp.where(accept & lower, f, state.least)
        lowest = jnp.where(lower, gg, jnp.minimum(state.lowest, gg))
        lowest = jnp.where(accept, lowest, state.lowest)
        level = ~lower & (gg >= state.lowest) & (jnp.abs(f - base.value) <= hidden(base.value))
        idle = jnp.where(accept, jnp.where(level, state.idle + 1, 0), state.idle)
        stalled |= idle >= PATIENCE
        # What the transform learnt elsewhere may be why it brings nothing here.
        stale = accept & (idle == PATIENCE // 2) & (state.idle < PATIENCE // 2)
        restart = settled((failed | stale) & ~stalled)
        point, grad = jnp.where(accept, x, state.point), jnp.where(accept, g, state.grad)

        u, inner_state = self._inner(updates, state, params, accept, restart, extra)
        # d = -u if that descends, else the direction of steepest descent, no longer than 1
        d, steep = line.velocity(point, -ravel(u, dtype)), line.velocity(point, -grad)
        steep *= jax.lax.rsqrt(jnp.maximum(dot(steep, steep), 1))
        slope = dot(grad, d)
        descends = (slope < 0) & jnp.isfinite(slope) & ~restart
        slope = jnp.where(descends, slope, dot(grad, steep))
        d = jnp.where(fresh, jnp.where(descends, d, steep), state.direction)

        first = jnp.ones_like(t)
        if self.first == "slope":
            # As low as the last step led, by the parabola; or, if it led up, by the slope.
            fall = jnp.where(f < base.value, 2.02 * (f - base.value), t * base.slope)
            like_last = over(fall, slope)
            first = jnp.where(begun, like_last, jax.lax.rsqrt(jnp.maximum(dot(d, d), 1)))
            first = jnp.where(descends, first, 1)
        t = jnp.where(fresh, first, verdict.t)
        target = line.clip(jnp.where(stalled, point, jnp.where(enter, x, point + t * d)))

        value, slope = jnp.where(accept, f, base.value), jnp.where(fresh, slope, base.slope)
        base = Sample(base.t, value, slope)
        state = LineSearchState(
            count=jnp.where(accept, safe_increment(state.count), state.count),
            point=point,
            grad=grad,
            direction=d,
            value=value,
            slope=slope,
            learning_rate=t,
            search=tree.where(fresh, self.linesearch.begin(search, base), search),
            returning=~fresh & (verdict.code == RETURN),
            steepest=jnp.where(fresh, ~descends, state.steepest),
            least=least,
            lowest=lowest,
            idle=idle,
            stalled=stalled,
            inner_state=inner_state,
        )
        return unravel(line.step(x, target), updates), state

    def _inner(
        self,
        updates: Updates,
        state: LineSearchState,
        params: Params,
        accept: jax.Array,
        restart: jax.Array,
        extra: dict[str, Any],
    ) -> tuple[Updates, State]:
        """The inner transform's updates at an accepted point, and its state."""
        if isinstance(self.inner, Direction):
            last = Last(state.count > 0, state.point, state.grad)
            return self.inner.update(
                updates, state.inner_state, params,
                accepted=accept, restart=restart, last=last, **extra,
            )  # fmt: skip
        u, new = self.inner.update(updates, state.inner_state, params, **extra)
        old = tree.where(restart, self.inner.init(params), state.inner_state)
        return u, tree.where(accept, new, old)

    def eval_params(self, state: LineSearchState, params: Params) -> Params:
        return tree.where(state.count > 0, unravel(state.point, params), params)

    def standing(self, state: LineSearchState, here: Standing) -> Standing:
        begun, dtype = state.count > 0, state.point.dtype
        line = self._line(here.params, dtype)
        x = jnp.where(begun, state.point, ravel(here.params, dtype))
        g = jnp.where(begun, state.grad, ravel(here.grads, dtype))
        target = line.clip(jnp.where(state.stalled, x, x + state.learning_rate * state.direction))
        return Standing(
            params=unravel(x, here.params),
            value=jnp.where(begun, state.value.astype(here.value.dtype), here.value),
            grads=unravel(line.gradient(x, g), here.grads),
            updates=unravel(target - x, here.updates),
            stalled=here.stalled | state.stalled,
        )

    def _line(self, params: Params, dtype: Any) -> Line:
        return Line() if self.box is None else self.box.line(params, dtype)
