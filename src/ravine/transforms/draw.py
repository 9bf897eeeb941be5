"""The random keys of transforms that draw at every step, and what they remember of them."""

from typing import Any

import jax

from ravine.core import tree
from ravine.core.numerics import as_key


def first_key(key: Any) -> jax.Array:
    """The key with which to begin; 0 stands for ``None``."""
    # A copy: the state may be donated, and the user's own key must survive that.
    return tree.copy(as_key(0 if key is None else key))


def drawn_keys(rng_key: jax.Array, t: jax.Array, extra: dict[str, Any]) -> tuple[Any, Any]:
    """A key for step ``t``, from the extra argument ``key`` if there is one, and the next state."""
    if extra.get("key") is None:
        rng_key, now = jax.random.split(rng_key)
        return now, rng_key
    # With the count folded in, even the same key each time gives fresh numbers.
    return jax.random.fold_in(as_key(extra["key"]), t), rng_key


__all__ = ["drawn_keys", "first_key"]
