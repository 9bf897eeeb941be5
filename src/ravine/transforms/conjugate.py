"""Conjugate directions of a function that need not be quadratic."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.choice import one_of
from ravine.core.flat import dot, ravel, unravel
from ravine.core.numerics import over
from ravine.core.rule import rule
from ravine.core.types import STATIC, Params, Updates
from ravine.transforms.linesearch.along import Direction

METHODS = ("polak-ribiere+", "fletcher-reeves", "hestenes-stiefel", "dai-yuan", "hager-zhang")
ETA = 0.01
"""Bounds Hager and Zhang's factor from below, as in their paper."""

POWELL = 0.2
"""Gradients in a row are less alike than this, or the conjugacy is lost."""


class ScaleByConjugateGradientState(NamedTuple):
    """The gradient at the last accepted point, and what was made of it; P parameters."""

    begun: jax.Array  # whether there is one; bool
    updates: jax.Array  # (P,)
    conjugate: jax.Array  # (P,)


@rule
class ScaleByConjugateGradient(Direction):
    r"""Add to each gradient so much of the last direction as makes the two conjugate.

    .. math::
        u_k = g_k + \beta_k u_{k-1}, \qquad y = g_k - g_{k-1}, \quad d = -u_{k-1},

    with :math:`\beta_k` by method

    - ``"polak-ribiere+"``: :math:`\max(0,\ g_k^\top y / \|g_{k-1}\|^2)`
    - ``"fletcher-reeves"``: :math:`\|g_k\|^2 / \|g_{k-1}\|^2`
    - ``"hestenes-stiefel"``: :math:`\max(0,\ g_k^\top y / d^\top y)`
    - ``"dai-yuan"``: :math:`\|g_k\|^2 / d^\top y`
    - ``"hager-zhang"``: :math:`(y - 2 d\,\|y\|^2 / d^\top y)^\top g_k / d^\top y`, and at least
      :math:`-1 / (\|d\| \min(0.01, \|g_{k-1}\|))`.

    Where the sum would not descend, it is the gradient alone. So it is with the second and the
    fourth, which never recover from a bad direction by themselves, where
    :math:`|g_k^\top g_{k-1}| \ge 0.2\,\|g_k\|^2`, by Powell's rule.

    Args:
        method: one of the above.

    Raises:
        TypeError: if there is no such method.

    Reference: Hager and Zhang, A survey of nonlinear conjugate gradient methods, Pacific
    Journal of Optimization 2(1), 2006; A new conjugate gradient method with guaranteed descent
    and an efficient line search, 2005, https://doi.org/10.1137/030601880.

    >>> transform = ScaleByConjugateGradient("fletcher-reeves")
    >>> state = transform.init(jnp.zeros(2))
    >>> for g in (jnp.array([1.0, 0.0]), jnp.array([0.0, 2.0])):
    ...     u, state = transform.update(g, state, g)
    >>> u
    Array([4., 2.], dtype=float32)
    """

    method: Annotated[str, STATIC, one_of(*METHODS)] = "polak-ribiere+"

    def init(self, params: Params) -> ScaleByConjugateGradientState:
        x = ravel(params)
        return ScaleByConjugateGradientState(
            jnp.zeros((), bool), jnp.zeros_like(x), jnp.zeros_like(x)
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByConjugateGradientState,
        params: Params | None = None,
        *,
        accepted: Any = True,
        restart: Any = False,
        **extra: Any,
    ) -> tuple[Updates, ScaleByConjugateGradientState]:
        g = ravel(updates, state.updates.dtype)
        u = g + self._beta(g, state.updates, -state.conjugate) * state.conjugate
        keep = state.begun & (dot(u, g) > 0)
        if self.method in ("fletcher-reeves", "dai-yuan"):
            keep &= jnp.abs(dot(g, state.updates)) < POWELL * dot(g, g)
        u = jnp.where(keep, u, g)
        begun = (state.begun | accepted) & ~jnp.asarray(restart)
        g, kept = (
            jnp.where(accepted, new, old) for new, old in ((g, state.updates), (u, state.conjugate))
        )
        return unravel(u, updates), ScaleByConjugateGradientState(begun, g, kept)

    def _beta(self, g: jax.Array, last: jax.Array, d: jax.Array) -> jax.Array:
        """How much of the last direction to add; 0 where it is not defined."""
        y = g - last
        dy, gg, last_gg = dot(d, y), dot(g, g), dot(last, last)
        if self.method == "polak-ribiere+":
            return jnp.maximum(over(dot(g, y), last_gg), 0)
        if self.method == "fletcher-reeves":
            return over(gg, last_gg)
        if self.method == "hestenes-stiefel":
            return jnp.maximum(over(dot(g, y), dy), 0)
        if self.method == "dai-yuan":
            return over(gg, dy)
        beta = over(dot(y, g) - 2 * over(dot(y, y), dy) * dot(d, g), dy)
        size = jnp.sqrt(dot(d, d)) * jnp.minimum(ETA, jnp.sqrt(last_gg))
        return jnp.maximum(beta, -over(jnp.ones_like(size), size))
