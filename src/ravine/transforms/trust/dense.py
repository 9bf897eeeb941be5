"""The model of Gauss and Newton with its matrix, in the norm of Marquardt."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.flat import matmul
from ravine.core.numerics import over
from ravine.core.rule import rule
from ravine.core.types import Params
from ravine.transforms.jacobi import decomposed
from ravine.transforms.trust.model import Model, Proposal
from ravine.transforms.trust.steihaug import residuals_of


class Factors(NamedTuple):
    """The Jacobian in its own units, as ``J = U S V' D`` says it; P parameters."""

    scale: jax.Array  # (P,), the diagonal D; 0 before the first point
    singular: jax.Array  # (P,), S
    rotation: jax.Array  # (P, P), the rows of V'
    rest: jax.Array  # (P,), U'r


@rule
class ResidualModel(Model):
    r"""The model of Gauss and Newton, minimised in the ellipsoid of Levenberg and Marquardt.

    .. math::
        m(p) = \tfrac12 \|r(x) + J p\|^2, \qquad
        p = -(J^\top J + \lambda D^2)^{-1} J^\top r, \qquad \|D p\| \le \Delta,

    where :math:`D_{ii}` is the largest norm that column :math:`i` of the Jacobian has had, so
    that the units of the parameters do not matter. :math:`\lambda` is 0 where the full step
    is short enough, and otherwise makes it as long as the radius. A QR decomposition of the
    columns of :math:`J` beside :math:`r`, and the singular values of its triangle, give the
    step for any :math:`\lambda` without squaring the condition. It needs the extra
    argument ``residual_fn``, the residuals as a function of the parameters, and a loss
    that is half the sum of their squares.

    Reference: Moré, The Levenberg-Marquardt algorithm: implementation and theory, 1978,
    https://doi.org/10.1007/BFb0067700.
    """

    def init(self, x: jax.Array) -> Factors:
        zero = jnp.zeros_like(x)
        return Factors(zero, zero, jnp.zeros((x.size, x.size), x.dtype), zero)

    def look(
        self,
        state: Factors,
        x: jax.Array,
        accepted: jax.Array,
        like: Params,
        extra: dict[str, Any],
    ) -> tuple[Factors, jax.Array]:
        r = residuals_of("ResidualModel", like, extra)

        def factors() -> tuple[Factors, jax.Array]:
            J, rest = jacobian(r, x)
            norms = jnp.linalg.norm(J, axis=0)
            # D = max(D, |J e_i|)
            D = jnp.maximum(state.scale, norms)
            D = jnp.where(D > 0, D, 1)
            sound = jnp.all(jnp.isfinite(J)) & jnp.all(jnp.isfinite(rest))
            new = Factors(D, *decomposed(J / D[None], rest))
            return tree.where(sound, new, state), sound

        return jax.lax.cond(accepted, factors, lambda: (state, jnp.ones((), bool)))

    def length(self, state: Factors, x: jax.Array) -> jax.Array:
        return jnp.linalg.norm(state.scale * x)

    def propose(
        self,
        state: Factors,
        x: jax.Array,
        g: jax.Array,
        radius: jax.Array,
        like: Params,
        extra: dict[str, Any],
    ) -> Proposal:
        D, s, Vt, c = state
        damping = jax.lax.stop_gradient(damped(s, c, radius))
        # t = s^2 / (s^2 + lambda);  q = t c / s;  p = -D^-1 V q
        t = over(s**2, s**2 + damping)
        q = over(t * c, s)
        fall = t * c**2
        root = over(jnp.sqrt(t), s)[:, None] * Vt / D[None]
        return Proposal(
            step=solution(-matmul(q, Vt) / D, root, g),
            predicted=jnp.sum(fall * (2 - t)) / 2,
            slope=-jnp.sum(fall),
            length=jnp.linalg.norm(q),
            free=damping == 0,
        )


def jacobian(r: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The Jacobian of ``r``, the shorter way, and its value."""
    tall = jax.eval_shape(r, x).size >= x.size
    by = jax.jacfwd if tall else jax.jacrev
    J, value = by(lambda x: (r(x),) * 2, has_aux=True)(x)
    # Singular vectors may have no derivatives; ``solution`` has them for all that follows.
    return jax.lax.stop_gradient((J, value))


@jax.custom_jvp
def solution(p: jax.Array, root: jax.Array, g: jax.Array) -> jax.Array:
    """``p = -B^-1 g``, worked out with more digits than ``g`` has; ``B^-1`` is ``root' root``.

    Derivatives go through ``g`` alone: at a minimum the others have nothing to act on.
    """
    return p


@solution.defjvp
def _solution_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    p, root, _ = primals
    return p, -matmul(matmul(root, tangents[2]), root)


def damped(s: jax.Array, c: jax.Array, radius: jax.Array) -> jax.Array:
    """The least ``lambda >= 0`` for which ``q = s c / (s^2 + lambda)`` is no longer than radius.

    Newton's method for ``1/|q| = 1/radius``, whose left side is concave: from 0 it comes nearer
    from below, and needs few steps.
    """

    def step(_: Any, damping: jax.Array) -> jax.Array:
        q = over(s * c, s**2 + damping)
        qq, slope = jnp.sum(q**2), jnp.sum(over(q**2, s**2 + damping))
        more = over(qq, slope) * (jnp.sqrt(qq) - radius) / radius
        return jnp.maximum(damping + jnp.where(jnp.isfinite(more), more, 0), 0)

    short = jnp.linalg.norm(over(c, s)) <= radius
    found = jax.lax.fori_loop(0, 10, step, jnp.zeros_like(radius))
    return jnp.where(short, 0, found)
