"""Quasi-Newton methods between bounds."""

from typing import Any

from ravine.core.rule import rule
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.lbfgsb import ScaleByLBFGSB
from ravine.transforms.linesearch.along import LineSearch
from ravine.transforms.linesearch.box import Box
from ravine.transforms.linesearch.search import Search, check_search
from ravine.transforms.linesearch.wolfe import StrongWolfe
from ravine.transforms.newton_schulz import Count


@rule
class LBFGSB(Optimizer):
    r"""L-BFGS between bounds, ``lower <= x <= upper``, which no evaluation leaves.

    .. math::
        x_{k+1} = P(x_k - t_k u_k), \qquad
        u_F = (B_{FF})^{-1} g_F, \quad u_A = g_A / \theta,

    where :math:`P` projects into the box, :math:`A` are the parameters at a bound that the
    gradient pushes outwards, :math:`F` the others, and :math:`B` the Hessian that the last steps
    tell of, as in ``ScaleByLBFGSB``. Unlike the paper's algorithm, the bounds that a step meets are
    found by the line search, along the projected path. The gradient by which a sweep judges a
    point is :math:`x - P(x - g)`: ``GradNorm(tol)`` means that no step inside the box leads down.
    A start outside is moved inside first. What ``LBFGS`` says of ``update`` holds here too.

    Args:
        lower: a number for all parameters, or a tree of numbers and arrays that broadcast to
            their leaves; ``-inf`` for none.
        upper: the same; ``inf`` for none. Where the two are equal the parameter is fixed.
        memory_size: how many pairs of steps and gradient changes to keep, at least 1.
        linesearch: ``StrongWolfe()``, ``HagerZhang()`` or ``Backtracking()``.

    Raises:
        TypeError: if a field is of the wrong kind, or ``memory_size`` is less than 1.
        ValueError: at init, if the bounds do not fit the parameters; at update, without the
            parameters or without ``value=``.

    Reference: Byrd, Lu, Nocedal and Zhu, A limited memory algorithm for bound constrained
    optimization, 1995, https://doi.org/10.1137/0916069; Bertsekas, Projected Newton methods for
    optimization problems with simple constraints, 1982, https://doi.org/10.1137/0320018.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - jnp.array([-2.0, 0.5])) ** 2),
    ...     jnp.array([0.7, 0.7]),
    ...     LBFGSB(lower=0.0, upper=1.0),
    ...     steps=50,
    ...     stop=rv.GradNorm(1e-5),
    ... )
    >>> result.params.round(3), str(result.status)
    (Array([0. , 0.5], dtype=float32), 'converged')
    """

    lower: Any = -float("inf")
    upper: Any = float("inf")
    memory_size: Count = 10
    linesearch: Search = StrongWolfe()
    takes_arrays = True

    def __post_init__(self) -> None:
        check_search("LBFGSB", self.linesearch)
        try:
            Box(self.lower, self.upper)
        except TypeError as error:
            raise TypeError(f"LBFGSB: {error}") from None

    def as_chain(self) -> Chain:
        box = Box(self.lower, self.upper)
        return chain(LineSearch(ScaleByLBFGSB(box, self.memory_size), self.linesearch, box=box))
