"""Data in batches: full, mini or single, in an order that follows from a key."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.paths import leaf_paths

_TABLE_LIMIT = 2**26
"""At most so many indices are laid out in advance; after them the orders repeat."""


class Feed(NamedTuple):
    """How lanes come to their batches: the structure of it."""

    kind: str
    """``"full"``, ``"shared"`` (one order a seed), ``"own"`` (one a trial) or ``"stream"``."""
    size: int
    examples: int

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has."""
        return self.examples // self.size


class Data(NamedTuple):
    """What the batches are made of; ``None`` where there is nothing."""

    arrays: Any
    order: Any  # (seeds, rows, size) int32


class Batches:
    """In-memory data handed to the loss batch by batch.

    Args:
        data: a tree of arrays whose first axis counts the examples.
        size: examples a batch. ``None`` is the full batch, 1 a single sample.
        shuffle: draw a new order every epoch, without replacement; else go through the
            data in its own order. The examples left over at an epoch's end that fill no
            batch are left out of that epoch.
        order: ``"shared"``: every trial sees the same order (one a seed, where a sweep has
            seeds), so trials are compared on the same batches. ``"own"``: each trial draws
            orders of its own.

    Raises:
        ValueError: if the leaves disagree on the number of examples, or ``size`` does not fit.

    >>> import numpy as np
    >>> Batches((np.zeros((10, 3)), np.zeros(10)), size=4)
    Batches(10 examples, size=4, 2 batches an epoch)
    """

    def __init__(
        self, data: Any, size: int | None = None, *, shuffle: bool = True, order: str = "shared"
    ) -> None:
        leaves, paths = jax.tree.leaves(data), leaf_paths(data)
        if not leaves:
            raise ValueError("Batches: data holds no arrays. Give a tree such as (x, y).")
        for path, leaf in zip(paths, leaves, strict=True):
            if not is_numeric(leaf):
                raise TypeError(
                    f"Batches: data at {path or 'the root'} is a {type(leaf).__name__}, no array "
                    "of numbers. Give arrays, such as frame.to_numpy() for a DataFrame."
                )
            if jnp.ndim(leaf) == 0:
                raise ValueError(
                    f"Batches: data at {path or 'the root'} is a scalar; its first axis must count "
                    "examples. Give arrays, not lists: np.asarray(x)."
                )
        named = zip(paths, leaves, strict=True)
        lengths = {path or "the root": jnp.shape(leaf)[0] for path, leaf in named}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{n} at {path}" for path, n in lengths.items())
            raise ValueError(f"Batches: the arrays must have one number of examples, got {told}.")
        self.examples = next(iter(lengths.values()))
        if isinstance(size, bool) or not (size is None or isinstance(size, int | np.integer)):
            raise TypeError(f"Batches: size must be an int or None, got {size!r}.")
        if not isinstance(shuffle, bool):
            raise TypeError(f"Batches: shuffle must be True or False, got {shuffle!r}.")
        if self.examples == 0 or (size is not None and not 1 <= size <= self.examples):
            raise ValueError(
                f"Batches: size must lie between 1 and the {self.examples} examples, got {size}. "
                "None takes all of them at each step."
            )
        if order not in ("shared", "own"):
            raise ValueError(f'Batches: order must be "shared" or "own", got {order!r}.')
        if order == "own" and not shuffle:
            raise ValueError("Batches: order='own' draws orders, and shuffle=False asks for none.")
        self.own_order = order == "own" and size is not None
        self.data = jax.tree.map(jnp.asarray, data)
        self.size, self.shuffle = None if size is None else int(size), shuffle

    @property
    def per_epoch(self) -> int:
        """How many batches an epoch has."""
        return 1 if self.size is None else self.examples // self.size

    @property
    def feed(self) -> Feed:
        """How lanes come to these batches."""
        kind = "full" if self.size is None else "own" if self.own_order else "shared"
        return Feed(kind, self.size or self.examples, self.examples)

    def order(self, keys: jax.Array, steps: int) -> jax.Array | None:
        """The examples of every batch: shape ``(len(keys), rows, size)``, int32.

        Step ``t`` takes row ``t`` modulo the number of rows, which is ``steps`` rounded up
        to whole epochs unless that is very large. ``None`` for the full batch.
        """
        if self.size is None or self.own_order:
            return None
        n, used = self.examples, self.per_epoch * self.size
        epochs = -(-steps // self.per_epoch)
        epochs = max(1, min(epochs, _TABLE_LIMIT // (used * keys.shape[0]))) if self.shuffle else 1
        return _orders(keys, epochs, n, used, self.size, self.shuffle)

    def __repr__(self) -> str:
        size = "all" if self.size is None else self.size
        return f"Batches({self.examples} examples, size={size}, {self.per_epoch} batches an epoch)"


@partial(jax.jit, static_argnums=(1, 2, 3, 4, 5))
def _orders(keys: Any, epochs: int, n: int, used: int, size: int, shuffle: bool) -> jax.Array:
    def one(key: jax.Array) -> jax.Array:
        if not shuffle:
            return jnp.arange(used, dtype=jnp.int32).reshape(-1, size)
        # One key an epoch, so that a longer run begins with the orders of a shorter one.
        epoch_keys = jax.vmap(lambda e: jax.random.fold_in(key, e))(jnp.arange(epochs))
        whole = jax.lax.map(lambda k: jax.random.permutation(k, n), epoch_keys)
        return whole[:, :used].astype(jnp.int32).reshape(-1, size)

    return jax.vmap(one)(keys)


def is_numeric(x: Any) -> bool:
    """Whether JAX takes ``x`` for an array of numbers or truth values."""
    if isinstance(x, np.ndarray | np.generic):
        return any(jnp.issubdtype(x.dtype, kind) for kind in (np.number, np.bool_))
    return isinstance(x, bool | int | float | complex | jax.Array)


def take(feed: Feed | None, data: Data, seed: Any, key: Any, step: jax.Array) -> Any:
    """The batch of ``step``, for the seed's order or the trial's key."""
    if feed is None or feed.kind == "full":
        return data.arrays
    if feed.kind == "stream":  # a segment's batches, stacked
        rows = jax.tree.leaves(data.arrays)[0].shape[0]
        return jax.tree.map(lambda x: x[step % rows], data.arrays)
    if feed.kind == "shared":
        index = data.order[seed, step % data.order.shape[1]]
    else:
        epoch, place = step // feed.per_epoch, step % feed.per_epoch
        index = place * feed.size + jnp.arange(feed.size, dtype=jnp.int32)
        index = shuffled(
            jax.random.fold_in(jax.random.fold_in(key, 2), epoch), index, feed.examples
        )
    return jax.tree.map(lambda x: x[index], data.arrays)


def shuffled(key: jax.Array, x: jax.Array, n: int) -> jax.Array:
    """Where a random permutation of ``range(n)`` takes ``x``, without laying it out.

    Swap-or-not: in each round an index is paired with its mirror about a random point, and
    the pair is swapped or not by a bit that depends on the pair.

    Reference: V. T. Hoang et al., An enciphering scheme based on a card shuffle, 2012.
    """
    rounds = 4 * n.bit_length()
    points, salts = jax.random.bits(key, (2, rounds), jnp.uint32)
    points = points % jnp.uint32(n)

    def once(x: jax.Array, drawn: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        point, salt = drawn
        mirror = point + jnp.uint32(n) - x
        mirror = jnp.where(mirror >= n, mirror - jnp.uint32(n), mirror)
        swap = _mixed(jnp.maximum(x, mirror) ^ salt) >> jnp.uint32(31)
        return jnp.where(swap == 1, mirror, x), None

    return jax.lax.scan(once, x.astype(jnp.uint32), (points, salts))[0].astype(jnp.int32)


def _mixed(h: jax.Array) -> jax.Array:
    """Every bit of the result depends on every bit of ``h``: the end of MurmurHash3."""
    h = (h ^ (h >> jnp.uint32(16))) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> jnp.uint32(13))) * jnp.uint32(0xC2B2AE35)
    return h ^ (h >> jnp.uint32(16))
