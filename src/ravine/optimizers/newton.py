"""Methods that know the Hessian: Newton's with a line search, and with a trust region."""

from ravine.core.rule import rule
from ravine.core.types import Positive
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.linesearch.along import LineSearch
from ravine.transforms.linesearch.search import Search, check_search
from ravine.transforms.linesearch.wolfe import StrongWolfe
from ravine.transforms.newton import ScaleByNewton
from ravine.transforms.newton_schulz import Count
from ravine.transforms.trust.region import TrustRegion
from ravine.transforms.trust.steihaug import HessianModel


@rule
class Newton(Optimizer):
    r"""Newton's method with a line search, made to leave saddles.

    .. math::
        x_{k+1} = x_k - t_k |H_k|^{-1} \nabla f(x_k),

    with the Hessian's magnitude as in ``ScaleByNewton``, and :math:`t_k` from a line search. What
    ``LBFGS`` says of ``update`` holds here too; besides the loss it needs the extra argument
    ``value_fn``, the loss as a function of the parameters, which ``minimize`` and ``sweep``
    pass. For up to some hundred parameters: a Hessian costs as many products as there are.

    Args:
        linesearch: ``StrongWolfe()``, ``HagerZhang()`` or ``Backtracking()``.

    Raises:
        TypeError: if ``linesearch`` is none.
        ValueError: at update, without the parameters, ``value=`` or ``value_fn=``.

    Reference: Nocedal and Wright, Numerical optimization, 2006, section 3.4; Dauphin et al.,
    Identifying and attacking the saddle point problem in high-dimensional non-convex
    optimization, 2014, https://arxiv.org/abs/1406.2572.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: x[0] ** 2 + x[1] ** 4 - x[1] ** 2,
    ...     jnp.array([1.0, 0.0]),
    ...     Newton(),
    ...     steps=50,
    ...     stop=rv.GradNorm(1e-4),
    ... )
    >>> abs(result.params).round(3), str(result.status)
    (Array([0.   , 0.707], dtype=float32), 'converged')
    """

    linesearch: Search = StrongWolfe()

    def __post_init__(self) -> None:
        check_search("Newton", self.linesearch)

    def as_chain(self) -> Chain:
        return chain(LineSearch(ScaleByNewton(), self.linesearch))


@rule
class NewtonCG(Optimizer):
    r"""Newton's method in a trust region, by conjugate gradients: for many parameters.

    .. math::
        p_k \approx \operatorname*{arg\,min}_{\|p\| \le \Delta_k}
        \nabla f(x_k)^\top p + \tfrac12 p^\top \nabla^2 f(x_k)\, p,

    by products of the Hessian with vectors, of which each costs about two gradients; where it
    curves down, the step goes to the edge of the region. ``update`` judges the trial that has
    just been evaluated, and moves to the next, as ``TrustRegion`` says: one value and gradient
    each. Beside the loss, ``value=``, it needs the extra argument ``value_fn``, the loss as a
    function of the parameters, which ``minimize`` and ``sweep`` pass. The loss must be the
    same function at every step, so no mini-batches.

    Args:
        max_cg_steps: at most so many products a step, at least 1.
        radius: the first radius, greater than 0, relative to the length of the parameters; itself
            a length where they are zero.

    Raises:
        TypeError: if ``max_cg_steps`` is less than 1.
        ValueError: at update, without the parameters, ``value=`` or ``value_fn=``.

    Reference: Steihaug, The conjugate gradient method and trust regions in large scale
    optimization, 1983, https://doi.org/10.1137/0720042.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - 3) ** 4 + x**2),
    ...     jnp.zeros(2),
    ...     NewtonCG(),
    ...     steps=50,
    ...     stop=rv.GradNorm(1e-4),
    ... )
    >>> result.params.round(3), str(result.status)
    (Array([2., 2.], dtype=float32), 'converged')
    """

    max_cg_steps: Count = 50
    radius: Positive = 1.0

    def as_chain(self) -> Chain:
        return chain(TrustRegion(HessianModel(self.max_cg_steps), self.radius))
