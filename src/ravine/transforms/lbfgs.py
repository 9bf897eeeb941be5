"""The direction of L-BFGS, as a handful of matrix products."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.errors import check_params
from ravine.core.flat import matmul, ravel, unravel
from ravine.core.rule import rule
from ravine.core.types import Params, Static, Updates
from ravine.transforms.linesearch.along import Direction
from ravine.transforms.newton_schulz import Count
from ravine.transforms.secant import Last, latest, shrink


class ScaleByLBFGSState(NamedTuple):
    """The last point and its gradient, and the pairs in compact form.

    P parameters, and n slots, m + 1 of them a ring: m pairs, and one that does not count yet.
    """

    last: Last | None
    next: jax.Array  # the slot of the one that does not count; int32
    steps: jax.Array  # (n, P), the rows of S'
    changes: jax.Array  # (n, P), the rows of Y'
    inverse: jax.Array  # (n, n), R^-T; its other rows and columns mean nothing
    curvature: jax.Array  # (n,), the diagonal D of S'Y, 0 where there is no pair
    scale: jax.Array  # gamma, 0 while there is no pair


@rule
class ScaleByLBFGS(Direction):
    r"""Multiply gradients by the inverse Hessian that the last few steps tell of.

    .. math::
        H &= \gamma I + \begin{bmatrix} S & \gamma Y \end{bmatrix}
        \begin{bmatrix} R^{-\top} (D + \gamma Y^\top Y) R^{-1} & -R^{-\top} \\
        -R^{-1} & 0 \end{bmatrix}
        \begin{bmatrix} S^\top \\ \gamma Y^\top \end{bmatrix}, \\
        \gamma &= s^\top y / y^\top y, \qquad
        R_{ij} = s_i^\top y_j \ (i \le j), \qquad D = \operatorname{diag}(s_i^\top y_i),

    where the columns of :math:`S` and :math:`Y` are the last ``memory_size`` steps
    :math:`s_k = x_{k+1} - x_k` and changes of the gradient. It is the matrix of the two-loop
    recursion, whose :math:`2m` dependent inner products it replaces by products of
    matrices; :math:`R^{-1}` is kept up to date, a column a step. A pair with
    :math:`s^\top y \le 0`, or too small for its digits to mean anything, is never stored.

    Args:
        memory_size: how many pairs to keep, at least 1.
        scale_init_precond: use :math:`\gamma`, and :math:`\min(1, 1/\|g\|)` while there is no
            pair; otherwise 1.

    Raises:
        TypeError: if ``memory_size`` is less than 1.
        ValueError: at update, without the parameters.

    Reference: Byrd, Nocedal and Schnabel, Representations of quasi-Newton matrices and their
    use in limited memory methods, 1994, https://doi.org/10.1007/BF01582063.

    >>> transform = ScaleByLBFGS(memory_size=1, scale_init_precond=False)
    >>> state = transform.init(jnp.zeros(2))
    >>> hessian = jnp.array([2.0, 4.0])
    >>> for x in (jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])):
    ...     u, state = transform.update(hessian * x, state, x)
    >>> u
    Array([2., 0.], dtype=float32)
    """

    memory_size: Count = 10
    scale_init_precond: Static[bool] = True

    def init(self, params: Params) -> ScaleByLBFGSState:
        # One more than the pairs; a multiple of four makes short vectors of equal speed.
        x, slots = ravel(params), 4 * -(-(self.memory_size + 1) // 4)
        dtype = x.dtype
        return ScaleByLBFGSState(
            last=Last.none(x),
            next=jnp.zeros((), jnp.int32),
            steps=jnp.zeros((slots, x.size), dtype),
            changes=jnp.zeros((slots, x.size), dtype),
            inverse=jnp.zeros((slots, slots), dtype),
            curvature=jnp.zeros(slots, dtype),
            scale=jnp.zeros((), dtype),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByLBFGSState,
        params: Params | None = None,
        *,
        accepted: Any = True,
        restart: Any = False,
        last: Last | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByLBFGSState]:
        check_params("ScaleByLBFGS", params, updates)
        dtype = state.curvature.dtype
        x, g = ravel(params, dtype), ravel(updates, dtype)
        k, ring = state.next, jnp.arange(state.curvature.size, dtype=jnp.int32)
        # A pair is written down at every call, and counts from when it is accepted.
        pair = latest(state.last, last).pair(x, g, accepted)
        curved, sy = pair.curved, pair.sy
        put = jax.lax.dynamic_update_index_in_dim
        S, Y = put(state.steps, pair.s, k, 0), put(state.changes, pair.y, k, 0)

        # R^-1 grows by the column (-R^-1 S'y, 1) / s'y, where it lost a row to the oldest pair.
        known = state.curvature > 0
        r = matmul(jnp.where(known, matmul(S, pair.y), 0), state.inverse)
        column = jnp.where(ring == k, 1, jnp.where(known, -r, 0)) / sy
        inverse = put(state.inverse, jnp.zeros_like(r), k, 1)
        inverse = put(inverse, jnp.where(curved, column, 0), k, 0)

        next = (k + curved.astype(k.dtype)) % (self.memory_size + 1)
        D = jnp.where((ring == k) & curved, sy, state.curvature)
        D = jnp.where((ring == next) | restart, 0, D)
        scale = jnp.where(curved, sy / pair.yy, jnp.where(restart, 0, state.scale))
        gamma = jnp.ones_like(scale)
        if self.scale_init_precond:
            gamma = jnp.where(scale > 0, scale, shrink(g))

        # p = R^-1 S'g;  r = gamma (g - Y p);  u = r + S R^-T (D p - Y'r)
        known = D > 0
        p = jnp.where(known, matmul(jnp.where(known, matmul(S, g), 0), inverse), 0)
        r = gamma * (g - matmul(p, Y))
        q = matmul(inverse, jnp.where(known, D * p - matmul(Y, r), 0))
        u = r + matmul(jnp.where(known, q, 0), S)
        state = ScaleByLBFGSState(
            last=state.last and state.last.moved(x, g, accepted),
            next=next,
            steps=S,
            changes=Y,
            inverse=inverse,
            curvature=D,
            scale=scale,
        )
        return unravel(u, updates), state
