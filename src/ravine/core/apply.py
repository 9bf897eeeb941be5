"""Taking the step."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ravine.core.errors import check_matches
from ravine.core.numerics import astype, complement, dtype_of, times, widen


def apply_updates(params: Any, updates: Any) -> Any:
    """Return ``params + updates``, each leaf in the dtype of its parameter.

    The sum is taken in the finer of the two dtypes, float32 at least, and rounded once.
    ``None`` among the parameters stays ``None``.

    Raises:
        ValueError: if the two trees differ in structure or a leaf in shape.

    >>> import jax.numpy as jnp
    >>> apply_updates({"w": jnp.ones(2)}, {"w": jnp.array([0.5, -1.0])})
    {'w': Array([1.5, 0. ], dtype=float32)}
    """
    check_matches("updates", updates, "params", params)

    def leaf(p: Any, u: Any) -> jax.Array:
        wide, u = widen(p, u)
        return astype(lax.add(wide, u), dtype_of(p))

    return jax.tree.map(leaf, params, updates)


def incremental_update(new_tensors: Any, old_tensors: Any, step_size: Any) -> Any:
    """Return ``step_size * new + (1 - step_size) * old``: one step of a moving average.

    Each leaf keeps the dtype of the old one.

    Reference: Polyak and Juditsky, Acceleration of stochastic approximation by averaging,
    1992, https://doi.org/10.1137/0330046.

    >>> import jax.numpy as jnp
    >>> incremental_update(jnp.ones(2), jnp.zeros(2), 0.25)
    Array([0.25, 0.25], dtype=float32)
    """

    def leaf(new: Any, old: Any) -> jax.Array:
        a, b = widen(new, old)
        return (times(step_size, a) + times(complement(step_size), b)).astype(jnp.result_type(old))

    return jax.tree.map(leaf, new_tensors, old_tensors)


def periodic_update(new_tensors: Any, old_tensors: Any, steps: Any, update_period: Any) -> Any:
    """Return the new tensors at every ``update_period``-th step, else the old ones.

    Reference: Mnih et al., Human-level control through deep reinforcement learning, 2015,
    https://doi.org/10.1038/nature14236.

    >>> [int(periodic_update(1, 0, steps, update_period=2)) for steps in range(4)]
    [1, 0, 1, 0]
    """
    due = jnp.asarray(steps) % jnp.asarray(update_period) == 0
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), new_tensors, old_tensors)
