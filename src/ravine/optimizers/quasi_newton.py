"""Quasi-Newton methods: directions from what the gradients tell of the Hessian."""

from ravine.core.rule import rule
from ravine.core.types import Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.bfgs import ScaleByBFGS
from ravine.transforms.chain import Chain, chain
from ravine.transforms.lbfgs import ScaleByLBFGS
from ravine.transforms.linesearch.along import LineSearch
from ravine.transforms.linesearch.search import Search, check_search
from ravine.transforms.linesearch.wolfe import StrongWolfe
from ravine.transforms.newton_schulz import Count


@rule
class LBFGS(Optimizer):
    r"""L-BFGS with a line search: a quasi-Newton method for many parameters.

    .. math::
        x_{k+1} = x_k - t_k H_k \nabla f(x_k),

    where :math:`H_k` is the inverse Hessian that the last ``memory_size`` steps tell of, as in
    ``ScaleByLBFGS``, and :math:`t_k` comes from a line search. Each ``update`` needs the loss at
    the parameters, ``update(grads, state, params, value=loss)``, and asks for one more
    evaluation: the parameters move from trial point to trial point, and ``eval_params`` is the
    last that was accepted. The loss must be the same function at every step, so no
    mini-batches.

    Args:
        memory_size: how many pairs of steps and gradient changes to keep, at least 1.
        scale_init_precond: scale the Hessian by what the last pair tells of it.
        linesearch: ``StrongWolfe()``, ``HagerZhang()`` or ``Backtracking()``.

    Raises:
        TypeError: if a field is of the wrong kind, or ``memory_size`` is less than 1.
        ValueError: at update, without the parameters or without ``value=``.

    Reference: Liu and Nocedal, On the limited memory BFGS method for large scale optimization,
    1989, https://doi.org/10.1007/BF01589116.

    >>> import jax, jax.numpy as jnp
    >>> def valley(x):
    ...     return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    >>> optimizer, x = LBFGS(), jnp.array([-1.2, 1.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(60):
    ...     value, g = jax.value_and_grad(valley)(x)
    ...     u, state = optimizer.update(g, state, x, value=value)
    ...     x += u
    >>> optimizer.eval_params(state, x).round(3)
    Array([1., 1.], dtype=float32)
    """

    memory_size: Count = 10
    scale_init_precond: Static[bool] = True
    linesearch: Search = StrongWolfe()

    def __post_init__(self) -> None:
        check_search("LBFGS", self.linesearch)

    def as_chain(self) -> Chain:
        direction = ScaleByLBFGS(self.memory_size, self.scale_init_precond)
        return chain(LineSearch(direction, self.linesearch))


@rule
class BFGS(Optimizer):
    r"""BFGS with a line search: a quasi-Newton method with a dense matrix.

    .. math::
        x_{k+1} = x_k - t_k H_k \nabla f(x_k),

    where :math:`H_k` is the inverse Hessian that all steps tell of, as in ``ScaleByBFGS``, and
    :math:`t_k` comes from a line search. What ``LBFGS`` says of ``update`` holds here too. For up
    to some hundred parameters: the matrix takes the square of their number.

    Args:
        scale_init_precond: begin with a multiple of the identity that fits the first pair.
        linesearch: ``StrongWolfe()``, ``HagerZhang()`` or ``Backtracking()``.

    Raises:
        TypeError: if a field is of the wrong kind.
        ValueError: at update, without the parameters or without ``value=``.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 6.1.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - 3) ** 4 + x**2),
    ...     jnp.zeros(2),
    ...     BFGS(),
    ...     steps=100,
    ...     stop=rv.GradNorm(1e-4),
    ... )
    >>> result.params.round(3), str(result.status)
    (Array([2., 2.], dtype=float32), 'converged')
    """

    scale_init_precond: Static[bool] = True
    linesearch: Search = StrongWolfe()

    def __post_init__(self) -> None:
        check_search("BFGS", self.linesearch)

    def as_chain(self) -> Chain:
        return chain(LineSearch(ScaleByBFGS(self.scale_init_precond), self.linesearch))
