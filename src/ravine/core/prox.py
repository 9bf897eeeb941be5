r"""Penalties and constraints as data, each with its proximal operator.

The proximal operator of a penalty :math:`g` is the step that it takes by itself:
:math:`\mathrm{prox}_{\eta g}(x) = \arg\min_z \eta\, g(z) + \frac12 \|z - x\|^2`; that of a
constraint is the projection. Strengths and radii are leaves, so a sweep may draw them.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import projections, tree, types
from ravine.core.numerics import abs_sq, at, complement, fine, over, real_dtype, safe_sqrt, times
from ravine.core.paths import Mask, resolve
from ravine.core.rule import described, rule
from ravine.core.types import STATIC, Canonical, Fraction, Static

Size: TypeAlias = types.NonNegative
"""A strength, or a radius: at least 0, a number or an array that broadcasts to every leaf."""


class Prox:
    """A penalty or a constraint on a tree of parameters: a proximal operator, and a value.

    Norms take complex numbers by magnitude; ``NonNegative`` and ``Box`` bound both parts.
    """

    takes_arrays: ClassVar[bool] = True

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        """Return the proximal point of the tree ``x`` with step size ``step``, in its dtypes."""
        raise NotImplementedError

    def value(self, x: Any) -> jax.Array:
        """Return the penalty at ``x``; what a constraint forbids is not counted, it is 0."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"prox.{described(self)}"


class Constraint(Prox):
    """A set: the step is the projection on it, whatever its size."""

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        return self.project(x)

    def project(self, x: Any) -> Any:
        """Return the nearest point of the set."""
        raise NotImplementedError

    def value(self, x: Any) -> jax.Array:
        return jnp.zeros((), float)


@rule
class L1(Prox):
    r"""The lasso's penalty :math:`\lambda \|x\|_1`, which makes elements exactly 0.

    .. math::
        \mathrm{prox}(x)_i = \mathrm{sign}(x_i) \max(|x_i| - \eta\lambda, 0).

    Args:
        strength: :math:`\lambda \ge 0`, a number or an array that broadcasts to every leaf.
        positive: whether elements must be at least 0, too.

    Reference: Tibshirani, Regression shrinkage and selection via the lasso, 1996.

    >>> L1(0.5)(jnp.array([2.0, -0.25, -1.0]))
    Array([ 1.5,  0. , -0.5], dtype=float32)
    """

    strength: Size
    positive: Static[bool] = False

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        return _each(lambda x: _shrunk(x, at(step, x) * at(self.strength, x), self.positive), x)

    def value(self, x: Any) -> jax.Array:
        return _total(lambda x: at(self.strength, x) * jnp.abs(x), x)


@rule
class ElasticNet(Prox):
    r"""The elastic net: :math:`\alpha(\rho \|x\|_1 + \frac{1-\rho}2 \|x\|_2^2)`.

    .. math::
        \mathrm{prox}(x)_i = \frac{\mathrm{sign}(x_i) \max(|x_i| - \eta\alpha\rho, 0)}
        {1 + \eta\alpha(1 - \rho)}.

    Args:
        strength: :math:`\alpha \ge 0`, a number or an array that broadcasts to every leaf.
        l1_ratio: :math:`\rho` in [0, 1]: 1 is the lasso, 0 is ridge regression.
        positive: whether elements must be at least 0, too.

    Reference: Zou and Hastie, Regularization and variable selection via the elastic net, 2005.

    >>> ElasticNet(1.0, l1_ratio=0.5)(jnp.array([2.0, -0.25]))
    Array([1., 0.], dtype=float32)
    """

    strength: Size
    l1_ratio: Fraction = 0.5
    positive: Static[bool] = False

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        def leaf(x: jax.Array) -> jax.Array:
            size = at(step, x) * at(self.strength, x)
            shrunk = _shrunk(x, size * at(self.l1_ratio, x), self.positive)
            return over(shrunk, 1 + _like(size * at(complement(self.l1_ratio), x), x))

        return _each(leaf, x)

    def value(self, x: Any) -> jax.Array:
        def leaf(x: jax.Array) -> jax.Array:
            rho, rest = at(self.l1_ratio, x), at(complement(self.l1_ratio), x)
            return at(self.strength, x) * (rho * jnp.abs(x) + rest / 2 * abs_sq(x))

        return _total(leaf, x)


def as_groups(groups: Any) -> tuple[int, ...] | None:
    """Group numbers, from any sequence, as a tuple."""
    if groups is None:
        return None
    numbers = np.asarray(groups)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or numbers.min(initial=0) < 0:
        raise TypeError("it must be a list of group numbers from 0 on, one an element")
    return tuple(numbers.tolist())


@rule
class GroupLasso(Prox):
    r"""The group lasso's penalty :math:`\sum_G \lambda \|x_G\|_2`: groups are 0 as a whole.

    .. math::
        \mathrm{prox}(x)_G = \max\Big(1 - \frac{\eta\lambda}{\|x_G\|_2}, 0\Big)\, x_G.

    Args:
        strength: :math:`\lambda \ge 0`, a number, or an array with one for each group.
        axis: the axes over which the norm is taken: ``-1`` makes a group of each row of a
            matrix. By default a leaf is a group.
        groups: in place of that, the number of each element's group, from 0 on, for leaves that
            are vectors: ``[0, 0, 1, 1, 1]``.

    Raises:
        ValueError: if both ``axis`` and ``groups`` are given.

    Reference: Yuan and Lin, Model selection and estimation in regression with grouped variables,
    2006. (Theirs is stronger on larger groups: give ``strength`` times the root of each size.)

    >>> GroupLasso(2.5, axis=-1)(jnp.array([[3.0, 4.0], [1.0, 1.0]]))
    Array([[1.5, 2. ],
           [0. , 0. ]], dtype=float32)
    >>> GroupLasso(2.5, groups=[0, 1, 0])(jnp.array([3.0, 1.0, 4.0]))
    Array([1.5, 0. , 2. ], dtype=float32)
    """

    strength: Size
    axis: Static[int | tuple[int, ...] | None] = None
    groups: Annotated[Any, STATIC, Canonical(as_groups)] = None

    def __post_init__(self) -> None:
        if self.axis is not None and self.groups is not None:
            raise ValueError("GroupLasso: give axis or groups, not both.")

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        def leaf(x: jax.Array) -> jax.Array:
            norm = self._norms(x)
            size = at(step, x) * self._strengths(x, norm)
            factor = jnp.where(norm > size, 1 - size / jnp.where(norm > 0, norm, 1), 0)
            factor = factor if self.groups is None else factor[np.asarray(self.groups)]
            return times(_like(factor, x), x)

        return _each(leaf, x)

    def value(self, x: Any) -> jax.Array:
        def leaf(x: jax.Array) -> jax.Array:
            norm = self._norms(x)
            return self._strengths(x, norm) * norm

        return _total(leaf, x)

    def _norms(self, x: jax.Array) -> jax.Array:
        """One norm a group, in a shape that broadcasts to ``x``, or that of the groups."""
        if self.groups is None:
            return safe_sqrt(jnp.sum(abs_sq(x), axis=self.axis, keepdims=True))
        if x.shape != (len(self.groups),):
            raise ValueError(
                f"GroupLasso: groups has {len(self.groups)} elements, and a leaf has the shape "
                f"{x.shape}. It is for one vector: pick it with prox.Masked, or use axis."
            )
        count = max(self.groups, default=-1) + 1
        return safe_sqrt(jax.ops.segment_sum(abs_sq(x), np.asarray(self.groups), count))

    def _strengths(self, x: jax.Array, norm: jax.Array) -> jax.Array:
        s = at(self.strength, x)
        # An array has one for each group, without the axes that the norm took.
        return jnp.broadcast_to(s.reshape(norm.shape) if s.size == norm.size else s, norm.shape)


@rule
class Ridge(Prox):
    r"""Ridge regression's penalty :math:`\frac\lambda2 \|x\|_2^2`.

    .. math::
        \mathrm{prox}(x) = x / (1 + \eta\lambda).

    Args:
        strength: :math:`\lambda \ge 0`, a number or an array that broadcasts to every leaf.

    >>> Ridge(1.0)(jnp.array([2.0, -1.0]))
    Array([ 1. , -0.5], dtype=float32)
    """

    strength: Size

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        return _each(lambda x: over(x, 1 + _like(at(step, x) * at(self.strength, x), x)), x)

    def value(self, x: Any) -> jax.Array:
        return _total(lambda x: at(self.strength, x) / 2 * abs_sq(x), x)


@rule
class NonNegative(Constraint):
    """No element below 0; of complex elements, neither part.

    >>> NonNegative()(jnp.array([2.0, -1.0]))
    Array([2., 0.], dtype=float32)
    """

    def project(self, x: Any) -> Any:
        return projections.projection_non_negative(x)


@rule
class Box(Constraint):
    """Elements between bounds.

    Args:
        lower: a number, or a tree of numbers or arrays like the parameters or a prefix of them.
        upper: likewise; may be infinite.

    >>> Box(0.0, 1.0)(jnp.array([2.0, -1.0]))
    Array([1., 0.], dtype=float32)
    """

    lower: Any = 0.0
    upper: Any = float("inf")

    def project(self, x: Any) -> Any:
        return projections.projection_box(x, self.lower, self.upper)


@rule
class Simplex(Constraint):
    """No element below 0, and a given sum; all leaves together are one point.

    Args:
        scale: the sum, at least 0.

    >>> Simplex()(jnp.array([2.0, 1.5, -1.0]))
    Array([0.75, 0.25, 0.  ], dtype=float32)
    """

    scale: Size = 1.0

    def project(self, x: Any) -> Any:
        return projections.projection_simplex(x, self.scale)


@rule
class L1Ball(Constraint):
    """The sum of absolute values at most ``scale``; all leaves together are one point.

    Args:
        scale: the radius, at least 0.

    >>> L1Ball()(jnp.array([2.0, -1.5, 0.0]))
    Array([ 0.75, -0.25,  0.  ], dtype=float32)
    """

    scale: Size = 1.0

    def project(self, x: Any) -> Any:
        return projections.projection_l1_ball(x, self.scale)


@rule
class L2Ball(Constraint):
    """The Euclidean norm at most ``scale``; all leaves together are one point.

    Args:
        scale: the radius, at least 0.

    >>> L2Ball(2.5)(jnp.array([3.0, -4.0]))
    Array([ 1.5, -2. ], dtype=float32)
    """

    scale: Size = 1.0

    def project(self, x: Any) -> Any:
        return projections.projection_l2_ball(x, self.scale)


@rule
class Projection(Constraint):
    """A set, by the function that projects on it.

    Args:
        projection: a function at module level, such as those of ``rv.projections``; it is called
            with the tree and then with ``args``.
        args: a tuple of its further arguments: numbers or trees.

    >>> Projection(projections.projection_halfspace, (jnp.ones(2), 1.0))(jnp.array([1.0, 2.0]))
    Array([0., 1.], dtype=float32)
    """

    projection: Static[Callable[..., Any]]
    args: tuple[Any, ...] = ()

    def project(self, x: Any) -> Any:
        return self.projection(x, *self.args)


@rule
class Masked(Prox):
    """A penalty or constraint on the leaves in a mask; the others are free.

    Args:
        inner: the penalty or constraint.
        mask: which leaves: a glob over paths (``"*kernel"``), a tuple of globs, a function
            from the parameters to a tree of bools, or such a tree, also a prefix.

    >>> Masked(L1(1.0), "*kernel")({"bias": jnp.ones(1), "kernel": jnp.ones(1)})
    {'bias': Array([1.], dtype=float32), 'kernel': Array([0.], dtype=float32)}
    """

    inner: Any
    mask: Static[Mask]

    def __post_init__(self) -> None:
        check_prox("prox.Masked", "inner", self.inner)

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        select = resolve(self.mask, x)
        return select.merge({True: self.inner(select.keep(True, x), step)}, x)

    def value(self, x: Any) -> jax.Array:
        return self.inner.value(resolve(self.mask, x).keep(True, x))


@rule
class EachLeaf(Prox):
    """A penalty or constraint on every leaf by itself: each a simplex, each a ball.

    Args:
        inner: the penalty or constraint.

    >>> EachLeaf(Simplex())((jnp.array([2.0, 1.0]), jnp.array([3.0])))
    (Array([1., 0.], dtype=float32), Array([1.], dtype=float32))
    """

    inner: Any

    def __post_init__(self) -> None:
        check_prox("prox.EachLeaf", "inner", self.inner)

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        return jax.tree.map(lambda leaf: self.inner(leaf, step), x)

    def value(self, x: Any) -> jax.Array:
        return sum(map(self.inner.value, jax.tree.leaves(x)), jnp.zeros((), float))


@rule
class SeparableSum(Prox):
    """Several penalties and constraints, each on leaves of its own.

    The sum's proximal operator is then that of each, one after another; on the same leaves it
    is not, in general.

    Args:
        parts: a tuple of them, as a rule ``Masked``.

    >>> SeparableSum((Masked(L1(1.0), "a"), Masked(NonNegative(), "b")))(
    ...     {"a": jnp.array([3.0]), "b": jnp.array([-2.0])}
    ... )
    {'a': Array([2.], dtype=float32), 'b': Array([0.], dtype=float32)}
    """

    parts: tuple[Any, ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            check_prox("prox.SeparableSum", "parts", part)

    def __call__(self, x: Any, step: Any = 1.0) -> Any:
        for part in self.parts:
            x = part(x, step)
        return x

    def value(self, x: Any) -> jax.Array:
        return sum((part.value(x) for part in self.parts), jnp.zeros((), float))


def check_prox(owner: str, name: str, prox: Any) -> None:
    """Check that a field is a penalty or a constraint.

    Raises:
        TypeError: naming the class and the field.
    """
    # JAX may put anything in a field, but never calls the constructor with it.
    if not isinstance(prox, Prox):
        raise TypeError(
            f"{owner}: {name} must be a penalty or a constraint such as prox.L1(0.1) or "
            f"prox.Simplex(), got {prox!r}. A projection goes in as prox.Projection(function)."
        )


def _shrunk(x: jax.Array, t: jax.Array, positive: bool) -> jax.Array:
    """``x`` drawn towards 0 by ``t``, as far as it goes."""
    t = _like(t, x)
    if positive:
        return jnp.maximum(x - t.astype(x.dtype), 0)
    if jnp.iscomplexobj(x):
        return times(jnp.maximum(jnp.abs(x) - t, 0), jnp.sign(x))
    return x - jnp.clip(x, -t, t)


def _like(number: Any, x: jax.Array) -> jax.Array:
    """A number or array broadcast to ``x``, in its real dtype."""
    return jnp.broadcast_to(jnp.asarray(number, real_dtype(x.dtype)), x.shape)


def _each(f: Callable[[jax.Array], jax.Array], x: Any) -> Any:
    return jax.tree.map(lambda leaf: f(fine(leaf)).astype(jnp.result_type(leaf)), x)


def _total(f: Callable[[jax.Array], jax.Array], x: Any) -> jax.Array:
    """The sum of what ``f`` says of every element, in the default float dtype."""
    return tree.total(jax.tree.map(lambda leaf: f(fine(leaf)), x)).astype(float)
