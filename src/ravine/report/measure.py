"""Measures on held-out data, evaluated for all trials of a sweep at once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.engine.result import SweepResult

_CHUNK = 64
"""How many trials are evaluated side by side."""


def measure(
    results: SweepResult, metrics: Mapping[str, Callable[[Any], Any]]
) -> dict[str, np.ndarray]:
    """Evaluate every metric at the final parameters that ``results`` hold.

    Args:
        results: a sweep; with ``keep="all"`` every trial that ended has parameters.
        metrics: functions ``params -> scalar`` by name, as a ``Problem`` has them.

    Returns:
        An array of shape (N,) a metric, NaN for a trial whose parameters are not held.

    Raises:
        TypeError: if a metric returns something other than a real scalar.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> rates = rv.Grid([0.25, 0.5])
    >>> results = rv.sweep(jnp.square, 3.0, rv.SGD(rates), steps=1, keep="all")
    >>> measure(results, {"half": lambda x: x / 2})["half"].tolist()
    [0.75, 0.0]
    """
    columns = {name: np.full(len(results), np.nan) for name in metrics}
    if not metrics or not results.kept_ids.size:
        return columns
    each = partial(_evaluate, metrics)
    evaluated = jax.jit(lambda params: jax.lax.map(each, params, batch_size=_CHUNK))
    for name, numbers in evaluated(results.params).items():
        columns[name][results.kept_ids] = decimals(np.asarray(numbers))
    return columns


def decimals(x: np.ndarray) -> np.ndarray:
    """As 64-bit floats, with the digits of the shortest decimal: 0.9638, not 0.96380001."""
    return x.astype(str).astype(float)


def check_metrics(metrics: Mapping[str, Callable[[Any], Any]], params: Any) -> None:
    """Check that metrics can be evaluated at ``params``, or at shapes like theirs.

    Raises:
        ValueError: if one fails; TypeError: if one returns something other than a real scalar.
    """
    for name, metric in metrics.items():
        try:
            jax.eval_shape(partial(_evaluate, {name: metric}), params)
        except Exception as error:
            if isinstance(error, TypeError) and str(error).startswith("the metric"):
                raise
            told = f"{type(error).__name__}: {error}"
            raise ValueError(f"the metric {name!r} failed: {told}") from error


def _evaluate(metrics: Mapping[str, Callable[[Any], Any]], params: Any) -> dict[str, jax.Array]:
    return {name: _real(name, metric(params)) for name, metric in metrics.items()}


def _real(name: str, value: Any) -> jax.Array:
    value = jnp.asarray(value)
    if value.shape != () or jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise TypeError(
            f"the metric {name!r} must return a real scalar, got {value.dtype}{list(value.shape)}. "
            "Possible causes: (a) no mean over the examples; (b) a missing return."
        )
    return value.astype(float)
