"""Newton's direction, with a Hessian made positive definite."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.errors import check_function, check_params
from ravine.core.flat import dot, matmul, ravel, unravel
from ravine.core.numerics import safe_sqrt
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params, Updates
from ravine.transforms.jacobi import symmetric
from ravine.transforms.linesearch.along import Direction


@rule
class ScaleByNewton(Direction):
    r"""Divide gradients by the magnitude of the Hessian.

    .. math::
        D^{-1} H D^{-1} = V \Lambda V^\top, \qquad
        u = D^{-1} V |\Lambda|^{-1} V^\top D^{-1} g, \qquad D_{ii} = \sqrt{|H_{ii}|}.

    Where the Hessian is positive definite, this is Newton's direction. Where it curves down, the
    direction leads away from the saddle instead of into it. A gradient that hardly sees the
    direction of the most negative curvature does not hide it: at least a tenth of the
    step goes that way. Eigenvalues that rounding alone could have made are lifted to that
    size.

    All eigenvalues are worked out, since a factorisation with pivots does not say which way the
    most negative curvature lies, and cannot be batched; next to a Hessian by ``p`` products the
    time does not matter up to some hundred parameters. ``update`` needs the extra argument
    ``value_fn``, the loss as a function of the parameters. Under a line search the Hessian is
    computed only at points that it accepts; but ``vmap``, and so a sweep, computes it at every
    trial. Newton's first step is mostly accepted, so that few are in vain.

    Raises:
        ValueError: at update, without the parameters or ``value_fn``.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 3.4; Dauphin et al.,
    Identifying and attacking the saddle point problem in high-dimensional non-convex
    optimization, 2014, https://arxiv.org/abs/1406.2572.

    >>> x = jnp.array([1.0, 2.0])
    >>> transform = ScaleByNewton()
    >>> u, _ = transform.update(  # of a saddle
    ...     jnp.array([2.0, -4.0]), transform.init(x), x, value_fn=lambda x: x[0] ** 2 - x[1] ** 2
    ... )
    >>> u
    Array([ 1., -2.], dtype=float32)
    """

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self,
        updates: Updates,
        state: EmptyState,
        params: Params | None = None,
        *,
        accepted: Any = True,
        restart: Any = False,
        **extra: Any,
    ) -> tuple[Updates, EmptyState]:
        check_params("ScaleByNewton", params, updates)
        x = ravel(params)
        if not x.size:
            return updates, state
        what = "the loss as a function of the parameters"
        value_fn = check_function("ScaleByNewton", "value_fn", what, extra)
        g = ravel(updates, x.dtype)

        def value(x: jax.Array) -> jax.Array:
            return jnp.asarray(value_fn(unravel(x, params))).astype(x.dtype)

        def direction() -> jax.Array:
            H = jax.jacfwd(jax.grad(value))(x)
            # Derivatives go through the gradient alone: eigenvectors may have none.
            return _divided(jax.lax.stop_gradient(H), g)

        u = jax.lax.cond(accepted, direction, lambda: jnp.zeros_like(g))
        return unravel(u, updates), state


def _divided(H: jax.Array, g: jax.Array) -> jax.Array:
    """``|H|^-1 g``."""
    eps = jnp.finfo(H.dtype).eps
    # The unit of every parameter; with it, it does not matter in what the parameters are measured.
    diagonal, rows = jnp.abs(jnp.diagonal(H)), jnp.max(jnp.abs(H), axis=1)
    D = jnp.where(diagonal > eps * rows, diagonal, jnp.where(rows > 0, rows, 1)) ** 0.5
    H = H / jnp.outer(D, D)
    eigenvalues, V = symmetric(H)
    size = jnp.abs(eigenvalues)
    size = jnp.maximum(size, g.size * eps * jnp.max(size))
    c = matmul(g / D, V)
    y = c / jnp.where(size > 0, size, 1)
    # The first is the most negative; |y_1| >= |y| / 10 there
    rest = safe_sqrt(dot(y[1:], y[1:])) / 10
    least = jnp.where(c[0] < 0, -1, 1).astype(y.dtype) * jnp.maximum(jnp.abs(y[0]), rest)
    curved = eigenvalues[0] < -(eps**0.5) * jnp.max(size)
    y = y.at[0].set(jnp.where(curved, least, y[0]))
    return matmul(V, y) / D
