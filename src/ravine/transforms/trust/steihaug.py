"""Models known by their products with vectors, minimised by conjugate gradients."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.errors import check_function
from ravine.core.flat import dot, ravel, unravel
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params
from ravine.transforms.newton_schulz import Count
from ravine.transforms.trust.model import Model, Proposal

Product = Callable[[jax.Array], jax.Array]


def minimized(product: Product, g: jax.Array, radius: jax.Array, max_steps: int) -> Proposal:
    """What ``steihaug`` finds, with derivatives of steps that end inside: ``dp = -B^-1 dg``."""
    product, fixed = jax.closure_convert(product, g)
    return _minimized(product, max_steps, jax.lax.stop_gradient(fixed), g, radius)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _minimized(
    product: Callable[..., jax.Array], max_steps: int, fixed: Any, g: jax.Array, radius: jax.Array
) -> Proposal:
    return steihaug(lambda v: product(v, *fixed), g, radius, max_steps)


@_minimized.defjvp
def _minimized_jvp(
    product: Any, max_steps: int, primals: Any, tangents: Any
) -> tuple[Proposal, Proposal]:
    fixed, g, radius = primals
    out = _minimized(product, max_steps, fixed, g, radius)

    def solve(times: Product, b: jax.Array) -> jax.Array:
        return steihaug(times, -b, jnp.full_like(radius, jnp.inf), max_steps).step

    dp = jax.lax.custom_linear_solve(
        lambda v: product(v, *fixed), -tangents[1], solve, solve, symmetric=True
    )
    still = jax.tree.map(_no_tangent, out)
    return out, still._replace(step=jnp.where(out.free, dp, 0))


def _no_tangent(x: jax.Array) -> Any:
    inexact = jnp.issubdtype(x.dtype, jnp.inexact)
    return jnp.zeros_like(x) if inexact else np.zeros(x.shape, jax.dtypes.float0)


class Path(NamedTuple):
    """How far conjugate gradients are; P parameters."""

    p: jax.Array  # (P,)
    r: jax.Array  # (P,), the gradient of the model at p
    d: jax.Array  # (P,), the direction
    steps: jax.Array  # int32
    done: jax.Array  # bool
    free: jax.Array  # whether p is inside the radius; bool


def steihaug(product: Product, g: jax.Array, radius: jax.Array, max_steps: int) -> Proposal:
    """Minimise ``g'p + p'Bp / 2`` in the ball, from its centre on, by conjugate gradients.

    They stop where the residual is small against the gradient, and at the sphere: when they
    reach it, or when they meet a direction along which ``B`` curves down. The loop ends
    with the slowest of the lanes. Nocedal and Wright, Numerical optimization, 2006,
    algorithm 7.2.
    """
    size = jnp.sqrt(dot(g, g))
    tol = jnp.minimum(0.5, jnp.sqrt(size)) * size

    def step(path: Path) -> Path:
        p, r, d, steps, *_ = path
        Bd = product(d)
        rr, curvature = dot(r, r), dot(d, Bd)
        down = ~(curvature > 0)
        a = rr / jnp.where(down, 1, curvature)
        out = down | ~(dot(p + a * d, p + a * d) < radius**2)
        # |p + a d| = radius
        dd, pd, pp = dot(d, d), dot(p, d), dot(p, p)
        gap = jnp.maximum(radius**2 - pp, 0)
        root = jnp.sqrt(pd**2 + dd * gap)
        far = jnp.where(pd > 0, gap / (pd + root), (root - pd) / jnp.where(dd > 0, dd, 1))
        a = jnp.where(out, jnp.where(jnp.isfinite(far), far, 0), a)
        p, r = p + a * d, r + a * Bd
        new = dot(r, r)
        d = new / jnp.where(rr > 0, rr, 1) * d - r
        done = out | ~(jnp.sqrt(new) > tol)
        return Path(p, r, d, steps + 1, done, ~out)

    def going(path: Path) -> jax.Array:
        return ~path.done & (path.steps < max_steps)

    start = Path(
        p=jnp.zeros_like(g),
        r=g,
        d=-g,
        steps=jnp.zeros((), jnp.int32),
        done=~(size > 0),
        free=jnp.ones((), bool),
    )
    path = jax.lax.while_loop(going, step, start)
    p, slope = path.p, dot(g, path.p)
    # -m(p) = -(g + Bp + g)'p / 2
    predicted = jnp.maximum(-(dot(path.r, p) + slope) / 2, 0)
    return Proposal(p, predicted, slope, jnp.sqrt(dot(p, p)), path.free)


class Products(Model):
    """A model that keeps nothing: its products are worked out where the loss has just been."""

    keeps = False
    max_cg_steps: int

    def product(self, x: jax.Array, like: Params, extra: dict[str, Any]) -> Product:
        """The product of the model's matrix at ``x`` with a vector."""
        raise NotImplementedError

    def init(self, x: jax.Array) -> EmptyState:
        return EmptyState()

    def look(
        self, state: Any, x: jax.Array, accepted: jax.Array, like: Params, extra: dict[str, Any]
    ) -> tuple[Any, jax.Array]:
        return state, jnp.ones((), bool)

    def length(self, state: Any, x: jax.Array) -> jax.Array:
        return jnp.sqrt(dot(x, x))

    def propose(
        self,
        state: Any,
        x: jax.Array,
        g: jax.Array,
        radius: jax.Array,
        like: Params,
        extra: dict[str, Any],
    ) -> Proposal:
        return minimized(self.product(x, like, extra), g, radius, self.max_cg_steps)


@rule
class HessianModel(Products):
    r"""The Hessian's quadratic model, minimised by conjugate gradients of Steihaug and Toint.

    .. math::
        m(p) = f(x) + g^\top p + \tfrac12 p^\top H p.

    A product :math:`Hv` costs about two gradients. It needs the extra argument ``value_fn``, the
    loss as a function of the parameters.

    Args:
        max_cg_steps: at most so many products a step, at least 1.

    Reference: Steihaug, The conjugate gradient method and trust regions in large scale
    optimization, 1983, https://doi.org/10.1137/0720042.
    """

    max_cg_steps: Count = 50

    def product(self, x: jax.Array, like: Params, extra: dict[str, Any]) -> Product:
        what = "the loss as a function of the parameters"
        value_fn = check_function("HessianModel", "value_fn", what, extra)

        def value(x: jax.Array) -> jax.Array:
            return jnp.asarray(value_fn(unravel(x, like))).astype(x.dtype)

        # Linearized once, and not for every product.
        return jax.linearize(jax.grad(value), x)[1]


@rule
class ResidualProductModel(Products):
    r"""The model of Gauss and Newton without its matrix, minimised by conjugate gradients.

    .. math::
        m(p) = \tfrac12 \|r(x) + J p\|^2.

    A step costs :math:`Jv` and :math:`J^\top u`, forward and backward through the residuals, for
    each of the conjugate gradients. It needs the extra argument ``residual_fn``, the residuals
    as a function of the parameters.

    Args:
        max_cg_steps: at most so many products a step, at least 1.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 10.3.
    """

    max_cg_steps: Count = 50

    def product(self, x: jax.Array, like: Params, extra: dict[str, Any]) -> Product:
        return gauss_newton_product("ResidualProductModel", x, like, extra)


def gauss_newton_product(owner: str, x: jax.Array, like: Params, extra: dict[str, Any]) -> Product:
    """The product with ``J'J`` at ``x``."""
    forward = jax.linearize(residuals_of(owner, like, extra), x)[1]
    backward = jax.linear_transpose(forward, x)
    return lambda v: backward(forward(v))[0]


def residuals_of(owner: str, like: Params, extra: dict[str, Any]) -> Product:
    """The residuals as a vector, a function of the parameters as a vector."""
    what = "the residuals as a function of the parameters (the loss a LeastSquares(residuals))"
    residual_fn = check_function(owner, "residual_fn", what, extra)
    return lambda x: ravel(residual_fn(unravel(x, like)), x.dtype)
