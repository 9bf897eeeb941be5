"""The direction of BFGS, with a dense inverse Hessian."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.errors import check_params
from ravine.core.flat import dot, matmul, ravel, unravel
from ravine.core.rule import rule
from ravine.core.types import Params, Static, Updates
from ravine.transforms.linesearch.along import Direction
from ravine.transforms.secant import Last, latest, shrink


class ScaleByBFGSState(NamedTuple):
    """The last point, and the inverse Hessian that the steps tell of; P parameters."""

    last: Last | None
    known: jax.Array  # whether any step has told of it; bool
    inverse: jax.Array  # (P, P)


@rule
class ScaleByBFGS(Direction):
    r"""Multiply gradients by the inverse Hessian that all steps tell of.

    .. math::
        H_{k+1} = V^\top H_k V + \frac{s s^\top}{s^\top y}, \qquad
        V = I - \frac{y s^\top}{s^\top y}, \qquad u = H_{k+1} g,

    where :math:`s` is the last step and :math:`y` the change of the gradient on it. A pair with
    :math:`s^\top y \le 0`, or too small for its digits to mean anything, is left out. The
    matrix takes memory and time in proportion to the square of the number of parameters.

    Args:
        scale_init_precond: begin with :math:`H_0 = \max(\tau, \sqrt\tau) I`, where
            :math:`\tau = s^\top y / y^\top y` of the first pair, and with
            :math:`\min(1, 1/\|g\|) I` before it; otherwise with the identity. The root is there
            because the first step is along the gradient, where the loss bends most: elsewhere,
            steps of :math:`\tau` would be too short, which takes longer to mend than too long.

    Raises:
        ValueError: at update, without the parameters.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 6.1.

    >>> transform = ScaleByBFGS(scale_init_precond=False)
    >>> state = transform.init(jnp.zeros(2))
    >>> hessian = jnp.array([2.0, 4.0])
    >>> for x in (jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])):
    ...     u, state = transform.update(hessian * x, state, x)
    >>> u
    Array([2., 0.], dtype=float32)
    """

    scale_init_precond: Static[bool] = True

    def init(self, params: Params) -> ScaleByBFGSState:
        x = ravel(params)
        eye = jnp.eye(x.size, dtype=x.dtype)
        return ScaleByBFGSState(Last.none(x), jnp.zeros((), bool), eye)

    def update(
        self,
        updates: Updates,
        state: ScaleByBFGSState,
        params: Params | None = None,
        *,
        accepted: Any = True,
        restart: Any = False,
        last: Last | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByBFGSState]:
        check_params("ScaleByBFGS", params, updates)
        dtype = state.inverse.dtype
        x, g = ravel(params, dtype), ravel(updates, dtype)
        pair = latest(state.last, last).pair(x, g, accepted)
        s, y, sy, curved = pair.s, pair.y, pair.sy, pair.curved
        start, scale = jnp.eye(x.size, dtype=dtype), jnp.ones((), dtype)
        H = state.inverse
        if self.scale_init_precond:
            first = jnp.maximum(sy / pair.yy, jnp.sqrt(sy / pair.yy))
            H = jnp.where(state.known | ~curved, H, first * start)
        # H + ((1 + y'Hy / s'y) s s' - Hy s' - s (Hy)') / s'y
        Hy = matmul(H, y)
        w = (1 + dot(y, Hy) / sy) / 2 * s - Hy
        H = jnp.where(curved, H + (jnp.outer(w, s) + jnp.outer(s, w)) / sy, H)
        known = (state.known | curved) & ~jnp.asarray(restart)
        H = jnp.where(restart, start, H)
        if self.scale_init_precond:
            scale = jnp.where(known, 1, shrink(g))
        last = state.last and state.last.moved(x, g, accepted)
        return unravel(scale * matmul(H, g), updates), ScaleByBFGSState(last, known, H)
