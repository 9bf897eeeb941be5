"""Distance over gradients: steps as long as the way so far, over the gradients so far."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import at, over, safe_increment, safe_sqrt, scalar, times
from ravine.core.rule import rule, show
from ravine.core.types import DType, NonNegative, Params, Real, Static, Transform, Updates

KINDS = ("distance", "learning_rate", "heuristic")


@rule
class InitStep:
    """What fixes the first step of DoG: a kind, and its number. It prints as the pair."""

    kind: Static[str]
    value: NonNegative

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"InitStep: its first part must be one of {', '.join(map(repr, KINDS))}, got "
                f"{self.kind!r}."
            )

    def __repr__(self) -> str:
        return f"({self.kind!r}, {show(self.value)})"


def as_init_step(owner: Any) -> None:
    """Let the field ``init_step`` of ``owner`` hold the pair it was given as plain data."""
    given = owner.init_step
    if isinstance(given, InitStep):
        return
    name = f"{type(owner).__name__}: init_step"
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise TypeError(f"{name} must be a pair such as ('heuristic', 1e-6), got {given!r}.")
    try:
        step = InitStep(*given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {str(error).removeprefix('InitStep: ')}") from None
    object.__setattr__(owner, "init_step", step)


class ScaleByDogState(NamedTuple):
    """The step count (int32), the first point, the largest distance from it, and a sum."""

    count: jax.Array  # type: ignore[assignment]
    init_params: Params
    max_dist: jax.Array
    sum_sq_norm_grads: jax.Array


@rule
class ScaleByDog(Transform):
    r"""Multiply by the distance gone over the root of the sum of squared gradients.

    .. math::
        \bar r_t = \max(\bar r_{t-1},\ \|\theta_{t-1} - \theta_0\|), \qquad
        G_t = G_{t-1} + \|g_t\|^2, \qquad
        u_t = \frac{\bar r_t}{\sqrt{G_t + \epsilon}}\, g_t.

    Norms go over the whole tree. Averages of the parameters do better than the last ones.

    Args:
        init_step: what fixes the first step, a pair. ``("distance", r)`` is
            :math:`\bar r_0 = r`; ``("heuristic", a)`` is :math:`\bar r_0 = a (1 +
            \|\theta_0\|)`, where 1e-6 is a good :math:`a`, or 1e-4 with batch normalization;
            ``("learning_rate", c)`` multiplies the first gradient by :math:`c`.
        eps: :math:`\epsilon \ge 0`, inside the root.

    Raises:
        ValueError: if the kind is none of the three or its number negative; at update, if
            the parameters are not given.
        TypeError: if ``init_step`` is no pair.

    Reference: Ivgi, Hinder and Carmon, DoG is SGD's best friend: a parameter-free dynamic
    step size schedule, 2023, https://arxiv.org/abs/2302.12022.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByDog(("distance", 0.5), eps=0.0)
    >>> params = jnp.array([3.0, 4.0])
    >>> transform.update(params, transform.init(params), params)[0]
    Array([0.3, 0.4], dtype=float32)
    """

    init_step: Any
    eps: NonNegative = 1e-8

    def __post_init__(self) -> None:
        as_init_step(self)

    def init(self, params: Params) -> ScaleByDogState:
        first = scalar(self.init_step.value)
        if self.init_step.kind == "heuristic":
            first *= 1 + tree.norm(params).astype(float)
        elif self.init_step.kind == "learning_rate":
            first = jnp.zeros((), float)
        count = jnp.zeros((), jnp.int32)
        return ScaleByDogState(count, tree.copy(params), first, jnp.zeros((), float))

    def update(
        self, updates: Updates, state: ScaleByDogState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByDogState]:
        check_params("ScaleByDog", params, updates)
        # r = max(r, |theta - theta0|);  G = G + |g|^2
        way = tree.sub(tree.widened(state.init_params), params)
        r = jnp.maximum(state.max_dist, tree.norm(way).astype(float))
        total = state.sum_sq_norm_grads + tree.norm_sq(updates).astype(float)
        # u = r / sqrt(G + eps) g
        eta = over(r, safe_sqrt(total + at(self.eps, total)))
        if self.init_step.kind == "learning_rate":
            eta = jnp.where(state.count == 0, scalar(self.init_step.value), eta)
        new = ScaleByDogState(safe_increment(state.count), state.init_params, r, total)
        return tree.scale(eta, updates), new


class ScaleByDowgState(NamedTuple):
    """The first point, the largest squared distance from it, and a weighted sum."""

    init_params: Params
    estim_sq_dist: jax.Array
    weighted_sq_norm_grads: jax.Array


@rule
class ScaleByDowg(Transform):
    r"""Multiply by the squared distance over the root of the sum of gradients weighted by it.

    .. math::
        \bar r_t^2 = \max(\bar r_{t-1}^2,\ \|\theta_{t-1} - \theta_0\|^2), \qquad
        v_t = v_{t-1} + \bar r_t^2 \|g_t\|^2, \qquad
        u_t = \frac{\bar r_t^2}{\sqrt{v_t} + \epsilon}\, g_t.

    Args:
        init_estim_sq_dist: :math:`\bar r_0^2 > 0`; :math:`\epsilon` by default.
        eps: :math:`\epsilon \ge 0`, outside the root.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.

    Reference: Khaled, Mishchenko and Jin, DoWG unleashed: an efficient universal
    parameter-free gradient descent method, 2023, https://arxiv.org/abs/2305.16284.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByDowg(init_estim_sq_dist=0.25, eps=0.0)
    >>> params = jnp.array([3.0, 4.0])
    >>> transform.update(params, transform.init(params), params)[0]
    Array([0.3, 0.4], dtype=float32)
    """

    init_estim_sq_dist: NonNegative | None = None
    eps: NonNegative = 1e-4

    def init(self, params: Params) -> ScaleByDowgState:
        first = self.eps if self.init_estim_sq_dist is None else self.init_estim_sq_dist
        return ScaleByDowgState(tree.copy(params), scalar(first), jnp.zeros((), float))

    def update(
        self, updates: Updates, state: ScaleByDowgState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByDowgState]:
        check_params("ScaleByDowg", params, updates)
        # r^2 = max(r^2, |theta - theta0|^2);  v = v + r^2 |g|^2
        way = tree.sub(tree.widened(state.init_params), params)
        r_sq = jnp.maximum(state.estim_sq_dist, tree.norm_sq(way).astype(float))
        v = state.weighted_sq_norm_grads + r_sq * tree.norm_sq(updates).astype(float)
        # u = r^2 / (sqrt(v) + eps) g
        eta = over(r_sq, safe_sqrt(v) + at(self.eps, v))
        return tree.scale(eta, updates), ScaleByDowgState(state.init_params, r_sq, v)


class ScaleByDistanceOverGradientsState(NamedTuple):
    """A largest distance and a sum of squares a leaf, and the first point."""

    max_dist: Any
    grad_sum_of_squares: Any
    init_params: Params


@rule
class ScaleByDistanceOverGradients(Transform):
    r"""DoG by layers: each leaf is multiplied by a number of its own.

    .. math::
        \bar r_t = \max(\bar r_{t-1},\ \|\theta_{t-1} - \theta_0\|), \quad
        \bar r_0 = a (1 + \|\theta_0\|), \quad
        G_t = G_{t-1} + \|g_t\|^2, \quad
        u_t = \frac{c\,\bar r_t}{\sqrt{G_t + \epsilon}}\, g_t.

    Args:
        reps_rel: :math:`a \ge 0`; 1e-6 is a good one, or 1e-4 with batch normalization.
        eps: :math:`\epsilon \ge 0`, inside the root.
        param_dtype: dtype of the first point that is kept; that of the parameters by default
            (in Optax float32, in which a small step from a float64 point is lost).
        global_scale: :math:`c`, any real number.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Ivgi, Hinder and Carmon, DoG is SGD's best friend: a parameter-free dynamic
    step size schedule, 2023, appendix B, https://arxiv.org/abs/2302.12022.
    """

    reps_rel: NonNegative = 1e-6
    eps: NonNegative = 1e-8
    param_dtype: Static[DType] = None
    global_scale: Real = 1.0

    def init(self, params: Params) -> ScaleByDistanceOverGradientsState:
        dist = jax.tree.map(lambda p: times(self.reps_rel, 1 + tree.norm(p)), params)
        total = jax.tree.map(jnp.zeros_like, dist)
        return ScaleByDistanceOverGradientsState(
            dist, total, tree.copy(tree.cast(params, self.param_dtype))
        )

    def update(
        self,
        updates: Updates,
        state: ScaleByDistanceOverGradientsState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByDistanceOverGradientsState]:
        check_params("ScaleByDistanceOverGradients", params, updates)
        # r = max(r, |theta - theta0|);  G = G + |g|^2
        way = tree.sub(tree.widened(state.init_params), params)
        r = jax.tree.map(lambda r, x: jnp.maximum(r, tree.norm(x)), state.max_dist, way)
        total = jax.tree.map(lambda s, g: s + tree.norm_sq(g), state.grad_sum_of_squares, updates)

        # u = c r / sqrt(G + eps) g
        def scaled(g: Any, r: jax.Array, s: jax.Array) -> jax.Array:
            eta = over(r, safe_sqrt(s + at(self.eps, s)))
            return tree.scale(times(self.global_scale, eta), g)

        new = ScaleByDistanceOverGradientsState(r, total, state.init_params)
        return jax.tree.map(scaled, updates, r, total), new
