"""Optimizers for a smooth loss and a penalty or a constraint that is not smooth."""

from collections.abc import Callable
from typing import Any

from ravine.core.mirror import check_mirror
from ravine.core.prox import Projection, Prox, check_prox
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.mirror import MirrorStep
from ravine.transforms.proximal import AcceleratedProximalStep, ProximalStep
from ravine.transforms.proximal_backtracking import BacktrackedProximalStep


@rule
class ProximalGradient(Optimizer):
    r"""Minimize a smooth loss plus a penalty with a proximal operator: ISTA and FISTA.

    .. math::
        \min_x f(x) + g(x): \qquad
        x_{k+1} &= \mathrm{prox}_{\eta g}(y_k - \eta\,\nabla f(y_k)), \\
        y_{k+1} &= x_{k+1} + \beta_k (x_{k+1} - x_k),

    where :math:`\beta_k` is 0 without acceleration. The loss handed to ``minimize`` is :math:`f`
    alone: the penalty is in the optimizer, and its strength can be swept.

    The loss is evaluated at :math:`y_k`, and ``eval_params(state, params)`` is :math:`x_k`.
    ``minimize`` and ``sweep`` report the loss and the penalty together, at the point that was
    evaluated; what a constraint forbids counts 0. ``GradNorm(tol)`` is about the gradient mapping
    :math:`x - \mathrm{prox}_g(x - \nabla f(x))` at that point, in place of the gradient. With
    a fixed rate and acceleration they hand out the :math:`x` that follows from it; otherwise
    the point itself.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule, at most one over the largest
            curvature of the loss; ``None`` to find it by backtracking, which takes two evaluations
            a step with acceleration, and needs the loss: ``update(..., value=loss)``.
        prox: the penalty or constraint: one of ``rv.prox``, such as ``rv.prox.L1(0.1)``.
        acceleration: whether there is momentum.
        restart: whether momentum that points uphill is dropped.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems, 2009, https://doi.org/10.1137/080716542; O'Donoghue and Candès, Adaptive
    restart for accelerated gradient schemes, 2012, https://arxiv.org/abs/1204.3982.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - jnp.array([3.0, 0.2])) ** 2) / 2,
    ...     jnp.zeros(2),
    ...     ProximalGradient(0.5, rv.prox.L1(1.0)),
    ...     steps=100,
    ...     stop=rv.GradNorm(1e-5),
    ... )
    >>> result.params.round(3), str(result.status)
    (Array([2., 0.], dtype=float32), 'converged')
    """

    learning_rate: NonNegative | Schedule | None
    prox: Any
    acceleration: Static[bool] = True
    restart: Static[bool] = True

    def __post_init__(self) -> None:
        check_prox("ProximalGradient", "prox", self.prox)

    def as_chain(self) -> Chain:
        return proximal_chain(self.learning_rate, self.prox, self.acceleration, self.restart)


@rule
class ProjectedGradient(Optimizer):
    r"""Minimize a smooth loss over a set, by projecting every step on it.

    .. math::
        x_{k+1} = P(y_k - \eta\,\nabla f(y_k)), \qquad
        y_{k+1} = x_{k+1} + \beta_k (x_{k+1} - x_k).

    It is ``ProximalGradient`` with a constraint, and all that is said there holds here: with
    acceleration the loss is evaluated outside of the set, too, by as much as the momentum leads
    there; without it, only a start outside is.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule, at most one over the largest
            curvature of the loss; ``None`` to find it by backtracking.
        projection: :math:`P`, a function at module level, such as those of ``rv.projections``; it
            is called with the tree and then with ``args``.
        args: a tuple of its further arguments: numbers, which a sweep may draw, or trees.
        acceleration: whether there is momentum.
        restart: whether momentum that points uphill is dropped.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Beck and Teboulle, A fast iterative shrinkage-thresholding algorithm for linear
    inverse problems, 2009, https://doi.org/10.1137/080716542.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - jnp.array([2.0, 1.5, -1.0])) ** 2) / 2,
    ...     jnp.zeros(3),
    ...     ProjectedGradient(0.5, rv.projections.projection_simplex),
    ...     steps=100,
    ...     stop=rv.GradNorm(1e-5),
    ... )
    >>> result.params.tolist()
    [0.750..., 0.250..., 0.0]
    """

    learning_rate: NonNegative | Schedule | None
    projection: Static[Callable[..., Any]]
    args: tuple[Any, ...] = ()
    acceleration: Static[bool] = True
    restart: Static[bool] = True
    takes_arrays = True

    def __post_init__(self) -> None:
        if not callable(self.projection):
            raise TypeError(
                "ProjectedGradient: projection must be a function, such as "
                f"projections.projection_simplex, got {self.projection!r}."
            )

    def as_chain(self) -> Chain:
        prox = Projection(self.projection, self.args)
        return proximal_chain(self.learning_rate, prox, self.acceleration, self.restart)


@rule
class MirrorDescent(Optimizer):
    r"""Descend in the geometry of a mirror map, without ever leaving its set.

    .. math::
        \nabla\psi(x_{k+1}) = \nabla\psi(x_k) - \eta_k\,\nabla f(x_k).

    ``GradNorm(tol)`` is about :math:`x - P(x - \nabla f(x))`, where :math:`P` projects on the set.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        mirror_map: the geometry: ``rv.mirror.SimplexEntropy()``, ``rv.mirror.OrthantEntropy()`` or
            ``rv.mirror.Hypentropy(beta)``.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind; at init, for complex parameters with entropies.

    Reference: Beck and Teboulle, Mirror descent and nonlinear projected subgradient methods for
    convex optimization, 2003, https://doi.org/10.1016/S0167-6377(02)00231-6.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = MirrorDescent(jnp.log(3.0), rv.mirror.SimplexEntropy())
    >>> x = jnp.array([0.5, 0.5])
    >>> (x + optimizer.update(jnp.array([1.0, 0.0]), optimizer.init(x), x)[0]).tolist()
    [0.25..., 0.75...]
    """

    learning_rate: NonNegative | Schedule
    mirror_map: Any

    def __post_init__(self) -> None:
        check_mirror("MirrorDescent", self.mirror_map)

    def as_chain(self) -> Chain:
        return chain(MirrorStep(self.learning_rate, self.mirror_map))


def proximal_chain(learning_rate: Any, prox: Prox, acceleration: bool, restart: bool) -> Chain:
    """The one of three steps that the fields ask for."""
    if learning_rate is None:
        step: Any = BacktrackedProximalStep(prox, acceleration=acceleration, restart=restart)
    elif acceleration:
        step = AcceleratedProximalStep(learning_rate, prox, restart)
    else:
        step = ProximalStep(learning_rate, prox)
    return chain(step)
