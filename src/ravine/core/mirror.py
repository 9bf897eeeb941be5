"""Mirror maps as data: the geometry in which mirror descent takes its steps."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from ravine.core import projections, tree
from ravine.core.numerics import at, by_part, compute_dtype, fine, over
from ravine.core.rule import described, rule
from ravine.core.types import Positive


class MirrorMap:
    """A way to points that cannot leave a set: steps are taken in the dual space."""

    takes_arrays: ClassVar[bool] = True

    def dual(self, x: Any) -> Any:
        """Return where the point ``x`` is in the dual space, in the dtype to compute in."""
        raise NotImplementedError

    def primal(self, z: Any) -> Any:
        """Return the point of the set that is at ``z`` in the dual space."""
        raise NotImplementedError

    def project(self, x: Any) -> Any:
        """Return the point of the set that is nearest in the Euclidean sense."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"mirror.{described(self)}"


@rule
class SimplexEntropy(MirrorMap):
    r"""Entropy on the simplex: exponentiated gradient, multiplicative weights, Hedge.

    .. math::
        x_i \leftarrow s\,\frac{x_i\, e^{-\eta g_i}}{\sum_j x_j\, e^{-\eta g_j}}.

    All leaves together are one point. An element that starts at 0 stays there.

    Args:
        scale: the sum :math:`s > 0` of all elements.

    Reference: Beck and Teboulle, Mirror descent and nonlinear projected subgradient methods for
    convex optimization, 2003, https://doi.org/10.1016/S0167-6377(02)00231-6.
    """

    scale: Positive = 1.0

    def dual(self, x: Any) -> Any:
        return _logs(x)

    def primal(self, z: Any) -> Any:
        leaves = jax.tree.leaves(z)
        if not tree.size(z):
            return z
        common = compute_dtype(*leaves)
        top = jax.tree.reduce(
            jnp.maximum, [jnp.max(a, initial=-jnp.inf).astype(common) for a in leaves]
        )
        weights = jax.tree.map(lambda a: jnp.exp(a - top.astype(a.dtype)), z)
        total = tree.total(weights)
        factor = over(at(self.scale, total), total)
        return jax.tree.map(lambda w: factor.astype(w.dtype) * w, weights)

    def project(self, x: Any) -> Any:
        return projections.projection_simplex(x, self.scale)


@rule
class OrthantEntropy(MirrorMap):
    r"""Entropy on the numbers above 0: :math:`x_i \leftarrow x_i\, e^{-\eta g_i}`.

    An element that starts at 0 stays there.

    Reference: Kivinen and Warmuth, Exponentiated gradient versus gradient descent for linear
    predictors, 1997, https://doi.org/10.1006/inco.1996.2612.
    """

    def dual(self, x: Any) -> Any:
        return _logs(x)

    def primal(self, z: Any) -> Any:
        return jax.tree.map(jnp.exp, z)

    def project(self, x: Any) -> Any:
        return projections.projection_non_negative(x)


@rule
class Hypentropy(MirrorMap):
    r"""Between descent and exponentiated gradient, for numbers of both signs.

    .. math::
        x_i \leftarrow \beta \sinh(\mathrm{arsinh}(x_i / \beta) - \eta g_i).

    Far from 0 on the scale of :math:`\beta` steps are multiplicative, near it additive. Of
    complex elements it takes the parts.

    Args:
        beta: :math:`\beta > 0`.

    Reference: Ghai, Hazan and Singer, Exponentiated gradient meets gradient descent, 2019,
    https://arxiv.org/abs/1902.01903.
    """

    beta: Positive = 1.0

    def dual(self, x: Any) -> Any:
        def leaf(x: jax.Array) -> jax.Array:
            return by_part(lambda part: jnp.arcsinh(part / at(self.beta, part)), x)

        return jax.tree.map(lambda x: leaf(fine(x)), x)

    def primal(self, z: Any) -> Any:
        def leaf(z: jax.Array) -> jax.Array:
            return by_part(lambda part: at(self.beta, part) * jnp.sinh(part), z)

        return jax.tree.map(leaf, z)

    def project(self, x: Any) -> Any:
        return x


def check_mirror(owner: str, mirror: Any) -> None:
    """Check that a field is a mirror map.

    Raises:
        TypeError: naming the class whose field it is.
    """
    if not isinstance(mirror, MirrorMap):
        raise TypeError(
            f"{owner}: mirror_map must be one of rv.mirror, such as mirror.SimplexEntropy(), got "
            f"{mirror!r}."
        )


def _logs(x: Any) -> Any:
    if any(jnp.iscomplexobj(a) for a in jax.tree.leaves(x)):
        raise TypeError("Entropies take real numbers: no order is defined on complex ones.")
    return jax.tree.map(lambda a: jnp.log(jnp.maximum(fine(a), 0)), x)
