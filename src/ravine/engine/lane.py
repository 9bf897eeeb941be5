"""One lane: where a trial begins, and what a step does to it.

Written for one trial; ``lanes`` maps it over all of them.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.errors import check_carried
from ravine.core.types import Standing
from ravine.engine.products import for_lanes
from ravine.engine.status import Status
from ravine.engine.stop import Seen
from ravine.engine.trial import (
    Operands,
    Program,
    Trial,
    batch_at,
    define,
    settings,
    starting_point,
)
from ravine.problems.least_squares import LeastSquares

RUNNING = Status.RUNNING.code
CODE_BITS = 8


class Motion(NamedTuple):
    """How far the lanes are, between segments; each leaf has a first axis B."""

    params: Any
    state: Any
    stop_state: Any
    begun: jax.Array  # the segment in which the trial began; int32
    step: jax.Array  # int32
    value: jax.Array  # the loss at params; float
    best_value: jax.Array  # the smallest finite value so far; float
    status: jax.Array  # code of a Status; int8
    metric: jax.Array  # the metric, where it was last evaluated; float
    history: "History"


class History(NamedTuple):
    """Records on the way, NaN where there is none; each leaf has first axes B, R or B, M."""

    values: Any  # (B, R) float
    aux: Any  # (B, R, ...), zero where there is none and the dtype has no NaN
    metrics: Any  # (B, M) float


class Moving(NamedTuple):
    """What a step changes in a lane, as little as can be; each leaf has a first axis B."""

    params: Any
    state: Any
    stop_state: Any
    ended: jax.Array  # 0 while running, else a status code + (j << 8); int32


def begin(program: Program, operands: Operands, id: jax.Array) -> tuple[Trial, Motion]:
    """A trial and its lane before the first step."""
    trial = define(program, operands, id)
    optimizer, _, stop = settings(operands, trial)
    params = tree.copy(starting_point(program, operands, trial))
    motion = Motion(
        params=params,
        state=optimizer.init(params),
        stop_state=stop.init(),
        begun=jnp.zeros((), jnp.int32),
        step=jnp.zeros((), jnp.int32),
        value=jnp.full((), jnp.nan, float),
        best_value=jnp.full((), jnp.nan, float),
        status=jnp.full((), RUNNING, jnp.int8),
        metric=jnp.full((), jnp.nan, float),
        history=blank_history(program, operands, trial, params),
    )
    return trial, motion


def blank_history(program: Program, operands: Operands, trial: Trial, params: Any) -> History:
    """A history without a record."""
    records = program.steps // program.every + 1 if program.every else 0
    metrics = program.steps // program.metric_every if program.metric_every else 0

    def aux(operands: Operands, trial: Trial, params: Any) -> Any:
        _, args, _ = settings(operands, trial)
        batch = batch_at(program, operands, trial, jnp.zeros((), jnp.int32))
        return program.loss(params, *loss_inputs(program, batch, args, trial.key))[1]

    return History(
        values=jnp.full(records, jnp.nan, float),
        aux=jax.tree.map(
            lambda x: blank((records, *x.shape), x.dtype),
            jax.eval_shape(aux, operands, trial, params) if program.has_aux and records else (),
        ),
        metrics=jnp.full(metrics, jnp.nan, float),
    )


def blank(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """An array of NaN, or of zeros where the dtype has none."""
    return jnp.full(shape, jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else 0, dtype)


def step(
    program: Program,
    operands: Operands,
    batch: Any,
    trial: Trial,
    moving: Moving,
    t: jax.Array,
    j: jax.Array,
) -> tuple[Moving, tuple[jax.Array, Any]]:
    """Evaluate one lane at its point; stop there, or take the step.

    Returns the lane, and what may be recorded: the value and the aux.
    """
    optimizer, args, stop = settings(operands, trial)
    key = jax.random.fold_in(jax.random.fold_in(trial.key, 1), t)
    inputs = loss_inputs(program, batch, args, key)

    def evaluate(params: Any) -> tuple[Any, Any]:
        out = program.loss(params, *inputs)
        return out if program.has_aux else (out, ())

    @for_lanes
    def value_fn(params: Any) -> Any:
        return evaluate(params)[0]

    # The barriers keep the compiler from evaluating per element what holds for a whole lane,
    # where it heeds them: on CPU it takes them away before it fuses.
    (loss, aux), grads = jax.lax.optimization_barrier(
        for_lanes(jax.value_and_grad(evaluate, has_aux=True))(moving.params)
    )
    # For complex parameters JAX gives the conjugate of the direction of steepest ascent.
    grads = jax.tree.map(jnp.conj, grads)
    updates, state = optimizer.update(
        grads, moving.state, moving.params,
        value=loss, grad=grads, value_fn=value_fn, key=jax.random.fold_in(key, 1),
        **residuals(program, inputs),
    )  # fmt: skip
    check_carried(
        "the optimizer's state", state, moving.state, f"{type(optimizer).__name__}.update"
    )
    # A line search may have called for a trial: the point to judge is the last that it accepted.
    value = loss.astype(jnp.result_type(float))
    at = optimizer.standing(state, Standing(moving.params, value, grads, updates))
    value = at.value
    code, stop_state = stop.test(Seen(value, at.grads, at.updates, t), moving.stop_state)
    code = jnp.where((code == 0) & at.stalled, Status.STALLED.code, code)
    spent = jnp.where(jnp.isfinite(value), Status.MAX_STEPS.code, Status.DIVERGED.code)
    code = jnp.where((code == 0) & (t >= program.steps), spent, code.astype(jnp.int32))

    running = moving.ended == 0
    code, go = jax.lax.optimization_barrier((code, running & (code == 0)))
    # A lane that has stopped keeps its parameters. Its state is looked at no more, unless what
    # is handed out is an average that stands in it. (A line search, told of the point where it
    # stands again and again, stays there; what would not says that it is restless.)
    stay = tree.where(running, at.params, moving.params)
    moves = differ(at.params, moving.params)
    if moves and at.restless:
        state = tree.where(running, state, moving.state)
    elif differ(optimizer.eval_params(state, moving.params), moving.params) and not moves:
        state = tree.where(go, state, moving.state)
    moved = Moving(
        params=tree.where(go, apply_updates(moving.params, updates), stay),
        state=state,
        stop_state=stop_state,
        ended=jnp.where(running & (code != 0), code + (j << CODE_BITS), moving.ended),
    )
    return moved, (value, aux if program.every else ())


def differ(a: Any, b: Any) -> bool:
    """Whether two trees of the same structure hold other arrays, whatever is in them."""
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(x is not y for x, y in leaves)


def evaluation_point(operands: Operands, trial: Trial, motion: Motion) -> Motion:
    """The lane with its parameters at the point at which to evaluate."""
    optimizer = settings(operands, trial)[0]
    return motion._replace(params=optimizer.eval_params(motion.state, motion.params))


def residuals(program: Program, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """What a loss that is a sum of squares has besides: the residuals of the parameters."""
    loss = program.loss
    if not isinstance(loss, LeastSquares):
        return {}
    return {"residual_fn": for_lanes(lambda params: loss.residuals(params, *inputs))}


def loss_inputs(program: Program, batch: Any, args: Any, key: jax.Array) -> tuple[Any, ...]:
    """What the loss takes after the parameters, as far as it was asked for."""
    return tuple(x for x in (batch, args) if x is not None) + ((key,) if program.stochastic else ())
