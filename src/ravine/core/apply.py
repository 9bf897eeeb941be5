"""Taking the step."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.errors import check_matches
from ravine.core.numerics import compute_dtype


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
        p, u = jnp.asarray(p), jnp.asarray(u)
        wide = compute_dtype(p, u)
        return (p.astype(wide) + u.astype(wide)).astype(p.dtype)

    return jax.tree.map(leaf, params, updates)
