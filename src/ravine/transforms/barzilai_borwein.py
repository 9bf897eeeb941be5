"""Step sizes of Barzilai and Borwein."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.choice import one_of
from ravine.core.errors import check_params
from ravine.core.flat import dot, ravel, vector_dtype
from ravine.core.numerics import at, safe_sqrt
from ravine.core.rule import rule
from ravine.core.types import STATIC, Params, Positive, Updates
from ravine.transforms.linesearch.along import Direction
from ravine.transforms.secant import Last, latest, shrink

STEPS = ("long", "short", "alternate")


class ScaleByBarzilaiBorweinState(NamedTuple):
    """The last point, the steps so far (int32), and the step size, 0 before there is one."""

    last: Last | None
    count: jax.Array  # type: ignore[assignment]
    step_size: jax.Array


@rule
class ScaleByBarzilaiBorwein(Direction):
    r"""Multiply gradients by the step size that the last step tells of.

    .. math::
        u_k = \alpha_k g_k, \qquad
        \alpha^{\text{long}} = \frac{s^\top s}{s^\top y}, \qquad
        \alpha^{\text{short}} = \frac{s^\top y}{y^\top y},

    where :math:`s` is the last step and :math:`y` the change of the gradient on it. Where
    :math:`s^\top y \le 0`, :math:`\alpha_k = \|s\| / \|y\|`; the first is
    :math:`\min(1, 1/\|g\|)`.

    Args:
        method: ``"long"``, ``"short"``, or ``"alternate"`` for one and the other in turn.
        min_step_size: :math:`\alpha` is at least so much, greater than 0.
        max_step_size: and at most so much.

    Raises:
        TypeError: if there is no such method.
        ValueError: at update, without the parameters.

    Reference: Barzilai and Borwein, Two-point step size gradient methods, 1988,
    https://doi.org/10.1093/imanum/8.1.141.

    >>> transform = ScaleByBarzilaiBorwein()
    >>> state = transform.init(jnp.zeros(1))
    >>> for x in (jnp.array([1.0]), jnp.array([0.5])):
    ...     u, state = transform.update(4 * x, state, x)
    >>> u
    Array([0.5], dtype=float32)
    """

    method: Annotated[str, STATIC, one_of(*STEPS)] = "long"
    min_step_size: Positive = 1e-10
    max_step_size: Positive = 1e10

    def init(self, params: Params) -> ScaleByBarzilaiBorweinState:
        zero = jnp.zeros((), vector_dtype(params))
        return ScaleByBarzilaiBorweinState(Last.none(ravel(params)), jnp.zeros((), jnp.int32), zero)

    def update(
        self,
        updates: Updates,
        state: ScaleByBarzilaiBorweinState,
        params: Params | None = None,
        *,
        accepted: Any = True,
        restart: Any = False,
        last: Last | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByBarzilaiBorweinState]:
        check_params("ScaleByBarzilaiBorwein", params, updates)
        dtype = state.step_size.dtype
        x, g = ravel(params, dtype), ravel(updates, dtype)
        pair = latest(state.last, last).pair(x, g, accepted)
        long, short = pair.ss / pair.sy, pair.sy / pair.yy
        if self.method == "alternate":
            alpha = jnp.where(state.count % 2 == 0, long, short)
        else:
            alpha = long if self.method == "long" else short
        # |s| / |y| is the geometric mean of the two, and defined where they are not.
        yy = dot(pair.y, pair.y)
        mean = safe_sqrt(pair.ss / jnp.where(yy > 0, yy, 1))
        mean = jnp.where((yy > 0) & (mean > 0), mean, state.step_size)
        alpha = jnp.where(pair.curved, alpha, mean)
        alpha = jnp.where(pair.begun, alpha, shrink(g))
        alpha = jnp.clip(alpha, at(self.min_step_size, alpha), at(self.max_step_size, alpha))
        alpha = jnp.where(accepted, alpha, state.step_size)
        count = state.count + jnp.asarray(accepted).astype(jnp.int32)
        last = state.last and state.last.moved(x, g, accepted)
        return tree.scale(alpha, updates), ScaleByBarzilaiBorweinState(last, count, alpha)
