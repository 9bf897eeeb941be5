"""One optimization: a sweep of one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.html import facts, panel, sparkline
from ravine.core.types import Transform
from ravine.engine.batches import Batches
from ravine.engine.door import check_optimizer
from ravine.engine.plan import name_of
from ravine.engine.result import ending
from ravine.engine.status import Status
from ravine.engine.stop import Stop
from ravine.engine.sweep import sweep
from ravine.engine.trial import Starts
from ravine.spaces.sampling import spaces


@dataclass(frozen=True, eq=False)
class MinimizeResult:
    """Where an optimization ended, and why.

    ``value`` is the loss at ``params``, or, of an optimizer that keeps an average, at the point
    that is averaged or extrapolated: ``params`` are its ``eval_params``. A penalty that is in the
    optimizer is counted. ``history`` holds the loss, and ``aux``
    what came with it, at ``history_steps``, the last record being at or before the end;
    ``metric_history`` the metric at ``metric_steps``, ``metric`` the one at ``params``, ``None``
    without one.
    """

    params: Any
    value: float
    best_value: float
    metric: float | None
    steps: int
    status: Status
    history: np.ndarray = field(repr=False)
    history_steps: np.ndarray = field(repr=False)
    aux: Any = field(repr=False)
    metric_history: np.ndarray = field(repr=False)
    metric_steps: np.ndarray = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether a test that means convergence holds at ``params``."""
        return self.status == Status.CONVERGED

    # SciPy's names, for those who come from there; ``status`` is a word here, not a number.

    @property
    def x(self) -> Any:
        """``params``."""
        return self.params

    @property
    def fun(self) -> float:
        """``value``."""
        return self.value

    @property
    def nit(self) -> int:
        """``steps``; trials of a line search are steps here."""
        return self.steps

    @property
    def nfev(self) -> int:
        """How often the loop evaluated the loss, with its gradient: at every step, and at the end.

        What an optimizer evaluates by itself (``value_fn``, ``residual_fn``) comes on top.
        """
        return self.steps + 1

    @property
    def success(self) -> bool:
        """``converged``: a limit of steps reached is no success."""
        return self.converged

    @property
    def message(self) -> str:
        """Why it ended, in a sentence."""
        return self.status.message

    def _repr_html_(self) -> str:
        """For notebooks."""
        leaves = jax.tree.leaves(self.params)
        told = f"{sum(x.size for x in leaves):,} numbers"
        told += f" in {len(leaves)} arrays" if len(leaves) > 1 else ""
        named = ending(self) | {"params": told}
        return panel("MinimizeResult", facts(named), sparkline(self.history))


def minimize(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Transform,
    *,
    steps: int,
    stop: Stop | None = None,
    batches: Batches | Iterable[Any] | None = None,
    args: Any = None,
    key: Any = 0,
    metric: Callable[[Any], Any] | None = None,
    metric_every: int | None = None,
    record_every: int = 1,
    has_aux: bool = False,
    stochastic: bool = False,
    checkpoint: str | PathLike[str] | None = None,
    progress: bool = False,
) -> MinimizeResult:
    r"""Minimize ``loss`` from ``params`` by at most ``steps`` steps of ``optimizer``.

    The arguments are those of ``sweep``, without spaces. The loop is compiled once for
    each loss, structure and shape; other learning rates run at once.

    Args:
        loss: ``loss(params)``, with the batch, ``args`` and a key behind it as far as they
            are asked for; returns a real scalar, or ``(scalar, aux)`` with ``has_aux``.
        params: the starting point, a tree of floats; or a function ``key -> params``.
        optimizer: such as ``Adam(1e-3)``.
        steps: at most so many steps.
        stop: when else to stop, such as ``GradNorm(1e-6) | Diverged()``; ``Diverged()`` by
            default, whose place it takes.
        batches: ``Batches(data)`` for the full batch, ``size=1`` for single samples,
            ``size=n`` for mini-batches in a new order every epoch; or any iterable of batches.
        args: a tree of further arguments of the loss.
        key: an integer seed or a JAX random key, from which everything random follows.
        metric: ``metric(params)``, such as the loss on held-out data.
        metric_every: evaluate it every so many steps, and at the end.
        record_every: record the loss every so many steps; 0 for no history.
        has_aux: whether the loss returns ``(value, aux)``; the aux is recorded with the loss.
        stochastic: whether the loss takes a random key, a new one each step.
        checkpoint: a folder in which to save how far it is; the same call goes on from there.
        progress: whether to show a progress bar.

    Raises:
        TypeError, ValueError: naming the argument, before anything runs.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> result = rv.minimize(
    ...     lambda x: jnp.sum((x - 3) ** 2),
    ...     jnp.zeros(2),
    ...     rv.SGD(0.25),
    ...     steps=100,
    ...     stop=rv.GradNorm(1e-5),
    ... )
    >>> result.params.tolist(), str(result.status), result.steps
    ([2.999..., 2.999...], 'converged', 20)
    """
    check_optimizer("optimizer", optimizer)
    if found := list(spaces((optimizer, args, stop))):
        raise TypeError(
            f"minimize runs one optimization, and {name_of(found[0])} is a space. Give a number, "
            "or use sweep(...)."
        )
    if isinstance(params, Starts):
        raise TypeError(
            "params must be one starting point; for several use sweep(loss, Starts(...), ...)."
        )
    result = sweep(
        loss, params, optimizer,
        trials=1, steps=steps, stop=stop, batches=batches, args=args, key=key, workers=1,
        metric=metric, metric_every=metric_every, keep="all", record_every=record_every,
        has_aux=has_aux, stochastic=stochastic, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    recorded = int(np.sum(result.history_steps <= result.steps[0]))
    measured = int(np.sum(result.metric_steps <= result.steps[0]))
    return MinimizeResult(
        params=jax.tree.map(lambda x: jnp.asarray(x[0]), result.params),
        value=float(result.values[0]),
        best_value=float(result.best_values[0]),
        metric=None if result.metrics is None else float(result.metrics[0]),
        steps=int(result.steps[0]),
        status=result.status[0],
        history=result.history[0, :recorded],
        history_steps=result.history_steps[:recorded],
        aux=jax.tree.map(lambda x: x[0, :recorded], result.aux),
        metric_history=result.metric_history[0, :measured],
        metric_steps=result.metric_steps[:measured],
    )
