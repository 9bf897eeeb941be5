"""The direction of L-BFGS between bounds."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.errors import check_params
from ravine.core.flat import dot, matmul, ravel, unravel
from ravine.core.rule import rule
from ravine.core.types import Params, Updates
from ravine.transforms.linesearch.along import Direction
from ravine.transforms.linesearch.box import Box
from ravine.transforms.newton_schulz import Count
from ravine.transforms.secant import Last, latest, shrink

NEAR = 1e-3
"""No parameter further from its bound than this share of the way to the other is near it."""


class ScaleByLBFGSBState(NamedTuple):
    """The last point, and the pairs that the steps made; P parameters, m pairs, newest last.

    A pair is divided by the root of ``s'y``, so its inner product is 1; zero where there is none.
    """

    last: Last | None
    steps: jax.Array  # (m, P), the rows of S'
    changes: jax.Array  # (m, P), the rows of Y'
    scale: jax.Array  # theta, 0 while there is no pair


@rule
class ScaleByLBFGSB(Direction):
    r"""The quasi-Newton step in the parameters that are free to move.

    .. math::
        u_F &= (B_{FF})^{-1} g_F, \qquad u_A = g_A / \theta, \\
        B &= \theta I - \begin{bmatrix} Y & \theta S \end{bmatrix}
        \begin{bmatrix} -D & L^\top \\ L & \theta S^\top S \end{bmatrix}^{-1}
        \begin{bmatrix} Y^\top \\ \theta S^\top \end{bmatrix}, \qquad
        \theta = \frac{y^\top y}{s^\top y},

    where :math:`A` are the parameters at a bound, or nearly, which the gradient pushes outwards,
    and :math:`F` the others; :math:`D` is the diagonal of :math:`S^\top Y` and :math:`L` the part
    below it. The inverse is exact, by the Sherman-Morrison-Woodbury formula: a system of
    :math:`2m` equations. How near is near follows from :math:`\|x - P(x - g)\|`, so no
    parameter lingers close to a bound. For ``LineSearch`` with the same ``box``.

    Args:
        box: the bounds.
        memory_size: how many pairs to keep, at least 1.

    Raises:
        TypeError: if ``memory_size`` is less than 1.
        ValueError: at update, without the parameters, or if the bounds do not fit them.

    Reference: Byrd, Lu, Nocedal and Zhu, A limited memory algorithm for bound constrained
    optimization, 1995, https://doi.org/10.1137/0916069; Bertsekas, Projected Newton methods for
    optimization problems with simple constraints, 1982, https://doi.org/10.1137/0320018.
    """

    box: Box
    memory_size: Count = 10

    def init(self, params: Params) -> ScaleByLBFGSBState:
        x, m = ravel(params), self.memory_size
        self.box.line(params, x.dtype)
        return ScaleByLBFGSBState(
            last=Last.none(x),
            steps=jnp.zeros((m, x.size), x.dtype),
            changes=jnp.zeros((m, x.size), x.dtype),
            scale=jnp.zeros((), x.dtype),
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByLBFGSBState,
        params: Params | None = None,
        *,
        accepted: Any = True,
        restart: Any = False,
        last: Last | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByLBFGSBState]:
        check_params("ScaleByLBFGSB", params, updates)
        dtype = state.scale.dtype
        x, g = ravel(params, dtype), ravel(updates, dtype)
        pair = latest(state.last, last).pair(x, g, accepted)
        root = jnp.sqrt(pair.sy)
        S = newest_last(state.steps, pair.s / root, pair.curved)
        Y = newest_last(state.changes, pair.y / root, pair.curved)
        S, Y = jnp.where(restart, 0, S), jnp.where(restart, 0, Y)
        scale = jnp.where(pair.curved, pair.yy / pair.sy, jnp.where(restart, 0, state.scale))
        theta = jnp.where(scale > 0, scale, 1 / shrink(g))

        low, high = self.box.line(params, dtype)
        v = x - jnp.clip(x - g, low, high)
        near = jnp.minimum(jnp.sqrt(dot(v, v)), NEAR * (high - low))
        bound = ((x - low <= near) & (g > 0)) | ((high - x <= near) & (g < 0))
        # In the scale in which theta = 1, the rows of W are those of Y' and then those of S'.
        W = jnp.concatenate([Y / jnp.sqrt(theta), S * jnp.sqrt(theta)])
        W_F, W_A = jnp.where(bound, 0, W), jnp.where(bound, W, 0)
        g_F = jnp.where(bound, 0, g)
        N = middle(matmul(W_F, W_F.T), matmul(W_A, W_A.T))
        # u_F = (g_F + W' N^-1 W g_F) / theta
        u = g + matmul(jnp.linalg.solve(N, matmul(W_F, g_F)), W_F)
        u = jnp.where(bound, g, u) / theta
        last = state.last and state.last.moved(x, g, accepted)
        return unravel(u, updates), ScaleByLBFGSBState(last, S, Y, scale)


def newest_last(rows: jax.Array, row: jax.Array, keep: jax.Array) -> jax.Array:
    """The rows with a new one behind and without the first, if it is to be kept."""
    return jnp.where(keep, jnp.concatenate([rows[1:], row[None]]), rows)


def middle(free: jax.Array, bound: jax.Array) -> jax.Array:
    r"""The matrix :math:`N = M^{-1} - W_F^\top W_F`, from the inner products of ``W``'s rows.

    The whole inner products are those over free and over bound parameters together. Where
    they cancel they are left out, so no digits are lost; a row without a pair is one of 1.
    """
    m = free.shape[0] // 2
    eye = jnp.eye(m, dtype=free.dtype)
    lower = jnp.tril(bound[m:, :m], -1) - jnp.triu(free[m:, :m])
    none = jnp.diagonal(free[m:, m:]) + jnp.diagonal(bound[m:, m:]) == 0
    corner = bound[m:, m:] + jnp.where(none, eye, 0)
    return jnp.block([[-eye - free[:m, :m], lower.T], [lower, corner]])
