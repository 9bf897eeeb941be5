"""Methods for least squares, which know the residuals."""

from typing import Annotated

from ravine.core.choice import one_of
from ravine.core.rule import rule
from ravine.core.types import STATIC, Positive
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.gauss_newton import ScaleByGaussNewton
from ravine.transforms.linesearch.along import LineSearch
from ravine.transforms.linesearch.search import Search, check_search
from ravine.transforms.linesearch.wolfe import StrongWolfe
from ravine.transforms.newton_schulz import Count
from ravine.transforms.trust.dense import ResidualModel
from ravine.transforms.trust.region import TrustRegion
from ravine.transforms.trust.steihaug import ResidualProductModel


@rule
class GaussNewton(Optimizer):
    r"""The method of Gauss and Newton with a line search, for least squares.

    .. math::
        x_{k+1} = x_k - t_k J_k^{+} r(x_k),

    the step that would solve the problem, were the residuals linear, times :math:`t_k` from a
    line search. What ``LBFGS`` says of ``update`` holds here too; besides the loss it
    needs the extra argument ``residual_fn``, the residuals as a function of the parameters, and a
    loss that is half the sum of their squares: ``minimize`` and ``sweep`` pass it if the loss is a
    ``LeastSquares(residuals)``. Fast where the residuals are small or nearly linear;
    ``LevenbergMarquardt`` is safer from far off.

    Args:
        solver: ``"dense"`` for the Jacobian itself; ``"cg"`` for conjugate gradients, with
            products of the Jacobian alone.
        max_cg_steps: at most so many products a step, at least 1.
        linesearch: ``StrongWolfe()``, ``HagerZhang()`` or ``Backtracking()``.

    Raises:
        TypeError: if a field is of the wrong kind, or there is no such solver.
        ValueError: at update, without the parameters, ``value=`` or ``residual_fn=``.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 10.3.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> t = jnp.array([0.0, 1.0, 2.0])
    >>> loss = rv.LeastSquares(lambda x: x[0] * jnp.exp(x[1] * t) - jnp.array([1.0, 2.0, 4.0]))
    >>> result = rv.minimize(loss, jnp.array([2.0, 0.5]), GaussNewton(), steps=50)
    >>> result.params.round(3)
    Array([1.   , 0.693], dtype=float32)
    """

    solver: Annotated[str, STATIC, one_of("dense", "cg")] = "dense"
    max_cg_steps: Count = 50
    linesearch: Search = StrongWolfe()

    def __post_init__(self) -> None:
        check_search("GaussNewton", self.linesearch)

    def as_chain(self) -> Chain:
        return chain(
            LineSearch(ScaleByGaussNewton(self.solver, self.max_cg_steps), self.linesearch)
        )


@rule
class LevenbergMarquardt(Optimizer):
    r"""The method of Levenberg and Marquardt, in Moré's form, for least squares.

    .. math::
        x_{k+1} = x_k - (J_k^\top J_k + \lambda_k D_k^2)^{-1} J_k^\top r(x_k),

    with :math:`\lambda_k` such that :math:`\|D_k (x_{k+1} - x_k)\|` keeps within a radius, which
    follows from how well the last step went. :math:`D_k` holds the largest norms that the
    columns of the Jacobian have had, so the units of the parameters do not matter. ``update``
    judges the trial that has just been evaluated, and moves to the next, as ``TrustRegion``
    says. Beside the loss, ``value=``, it needs the extra argument ``residual_fn``, the residuals
    as a function of the parameters, and a loss that is half the sum of their squares:
    ``minimize`` and ``sweep`` pass it if the loss is a ``LeastSquares(residuals)``. The
    Jacobian is computed at accepted points only; under ``vmap``, and so in a sweep, at
    every trial.

    Args:
        solver: ``"dense"`` for the Jacobian itself, by QR and singular values; ``"cg"`` for
            conjugate gradients, with products of the Jacobian alone and with :math:`D = I`.
        max_cg_steps: at most so many products a step, at least 1.
        radius: the first radius, greater than 0, relative to :math:`\|D_0 x_0\|`; itself a length
            where that is zero.

    Raises:
        TypeError: if a field is of the wrong kind, or there is no such solver.
        ValueError: at update, without the parameters, ``value=`` or ``residual_fn=``.

    Reference: Moré, The Levenberg-Marquardt algorithm: implementation and theory, 1978,
    https://doi.org/10.1007/BFb0067700.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> t = jnp.array([0.0, 1.0, 2.0])
    >>> loss = rv.LeastSquares(lambda x: x[0] * jnp.exp(x[1] * t) - jnp.array([1.0, 2.0, 4.0]))
    >>> result = rv.minimize(loss, jnp.array([2.0, 0.5]), LevenbergMarquardt(), steps=50)
    >>> result.params.round(3)
    Array([1.   , 0.693], dtype=float32)
    """

    solver: Annotated[str, STATIC, one_of("dense", "cg")] = "dense"
    max_cg_steps: Count = 50
    radius: Positive = 1.0

    def as_chain(self) -> Chain:
        dense = self.solver == "dense"
        model = ResidualModel() if dense else ResidualProductModel(self.max_cg_steps)
        return chain(TrustRegion(model, self.radius))
