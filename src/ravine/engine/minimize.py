"""One optimization: a sweep of one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.types import Transform
from ravine.engine.batches import Batches
from ravine.engine.door import check_optimizer
from ravine.engine.plan import name_of
from ravine.engine.status import Status
from ravine.engine.stop import Stop
from ravine.engine.sweep import sweep
from ravine.engine.trial import Starts
from ravine.spaces.sampling import spaces


@dataclass(frozen=True, eq=False)
class MinimizeResult:
    """Where an optimization ended, and why.

    ``value`` is the loss at ``params``; ``history`` the loss at ``history_steps``, the
    last record being at or before the end.
    """

    params: Any
    value: float
    best_value: float
    steps: int
    status: Status
    history: np.ndarray = field(repr=False)
    history_steps: np.ndarray = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether a test that means convergence holds at ``params``."""
        return self.status == Status.CONVERGED


def minimize(
    loss: Callable[..., Any],
    params: Any,
    optimizer: Transform,
    *,
    steps: int,
    stop: Stop | None = None,
    batches: Batches | None = None,
    args: Any = None,
    key: Any = 0,
    record_every: int = 1,
    has_aux: bool = False,
    stochastic: bool = False,
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
            default.
        batches: ``Batches(data)`` for the full batch, ``size=1`` for single samples,
            ``size=n`` for mini-batches in a new order every epoch.
        args: a tree of further arguments of the loss.
        key: an integer seed or a JAX random key, from which everything random follows.
        record_every: record the loss every so many steps; 0 for no history.
        has_aux: whether the loss returns ``(value, aux)``; the aux is dropped.
        stochastic: whether the loss takes a random key, a new one each step.
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
        keep="all", record_every=record_every, has_aux=has_aux, stochastic=stochastic,
        progress=progress,
    )  # fmt: skip
    recorded = int(np.sum(result.history_steps <= result.steps[0]))
    return MinimizeResult(
        params=jax.tree.map(lambda x: jnp.asarray(x[0]), result.params),
        value=float(result.values[0]),
        best_value=float(result.best_values[0]),
        steps=int(result.steps[0]),
        status=result.status[0],
        history=result.history[0, :recorded],
        history_steps=result.history_steps[:recorded],
    )
