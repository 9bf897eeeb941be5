"""The nearest point of a set, for a whole tree of arrays taken as one vector.

Every function computes in float32 or finer and returns the dtypes of its tree. All of them can
be differentiated, and mapped over their radius or bounds with ``vmap``.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree as tree_math
from ravine.core.numerics import at, by_part, compute_dtype, fine, over, real_dtype, times, widen


def projection_non_negative(tree: Any) -> Any:
    r"""The nearest point with no element below 0: :math:`\max(x, 0)`.

    Of complex elements, the real and the imaginary part are each at least 0.

    >>> import jax.numpy as jnp
    >>> projection_non_negative(jnp.array([2.0, -1.0]))
    Array([2., 0.], dtype=float32)
    """
    return _each(lambda x: by_part(lambda part: jnp.maximum(part, 0), x), tree)


def projection_box(tree: Any, lower: Any, upper: Any) -> Any:
    r"""The nearest point with :math:`l \le x \le u` in every element.

    Args:
        tree: the point.
        lower: :math:`l`, a number, or a tree of numbers or arrays like ``tree`` or a prefix of it.
        upper: :math:`u`, likewise; infinite bounds bind nothing.

    >>> import jax.numpy as jnp
    >>> projection_box({"a": jnp.array([2.0, -3.0]), "b": 0.5}, -1.0, {"a": 1.0, "b": 0.25})
    {'a': Array([ 1., -1.], dtype=float32), 'b': Array(0.25, dtype=float32)}
    """

    def leaf(x: jax.Array, low: Any, high: Any) -> jax.Array:
        low, high = jnp.broadcast_to(at(low, x), x.shape), jnp.broadcast_to(at(high, x), x.shape)
        return by_part(lambda part: jnp.minimum(jnp.maximum(part, low), high), x)

    return _each(leaf, tree, _spread(lower, tree), _spread(upper, tree))


def projection_hypercube(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`0 \le x \le s` in every element.

    Args:
        tree: the point.
        scale: :math:`s \ge 0`, a number, or a tree like ``tree`` or a prefix of it.

    >>> import jax.numpy as jnp
    >>> projection_hypercube(jnp.array([0.25, -1.0, 3.0]))
    Array([0.25, 0.  , 1.  ], dtype=float32)
    """
    return projection_box(tree, 0.0, scale)


def projection_linf_ball(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`\max_i |x_i| \le s`.

    Args:
        tree: the point.
        scale: the radius :math:`s \ge 0`.

    >>> import jax.numpy as jnp
    >>> projection_linf_ball(jnp.array([0.25, -3.0]), 2.0)
    Array([ 0.25, -2.  ], dtype=float32)
    """

    def leaf(x: jax.Array) -> jax.Array:
        s = at(scale, x)
        if not jnp.iscomplexobj(x):
            return jnp.clip(x, -s, s)
        size = jnp.abs(jnp.where(x == 0, 1, x))
        return jnp.where(size <= s, x, times(s / size, x))

    return _each(leaf, tree)


def projection_l2_sphere(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`\|x\|_2 = s`.

    All points are equally near to the origin; of those it takes the one with equal elements.

    Args:
        tree: the point.
        scale: the radius :math:`s \ge 0`.

    >>> import jax.numpy as jnp
    >>> projection_l2_sphere((jnp.array([3.0]), jnp.array(-4.0)), 10.0)
    (Array([6.], dtype=float32), Array(-8., dtype=float32))
    """
    norm = tree_math.norm(tree)
    s, count = at(scale, norm), max(tree_math.size(tree), 1)
    # x = s x / |x|
    factor = over(s, norm)
    return _each(lambda x: jnp.where(norm == 0, _as(s / count**0.5, x), times(factor, x)), tree)


def projection_l2_ball(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`\|x\|_2 \le s`.

    Args:
        tree: the point.
        scale: the radius :math:`s \ge 0`.

    >>> import jax.numpy as jnp
    >>> projection_l2_ball(jnp.array([3.0, -4.0]), 2.5)
    Array([ 1.5, -2. ], dtype=float32)
    """
    norm = tree_math.norm(tree)
    s = at(scale, norm)
    # x = x min(1, s / |x|)
    factor = jnp.where(norm <= s, 1, over(s, norm))
    return _each(lambda x: times(factor, x), tree)


def projection_simplex(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`x \ge 0` and :math:`\sum_i x_i = s`.

    .. math::
        p_i = \max(x_i - \tau, 0), \qquad \tau \text{ such that } \textstyle\sum_i p_i = s.

    Args:
        tree: the point, real; all its elements together sum to :math:`s`.
        scale: the sum :math:`s \ge 0`.

    Raises:
        TypeError: if a leaf is complex.

    Reference: Duchi et al., Efficient projections onto the l1-ball for learning in high
    dimensions, 2008, https://doi.org/10.1145/1390156.1390191.

    >>> import jax.numpy as jnp
    >>> projection_simplex(jnp.array([2.0, 1.5, -1.0]))
    Array([0.75, 0.25, 0.  ], dtype=float32)
    """
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(tree)):
        raise TypeError(
            "projection_simplex takes real numbers: no order is defined on complex ones."
        )
    leaves = [fine(x) for x in jax.tree.leaves(tree)]
    if not tree_math.size(tree):
        return tree
    common = compute_dtype(*leaves)
    values = jnp.concatenate([x.ravel().astype(common) for x in leaves])
    tau = _threshold(values, jnp.asarray(scale, common))
    return _each(lambda x: jnp.maximum(x - _as(tau, x), 0), tree)


def projection_l1_sphere(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`\|x\|_1 = s`.

    Where an element of 0 has to move, it grows: both directions are equally near.

    Args:
        tree: the point.
        scale: the radius :math:`s \ge 0`.

    >>> import jax.numpy as jnp
    >>> projection_l1_sphere(jnp.array([-0.25, 0.0]), 1.0)
    Array([-0.625,  0.375], dtype=float32)
    """
    sizes = jax.tree.map(lambda x: jnp.abs(fine(x)), tree)
    near = projection_simplex(sizes, scale)
    return _each(lambda x, p: times(p.real, jnp.where(x == 0, 1, jnp.sign(x))), tree, near)


def projection_l1_ball(tree: Any, scale: Any = 1) -> Any:
    r"""The nearest point with :math:`\|x\|_1 \le s`.

    Args:
        tree: the point.
        scale: the radius :math:`s \ge 0`.

    >>> import jax.numpy as jnp
    >>> projection_l1_ball(jnp.array([2.0, -1.5, 0.0]))
    Array([ 0.75, -0.25,  0.  ], dtype=float32)
    """
    norm = tree_math.sum_abs(tree)
    inside = norm <= at(scale, norm)
    return tree_math.where(inside, tree, projection_l1_sphere(tree, scale))


def projection_vector(x: Any, a: Any) -> Any:
    r"""The nearest multiple of a vector: :math:`\frac{\langle a, x\rangle}{\|a\|^2}\, a`.

    Args:
        x: the point.
        a: the vector, a tree like ``x``; at 0 there is only 0 to go to.

    >>> import jax.numpy as jnp
    >>> projection_vector(jnp.array([3.0, 5.0]), jnp.array([2.0, 0.0]))
    Array([3., 0.], dtype=float32)
    """
    share = over(tree_math.vdot(a, x), tree_math.norm_sq(a))
    return _each(lambda _, a: share.astype(a.dtype) * a, x, a)


def projection_hyperplane(x: Any, a: Any, b: Any) -> Any:
    r"""The nearest point with :math:`\langle a, x\rangle = b`.

    Args:
        x: the point.
        a: the normal of the plane, a tree like ``x``, not 0.
        b: the number.

    >>> import jax.numpy as jnp
    >>> projection_hyperplane(jnp.array([3.0, 5.0]), jnp.array([0.0, 2.0]), 4.0)
    Array([3., 2.], dtype=float32)
    """
    missing, square = _missing(x, a, b)
    return _each(lambda x, a: x + over(missing, square).astype(x.dtype) * a, x, a)


def projection_halfspace(x: Any, a: Any, b: Any) -> Any:
    r"""The nearest point with :math:`\langle a, x\rangle \le b`.

    Args:
        x: the point.
        a: the normal of the plane, a tree like ``x``, not 0; it points away from the half space.
        b: the number.

    >>> import jax.numpy as jnp
    >>> projection_halfspace(jnp.array([3.0, 1.0]), jnp.array([0.0, 2.0]), 4.0)
    Array([3., 1.], dtype=float32)
    """
    missing, square = _missing(x, a, b)
    step = over(jnp.minimum(missing.real, 0), square)
    return _each(lambda x, a: x + times(step, a), x, a)


def _missing(x: Any, a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
    """What the inner product lacks of ``b``, and the squared norm of ``a``."""
    product = tree_math.vdot(a, x)
    return jnp.asarray(b, product.dtype) - product, tree_math.norm_sq(a)


def _threshold(x: jax.Array, s: jax.Array) -> jax.Array:
    """The ``tau`` with which ``max(x - tau, 0)`` sums to ``s``, for a vector that is not empty."""
    # Moved so that the largest is 0: what all elements share would cost digits in the sums.
    top = jax.lax.stop_gradient(jnp.max(x))
    x = x - top
    falling = jax.lax.stop_gradient(-jnp.sort(-x))
    ranks = jnp.arange(1, x.size + 1).astype(x.dtype)
    taus = (jnp.cumsum(falling) - jax.lax.stop_gradient(s)) / ranks
    count = jnp.maximum(jnp.count_nonzero(falling > taus), 1)
    # Which elements stay is a constant to differentiation; their mean excess is not.
    stays = x >= falling[count - 1]
    excess = jnp.sum(jnp.where(stays, x, 0)) - s
    return top + excess / jnp.count_nonzero(stays).astype(x.dtype)


def _each(f: Any, tree: Any, *others: Any) -> Any:
    """``f`` of every leaf in the finest dtype at hand, its result in the leaf's own dtype."""

    def leaf(x: Any, *rest: Any) -> jax.Array:
        return f(*widen(x, *rest)).astype(jnp.result_type(x))

    return jax.tree.map(leaf, tree, *others)


def _as(number: jax.Array, x: jax.Array) -> jax.Array:
    return number.astype(real_dtype(x.dtype)).astype(x.dtype)


def _spread(bound: Any, tree: Any) -> Any:
    """One bound a leaf, where a number may stand for a whole subtree."""
    return jax.tree.map(lambda b, part: jax.tree.map(lambda _: b, part), bound, tree)
