"""The direction of Gauss and Newton, for losses that are sums of squares."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp

from ravine.core.choice import one_of
from ravine.core.errors import check_params
from ravine.core.flat import matmul, ravel, unravel
from ravine.core.numerics import over
from ravine.core.rule import rule
from ravine.core.types import STATIC, EmptyState, Params, Updates
from ravine.transforms.jacobi import decomposed
from ravine.transforms.linesearch.along import Direction
from ravine.transforms.newton_schulz import Count
from ravine.transforms.trust.dense import jacobian, solution
from ravine.transforms.trust.steihaug import gauss_newton_product, minimized, residuals_of


@rule
class ScaleByGaussNewton(Direction):
    r"""The step that would solve the least squares, were the residuals linear.

    .. math::
        u = J^{+} r, \qquad \text{the shortest } u \text{ of those that minimise } \|r - J u\|.

    ``update`` needs the extra argument ``residual_fn``, the residuals as a function of the
    parameters, and uses nothing of the gradients but their shape. Under a line search the
    Jacobian is computed only at points that it accepts; but ``vmap``, and so a sweep,
    computes it at every trial.

    Args:
        solver: ``"dense"`` for a QR decomposition of the Jacobian and the singular values of its
            triangle; ``"cg"`` for conjugate gradients on the normal equations, with products
            alone.
        max_cg_steps: at most so many products, at least 1.

    Raises:
        TypeError: if there is no such solver, or ``max_cg_steps`` is less than 1.
        ValueError: at update, without the parameters or ``residual_fn``.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 10.3.

    >>> transform, x = ScaleByGaussNewton(), jnp.array([1.0, 2.0])
    >>> def residuals(x):
    ...     return jnp.array([2.0, 4.0, 0.0]) * jnp.array([x[0], x[1], 0.0])
    >>> transform.update(x, transform.init(x), x, residual_fn=residuals)[0]
    Array([1., 2.], dtype=float32)
    """

    solver: Annotated[str, STATIC, one_of("dense", "cg")] = "dense"
    max_cg_steps: Count = 50

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
        check_params("ScaleByGaussNewton", params, updates)
        x = ravel(params)
        if not x.size:
            return updates, state
        g = ravel(updates, x.dtype)
        residuals = residuals_of("ScaleByGaussNewton", params, extra)

        def dense() -> jax.Array:
            J, r = jacobian(residuals, x)
            # The columns in units of their own: their scale does not count as rank.
            D = jnp.linalg.norm(J, axis=0)
            D = jnp.where(D > 0, D, 1)
            s, Vt, c = decomposed(J / D[None], r)
            root = over(Vt, s[:, None]) / D[None]
            return -solution(-matmul(over(c, s), Vt) / D, root, g)

        def products() -> jax.Array:
            B = gauss_newton_product("ScaleByGaussNewton", x, params, extra)
            return -minimized(B, g, jnp.full((), jnp.inf, x.dtype), self.max_cg_steps).step

        solve = dense if self.solver == "dense" else products
        u = jax.lax.cond(accepted, solve, lambda: jnp.zeros_like(g))
        return unravel(u, updates), state
