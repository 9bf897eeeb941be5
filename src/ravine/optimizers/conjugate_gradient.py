"""Methods that remember one direction or one step: conjugate gradients, Barzilai and Borwein."""

from typing import Annotated

from ravine.core.choice import one_of
from ravine.core.rule import rule
from ravine.core.types import STATIC, Positive
from ravine.optimizers.base import Optimizer
from ravine.transforms.barzilai_borwein import STEPS, ScaleByBarzilaiBorwein
from ravine.transforms.chain import Chain, chain
from ravine.transforms.conjugate import METHODS, ScaleByConjugateGradient
from ravine.transforms.linesearch.along import LineSearch
from ravine.transforms.linesearch.search import Search, check_search
from ravine.transforms.linesearch.wolfe import StrongWolfe
from ravine.transforms.scale import Scale


@rule
class NonlinearCG(Optimizer):
    r"""Nonlinear conjugate gradients with a line search.

    .. math::
        x_{k+1} = x_k + t_k d_k, \qquad d_k = -\nabla f(x_k) + \beta_k d_{k-1},

    with :math:`\beta_k` by one of the five formulas of ``ScaleByConjugateGradient``, and
    :math:`t_k` from a line search. What ``LBFGS`` says of ``update`` holds here too. It keeps
    two vectors, where L-BFGS keeps twenty, and takes more evaluations.

    Args:
        method: ``"polak-ribiere+"``, ``"fletcher-reeves"``, ``"hestenes-stiefel"``,
            ``"dai-yuan"`` or ``"hager-zhang"``.
        linesearch: ``StrongWolfe(curv_rtol=0.4)``, ``HagerZhang()`` or ``Backtracking()``.

    Raises:
        TypeError: if a field is of the wrong kind, or there is no such method.
        ValueError: at update, without the parameters or without ``value=``.

    Reference: Hager and Zhang, A survey of nonlinear conjugate gradient methods, Pacific
    Journal of Optimization 2(1), 2006.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - 3) ** 4 + x**2),
    ...     jnp.zeros(2),
    ...     NonlinearCG(),
    ...     steps=100,
    ...     stop=rv.GradNorm(1e-4),
    ... )
    >>> result.params.round(3), str(result.status)
    (Array([2., 2.], dtype=float32), 'converged')
    """

    method: Annotated[str, STATIC, one_of(*METHODS)] = "polak-ribiere+"
    linesearch: Search = StrongWolfe(curv_rtol=0.4)

    def __post_init__(self) -> None:
        check_search("NonlinearCG", self.linesearch)

    def as_chain(self) -> Chain:
        direction = ScaleByConjugateGradient(self.method)
        return chain(LineSearch(direction, self.linesearch, first="slope"))


@rule
class BarzilaiBorwein(Optimizer):
    r"""Gradient descent with Barzilai and Borwein's step sizes.

    .. math::
        x_{k+1} = x_k - \alpha_k \nabla f(x_k),

    with :math:`\alpha_k` as in ``ScaleByBarzilaiBorwein``. Its values rise and fall on the way.
    On quadratics it needs no line search; elsewhere one that lets some values rise, such as
    ``Backtracking(nonmonotone=0.85)``, keeps it from going astray, and then every ``update``
    needs the loss, as for ``LBFGS``.

    Args:
        method: ``"long"``, ``"short"`` or ``"alternate"``.
        min_step_size: :math:`\alpha` is at least so much, greater than 0.
        max_step_size: and at most so much.
        linesearch: ``None`` for none.

    Raises:
        TypeError: if a field is of the wrong kind, or there is no such method.
        ValueError: at update, without the parameters; with a line search, without ``value=``.

    Reference: Barzilai and Borwein, Two-point step size gradient methods, 1988,
    https://doi.org/10.1093/imanum/8.1.141; Raydan, The Barzilai and Borwein gradient method for
    the large scale unconstrained minimization problem, 1997,
    https://doi.org/10.1137/S1052623494266365.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> curvature = jnp.array([1.0, 10.0, 100.0])
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum(curvature * x**2) / 2,
    ...     jnp.ones(3),
    ...     BarzilaiBorwein(),
    ...     steps=100,
    ...     stop=rv.GradNorm(1e-5),
    ... )
    >>> str(result.status)
    'converged'
    """

    method: Annotated[str, STATIC, one_of(*STEPS)] = "long"
    min_step_size: Positive = 1e-10
    max_step_size: Positive = 1e10
    linesearch: Search | None = None

    def __post_init__(self) -> None:
        if self.linesearch is not None:
            check_search("BarzilaiBorwein", self.linesearch)

    def as_chain(self) -> Chain:
        direction = ScaleByBarzilaiBorwein(self.method, self.min_step_size, self.max_step_size)
        if self.linesearch is None:
            return chain(direction, Scale(-1.0))
        return chain(LineSearch(direction, self.linesearch))
