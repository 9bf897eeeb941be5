"""Matrices cut into blocks of bounded size, and put together again."""

import jax
import jax.numpy as jnp


def cut(x: jax.Array, size: int | None) -> list[jax.Array]:
    """Stacks of blocks of (count, rows, columns): the full ones, and those left over at the ends.

    No block has more than ``size`` rows or columns, and none is padded.
    """
    count, rows, columns = x.shape
    parts = []
    for r, n, many in _runs(rows, size):
        for c, m, more in _runs(columns, size):
            part = x[:, r : r + n * many, c : c + m * more]
            part = part.reshape(count, many, n, more, m).swapaxes(2, 3)
            parts.append(part.reshape(count * many * more, n, m))
    return parts


def join(parts: list[jax.Array], shape: tuple[int, int, int], size: int | None) -> jax.Array:
    """The matrices of this shape that ``cut`` cut into these blocks."""
    count, rows, columns = shape
    blocks, bands = iter(parts), []
    for _, n, many in _runs(rows, size):
        band = [
            next(blocks)
            .reshape(count, many, more, n, m)
            .swapaxes(2, 3)
            .reshape(count, many * n, -1)
            for _, m, more in _runs(columns, size)
        ]
        bands.append(jnp.concatenate(band, axis=2))
    return jnp.concatenate(bands, axis=1)


def _runs(length: int, size: int | None) -> list[tuple[int, int, int]]:
    """Where blocks of one length start, how long each is, and how many there are."""
    if size is None or length <= size:
        return [(0, length, 1)]
    many, rest = divmod(length, size)
    return [(0, size, many), *([(many * size, rest, 1)] if rest else [])]
