"""The end of an optimization as a function that can be differentiated, mapped and compiled."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg, gmres

from ravine.core import tree
from ravine.core.flat import ravel, unravel
from ravine.core.types import Standing, Transform
from ravine.engine.batches import Data
from ravine.engine.door import (
    check_args,
    check_count,
    check_leaves,
    check_optimizer,
    check_stop,
)
from ravine.engine.lane import CODE_BITS, Moving, begin, step
from ravine.engine.loss import check_call
from ravine.engine.plan import name_of
from ravine.engine.stop import Stop
from ravine.engine.trial import Operands, Program
from ravine.problems.least_squares import LeastSquares
from ravine.spaces.sampling import canonical, spaces
from ravine.transforms.cautious import CautiousWeightDecay
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.linesearch.along import LineSearch
from ravine.transforms.mask import Frozen
from ravine.transforms.mirror import MirrorStep
from ravine.transforms.proximal import AcceleratedProximalStep, ProximalStep
from ravine.transforms.proximal_backtracking import BacktrackedProximalStep

LinearSolver: TypeAlias = Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array]
_FEW = 128
"""Up to so many parameters a matrix is made of the linear system."""
_BENT = (ProximalStep, AcceleratedProximalStep, BacktrackedProximalStep, MirrorStep)
"""Steps whose gradient mapping has a derivative that is not symmetric."""


class Solution(NamedTuple):
    """Where an optimization ended, in arrays; only ``params`` can be differentiated."""

    params: Any
    value: jax.Array
    """The loss there, as ``minimize`` reports it."""
    steps: jax.Array
    """Steps taken, int32."""
    status: jax.Array
    """The ``code`` of a ``Status``, int8: ``solution.status == rv.Status.CONVERGED.code``."""
    grad_norm: jax.Array
    """The norm of the gradient, or of what stands for it, at ``params``; implicit derivatives
    are as exact as this is small."""


def solution(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Transform,
    *,
    steps: int,
    stop: Stop | None = None,
    args: Any = None,
    derivative: Literal["implicit", "unrolled"] = "implicit",
    linear_solver: Literal["auto", "dense", "cg", "gmres"] | LinearSolver = "auto",
) -> Solution:
    r"""Minimize ``loss`` inside ``jit``, ``grad`` and ``vmap``: ``minimize`` as a pure function.

    It takes the same steps as ``minimize``. At the end the condition

    .. math::
        F(x^*, a) = 0

    holds, where :math:`F` is what ``GradNorm`` measures: the gradient of the loss, or, between
    bounds and with penalties, the gradient mapping. So, by the implicit function theorem,

    .. math::
        \frac{\partial x^*}{\partial a} = - \Big(\frac{\partial F}{\partial x}\Big)^{-1}
        \frac{\partial F}{\partial a},

    whatever the way to :math:`x^*` was: no step is remembered. This is the derivative with
    respect to ``args``, to what the loss closes over, and to numbers of the optimizer that
    :math:`F` depends on, such as the strength of a penalty or a bound; it is 0 with respect to
    the start and to learning rates. Forward, reverse and second derivatives work, and so does
    ``vmap``, whose lanes each stop when they are done.

    It is the derivative of the solution only if the end is one: look at ``status`` and
    ``grad_norm``, and choose a tight ``stop``. It is undefined where :math:`\partial F / \partial
    x` is singular, as in flat valleys; where a kink lies exactly at :math:`x^*`, it is one-sided.

    With ``derivative="unrolled"`` the steps themselves are differentiated, all ``steps`` of them,
    also those after a lane has stopped. That is the derivative of what the optimizer did, with
    respect to learning rates and the start, too; it needs memory for every step.

    Args:
        loss: ``loss(params)``, or ``loss(params, args)``; returns a real scalar. It must be the
            same function at every step: no batches, no noise.
        params: the starting point, a tree of floats.
        optimizer: such as ``LBFGS()``.
        steps: at most so many steps.
        stop: when else to stop, such as ``GradNorm(1e-8)``; ``Diverged()`` by default.
        args: a tree of further arguments of the loss.
        derivative: ``"implicit"`` or ``"unrolled"``.
        linear_solver: how to solve the linear system of the implicit derivative: ``"dense"``;
            ``"cg"``, for a symmetric positive definite one; ``"gmres"``; or a function of a
            linear function and a vector. By default dense up to 128
            parameters, then conjugate gradients, or GMRES between bounds and with penalties.

    Raises:
        TypeError: naming the argument, if it is of the wrong kind.
        ValueError: if the implicit derivative is asked for, and the optimizer does not end where
            :math:`F` is 0: it has weight decay, or keeps some leaves fixed.

    Reference: Blondel et al., Efficient and modular implicit differentiation, 2021,
    https://arxiv.org/abs/2105.15183.

    >>> import jax, jax.numpy as jnp
    >>> import ravine as rv
    >>> def loss(x, a):
    ...     return (x - 3.0) ** 2 + a * x**2
    >>> def held_out(a):
    ...     x = rv.solution(loss, 0.0, rv.LBFGS(), steps=50, stop=rv.GradNorm(1e-5), args=a).params
    ...     return (x - 1.0) ** 2
    >>> held_out(0.5), jax.grad(held_out)(0.5)  # x = 3 / (1 + a)
    (Array(1., dtype=float32...), Array(-2.66..., dtype=float32...))
    """
    check_optimizer("optimizer", optimizer)
    steps, stop = check_count("steps", steps, 0), check_stop(stop)
    if found := list(spaces((optimizer, args, stop))):
        raise TypeError(
            f"solution runs one optimization, and {name_of(found[0])} is a space. Give a number, "
            "and map over it with jax.vmap."
        )
    check_leaves("params", params)
    params, args = canonical(params), canonical(check_args(args))
    check_call(loss, params, args)
    if derivative not in ("implicit", "unrolled"):
        raise ValueError(f'derivative must be "implicit" or "unrolled", got {derivative!r}.')
    if not callable(linear_solver) and linear_solver not in ("auto", "dense", "cg", "gmres"):
        raise ValueError(
            'linear_solver must be "auto", "dense", "cg", "gmres" or a function of a linear '
            f"function and a vector, got {linear_solver!r}."
        )
    if derivative == "implicit":
        _check_stationary(optimizer)
    loss, args = _opened(loss, params, args)
    optimizer, stop = canonical(optimizer, one_float=True), canonical(stop, one_float=True)
    if derivative == "unrolled":
        return _ended(loss, steps, params, (optimizer, args, stop), unrolled=True)
    still = jax.lax.stop_gradient((params, (optimizer, args, stop)))
    end = jax.lax.stop_gradient(_ended(loss, steps, *still, unrolled=False))
    solver: Any = linear_solver
    if solver == "auto":
        solver = "dense" if ravel(params).size <= _FEW else _iterative(optimizer)
    point = _implicit(loss, params, solver)(ravel(end.params), (optimizer, args))
    return end._replace(params=unravel(point, params))


def _check_stationary(optimizer: Transform) -> None:
    for part in (optimizer, *optimizer.parts()):
        if isinstance(part, Frozen):
            raise ValueError(
                "solution: Frozen leaves are not where the gradient is zero. Leave them out of "
                'params and give them in args, or say derivative="unrolled".'
            )
        if isinstance(part, AddDecayedWeights | CautiousWeightDecay):
            decay = part.weight_decay
            if not (isinstance(decay, int | float) and decay == 0):
                raise ValueError(
                    "solution: with weight decay the optimizer does not end where the gradient of "
                    "the loss is zero. Set weight_decay=0 and put the penalty into the loss, or "
                    'say derivative="unrolled".'
                )


def _opened(loss: Any, params: Any, args: Any) -> tuple[Any, Any]:
    """The loss as a function of the parameters and of all else that it depends on."""
    inputs = () if args is None else (args,)
    inner = loss.residuals if isinstance(loss, LeastSquares) else loss
    function, closed_over = jax.closure_convert(inner, params, *inputs)

    def opened(params: Any, given: Any) -> Any:
        inputs, closed_over = given
        return function(params, *inputs, *closed_over)

    return (LeastSquares(opened) if inner is not loss else opened), (inputs, tuple(closed_over))


def _ended(loss: Any, steps: int, start: Any, template: Any, *, unrolled: bool) -> Solution:
    """Take the steps that ``minimize`` would take."""
    program = Program(
        loss=loss, init=None, has_aux=False, stochastic=False, seeds=0, lanes=1, room=1,
        steps=steps, segment=1, every=0, keep=None, feed=None, in_step=False, metric=None,
        metric_every=0, prune=None,
    )  # fmt: skip
    zero = jnp.zeros((), jnp.int32)
    operands = Operands(template, start, jax.random.key(0), zero[None], None, Data(None, None))
    trial, motion = begin(program, operands, zero)
    moving = Moving(motion.params, motion.state, motion.stop_state, motion.status.astype(jnp.int32))

    def advance(carry: Any, t: jax.Array) -> Any:
        moving, value, last = carry
        new, (now, _) = step(program, operands, None, trial, moving, t, zero)
        running = moving.ended == 0
        return new, jnp.where(running, now, value), jnp.where(running, t, last)

    carry = (moving, motion.value, zero)
    if unrolled:
        ts = jnp.arange(steps + 1, dtype=jnp.int32)
        carry, _ = jax.lax.scan(lambda c, t: (advance(c, t), None), carry, ts)
    else:
        carry, _ = jax.lax.while_loop(
            lambda c: c[0][0].ended == 0, lambda c: (advance(*c), c[1] + 1), (carry, zero)
        )
    moving, value, last = carry
    optimizer, args, _ = template
    x = optimizer.eval_params(moving.state, moving.params)
    return Solution(
        params=x,
        value=jax.lax.stop_gradient(value),
        steps=last,
        status=(moving.ended & (2**CODE_BITS - 1)).astype(jnp.int8),
        grad_norm=jax.lax.stop_gradient(tree.norm(_condition(loss, x, (optimizer, args)))),
    )


def _condition(loss: Any, x: Any, given: Any) -> Any:
    """What is zero at a solution: the gradient by which the optimizer is judged."""
    optimizer, args = given
    value, grads = jax.value_and_grad(loss)(x, args)
    grads = jax.tree.map(jnp.conj, grads)
    here = Standing(x, value.astype(float), grads, grads)
    return optimizer.standing(optimizer.init(x), here).grads


def _implicit(loss: Any, like: Any, solver: Any) -> Callable[[jax.Array, Any], jax.Array]:
    """The solution, which it is given, as a function of what it depends on."""

    def F(v: jax.Array, given: Any) -> jax.Array:
        return ravel(_condition(loss, unravel(v, like), given), v.dtype)

    @jax.custom_jvp
    def found(v: jax.Array, given: Any) -> jax.Array:
        return v

    @found.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        v, given = primals
        v = found(v, given)
        # (dF/dx) x' = - (dF/da) a'
        _, right = jax.jvp(lambda given: F(v, given), (given,), (tangents[1],))
        _, product = jax.linearize(lambda v: F(v, given), v)
        return v, -_solved(product, right, solver)

    return found


def _solved(product: Callable[..., Any], right: jax.Array, solver: Any) -> jax.Array:
    n, digits = right.size, float(jnp.finfo(right.dtype).eps)
    if solver == "dense":
        rows = jax.vmap(product)(jnp.eye(n, dtype=right.dtype))
        return jnp.linalg.solve(rows.T, right)
    if solver == "cg":
        solver = partial(_first, cg, tol=10 * digits, maxiter=10 * n)
    if solver == "gmres":
        solver = partial(_first, gmres, tol=10 * digits, restart=min(n, 50), maxiter=n)
    # Whatever it does inside, its derivative is that of the equations.
    return jax.lax.custom_linear_solve(product, right, solver, transpose_solve=solver)


def _first(solver: Any, product: Any, right: jax.Array, **settings: Any) -> jax.Array:
    return solver(product, right, **settings)[0]


def _iterative(optimizer: Transform) -> str:
    bent = any(
        isinstance(part, _BENT) or (isinstance(part, LineSearch) and part.box is not None)
        for part in optimizer.parts()
    )
    return "gmres" if bent else "cg"
