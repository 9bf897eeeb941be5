"""Data that comes batch by batch from any Python iterable, shared by all lanes."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.paths import leaf_paths

_CHUNK_BYTES = 2**26
_MOST_BATCHES = 64


class DataError(RuntimeError):
    """The iterable of batches failed on the way; ``results`` is the sweep as far as it came."""

    results: Any = None


class Stream:
    """Batches of one shape from an iterable, handed on in chunks while the next one is made.

    All lanes begin together and see the same batches. An iterable that can be gone through
    again (a list, a ``DataLoader``) begins anew for the next lanes, and when it ends before
    the trials do; an iterator or a generator can be used once.

    Raises:
        ValueError: if there is no batch, or the first one is no tree of arrays of numbers.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        iterator = iter(source)
        self.once = iterator is source
        self._source: Iterable[Any] = source
        try:
            first = next(iterator)
        except StopIteration:
            raise ValueError("batches is empty: the iterable holds no batch.") from None
        except Exception as error:
            raise DataError(
                f"batches: the iterable failed at its first batch: {error!r}"
            ) from error
        self._begun: Iterator[Any] | None = chain([first], iterator)
        self._like = _arrays(first, 0)
        size = sum(x.nbytes for x in jax.tree.leaves(self._like))
        self.longest = int(np.clip(_CHUNK_BYTES // max(size, 1), 1, _MOST_BATCHES))
        """How many batches to hand on at a time at most, for their size."""

    def blank(self, chunk: int) -> Any:
        """A chunk without content."""
        return jax.tree.map(lambda x: jnp.zeros((chunk, *x.shape), x.dtype), self._like)

    def chunks(self, chunk: int, needed: int) -> Iterator[Any]:
        """So many batches from the start on, each time ``chunk`` of them stacked, one ahead.

        Raises:
            DataError: if the iterable raises, ends early, or changes its shapes.
        """
        batches = self._batches(needed)
        with ThreadPoolExecutor(1, thread_name_prefix="ravine-data") as pool:
            following = pool.submit(_stacked, batches, chunk)
            for _ in range(-(-needed // chunk)):
                ready = following.result()
                following = pool.submit(_stacked, batches, chunk)
                yield ready

    def _batches(self, needed: int) -> Iterator[Any]:
        given, last = 0, None
        for epoch in count():
            iterator = self._begun if self._begun is not None else iter(self._source)
            self._begun = None
            begin = given
            while given < needed:
                try:
                    batch = next(iterator)
                except StopIteration:
                    break
                except Exception as error:
                    raise DataError(
                        f"batches: the iterable failed at batch {given}: {error!r}. What had ended "
                        "before is in the error's `results`."
                    ) from error
                last = _arrays(batch, given)
                self._check(last, given)
                given += 1
                yield last
            if given >= needed:
                return
            if given == needed - 1 and self.once:
                yield last  # the final parameters are evaluated on the last batch
                return
            if self.once or given == begin:
                raise DataError(
                    f"batches: the iterable ended after {given} batches, and the trials take "
                    f"{needed - 1} steps. Give a list or a DataLoader, which begins anew (epoch "
                    f"{epoch + 1}), or fewer steps."
                )

    def _check(self, batch: Any, i: int) -> None:
        old, new = (
            [
                (path, x.shape, x.dtype)
                for path, x in zip(leaf_paths(t), jax.tree.leaves(t), strict=True)
            ]
            for t in (self._like, batch)
        )
        if old != new:
            raise DataError(
                f"batches: batch {i} is {new}, the first was {old}. All need one shape: drop the "
                "last, smaller one (drop_last=True)."
            )


def _stacked(batches: Iterator[Any], chunk: int) -> Any:
    """The next chunk; behind the last batch it is repeated, and never looked at."""
    found = [x for _, x in zip(range(chunk), batches, strict=False)]
    found += found[-1:] * (chunk - len(found))
    return jax.tree.map(lambda *xs: np.stack(xs), *found) if found else None


def _arrays(batch: Any, i: int) -> Any:
    def array(x: Any) -> np.ndarray:
        made = np.asarray(x)
        if made.dtype.kind not in "biufcV":
            raise DataError(f"batches: batch {i} holds {made.dtype}, no numbers.")
        return made

    return jax.tree.map(array, batch)


def check_stream(stream: Stream, optimizers: int, checkpoint: Any) -> None:
    """Check what a stream cannot do.

    Raises:
        ValueError: saying what to give instead.
    """
    if stream.once and optimizers > 1:
        raise ValueError(
            "batches is an iterator, which can be gone through once, and each optimizer of the "
            "dict goes through it. Give something that begins anew: a list, a DataLoader."
        )
    if checkpoint is not None:
        raise ValueError(
            "checkpoint needs data in memory, Batches(data, size=...): an iterable's batches "
            "cannot be had again."
        )


def check_passes(stream: Stream, lanes: int, trials: int) -> None:
    """Check that an iterator, which can be used once, need not be used again.

    Raises:
        ValueError: saying what to give instead.
    """
    if stream.once and trials > lanes:
        raise ValueError(
            f"batches is an iterator, which can be gone through once, and {trials} trials in "
            f"{lanes} lanes need it several times. Give lanes={trials}, or something that begins "
            "anew: a list, a DataLoader."
        )
