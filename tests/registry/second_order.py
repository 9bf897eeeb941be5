"""Methods that are handed the loss, or its residuals, as a function."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.numerics import abs_sq, fine
from ravine.core.tree import inner
from tests.registry.entry import Entry


def curvatures(updates: Any, params: Any) -> list[Any]:
    """The real numbers by which the parameters would have to be multiplied for the gradients."""

    def leaf(g: Any, p: Any) -> Any:
        g, p = jnp.abs(fine(g)).astype(float), jnp.abs(fine(p)).astype(float)
        return jnp.where(p > 0, g / jnp.where(p > 0, p, 1), 1)

    return jax.tree.leaves(jax.tree.map(leaf, updates, params))


def quadratic(updates: Any, params: Any) -> dict[str, Any]:
    """A bowl with its minimum at 0 and gradients of this size, and its residuals."""
    bowl = curvatures(updates, params)

    def value_fn(params: Any) -> Any:
        leaves = zip(bowl, jax.tree.leaves(params), strict=True)
        return sum(
            [jnp.sum(h * abs_sq(fine(p)).astype(float)) / 2 for h, p in leaves], jnp.zeros(())
        )

    def residual_fn(params: Any) -> Any:
        leaves = zip(bowl, jax.tree.leaves(params), strict=True)
        parts = [(h**0.5, fine(p)) for h, p in leaves]
        return [h * x.astype(float) for h, p in parts for x in (p.real, p.imag)]

    return {"value": inner(updates, params) / 2, "value_fn": value_fn, "residual_fn": residual_fn}


# They accept a point or not, and know a Hessian other than that of random gradients.
CURVED: Any = {"extra": quadratic, "smooth": False, "bowl": {}}

OPTIMIZERS = [
    Entry("Newton", ro.Newton(), **CURVED),
    Entry("NewtonCG", ro.NewtonCG(), **CURVED),
    Entry("GaussNewton", ro.GaussNewton(), **CURVED),
    Entry("GaussNewton-cg", ro.GaussNewton("cg", linesearch=rt.Backtracking()), **CURVED),
    Entry("LevenbergMarquardt", ro.LevenbergMarquardt(), **CURVED),
    Entry("LevenbergMarquardt-cg", ro.LevenbergMarquardt("cg"), **CURVED),
]

TRANSFORMS = [
    Entry("ScaleByNewton", rt.ScaleByNewton(), **CURVED),
    Entry("ScaleByGaussNewton", rt.ScaleByGaussNewton(), **CURVED),
    Entry("TrustRegion", rt.TrustRegion(rt.HessianModel()), **CURVED),
]

WRAPPERS: list[Entry] = []
