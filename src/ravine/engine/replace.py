"""Files that are replaced whole, the ones before kept for a while."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from ravine.engine.journal import sync_folder


def replace(
    path: str | os.PathLike[str], write: Callable[[BinaryIO], object], keep: int = 2
) -> None:
    """Give ``path`` the content that ``write`` puts into a file, whole or not at all.

    The file before becomes ``path.1``, that one ``path.2``, and so on; ``keep`` files in
    all remain. A crash at any moment leaves at least one of them whole, and an error
    leaves them as they were.
    """
    path = Path(path)
    names = _names(path, keep)
    part, old = (path.with_name(path.name + end) for end in (".part", ".old"))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Give the path of a file.")
    if keep > 1:
        names.append(old)  # the one to be dropped stays until the new one is in its place
    free = 0
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        free = next((i for i, name in enumerate(names) if not name.exists()), len(names) - 1)
        for i in range(free, 0, -1):
            os.replace(names[i - 1], names[i])
        os.replace(part, path)
    except BaseException:
        for newer, older in pairwise(names[: free + 1]):
            if older.exists() and not newer.exists():
                os.replace(older, newer)
        part.unlink(missing_ok=True)
        raise
    old.unlink(missing_ok=True)
    sync_folder(path.parent)


def generations(path: str | os.PathLike[str], keep: int = 2) -> list[Path]:
    """The files that ``replace`` has left for ``path``, the newest first."""
    return [name for name in _names(Path(path), keep) if name.exists()]


def _names(path: Path, keep: int) -> list[Path]:
    if keep < 1:
        raise ValueError(f"keep must be 1 or more, got {keep}.")
    return [path, *(path.with_name(f"{path.name}.{i}") for i in range(1, keep))]
