"""A log on disk that survives a crash.

A journal is a header followed by records, each behind its length and a checksum. What a
crash leaves behind the last whole record is cut off when the journal is opened again.
"""

import io
import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

try:
    import fcntl
except ImportError:  # not every platform has it
    fcntl = None  # type: ignore[assignment]

_MAGIC = b"ravine journal 1\n"
_FRAME = struct.Struct("<QI")
"""The length of a record, and a checksum over that length and the record."""


class Journal:
    """A file of records that only grows; each is a set of named arrays.

    Made by ``Journal.open``, and held by one run at a time until it is closed.
    """

    def __init__(self, path: Path, file: io.FileIO, end: int) -> None:
        self.path = path
        self._file = file
        self._end = end

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> tuple[Self, list[dict[str, np.ndarray]]]:
        """Open or create the journal at ``path``; return it and the records that it holds.

        A last record that is cut short or damaged is removed from the file.

        Raises:
            ValueError: if the file is something else, or from a newer version.
            RuntimeError: if another run has it open.
            OSError: if it cannot be opened or written.
        """
        path = Path(path)
        file = path.open("a+b", buffering=0)
        try:
            _lock(file, path)
            records, end = read(path)
            journal = cls(path, file, end)
            if end == 0:
                journal._write(_MAGIC)
                sync_folder(path.parent)
            elif end < os.fstat(file.fileno()).st_size:
                journal._write()
        except BaseException:
            file.close()
            raise
        return journal, records

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Add one record; it is on the disk when this returns.

        Raises:
            OSError: if it cannot be written. The journal is as it was before, and open.
            TypeError: if an array holds Python objects.
        """
        payload = _encode(arrays)
        self._write(_FRAME.pack(len(payload), _checksum(payload)), payload)

    def close(self) -> None:
        """Let go of the file, so that another run may open it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, *parts: bytes) -> None:
        """Put the parts behind the last record, all of them or nothing."""
        fd = self._file.fileno()
        try:
            os.ftruncate(fd, self._end)  # a torn tail, from a crash or an attempt before
            for part in parts:
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
            self._end += sum(map(len, parts))
        except BaseException as error:
            with suppress(OSError):
                os.ftruncate(fd, self._end)
            if not isinstance(error, OSError):
                raise
            raise OSError(
                error.errno,
                "The journal could not be written; the records in it are safe. If the disk is "
                f"full, free space and call again: {error.strerror}",
                str(self.path),
            ) from error


def _lock(file: io.FileIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RuntimeError(
            f"{path} is in use by another run. Wait for its end, or give another path. Possible "
            "causes: (a) the same script was started twice; (b) it is open in this process too."
        ) from error
    except OSError:  # a file system without locks
        pass


def check_free(path: Path) -> None:
    """Check that no run has the journal open.

    Raises:
        RuntimeError: if one has.
    """
    with path.open("a+b", buffering=0) as file:
        _lock(file, path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last, where the platform can."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def read(path: Path) -> tuple[list[dict[str, np.ndarray]], int]:
    """The whole records, and where the last of them ends: 0 without a header."""
    records = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        magic = file.read(len(_MAGIC))
        if not _MAGIC.startswith(magic):
            raise ValueError(
                f"{path} is not a journal. Give another path. Possible causes: (a) another kind of "
                "file; (b) a journal of a newer version of ravine."
            )
        end = file.tell() if magic == _MAGIC else 0
        while end and size - file.tell() >= _FRAME.size:
            length, checksum = _FRAME.unpack(file.read(_FRAME.size))
            if length > size - file.tell():
                break
            payload = file.read(length)
            if _checksum(payload) != checksum:
                break
            try:
                records.append(_decode(payload))
            except Exception as error:
                raise ValueError(
                    f"{path} holds a record that cannot be understood: {error}. It may come from a "
                    "newer version of ravine: update, then open it."
                ) from error
            end = file.tell()
    return records, end


def whole(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A journal of one record, as the content of a file."""
    payload = _encode(arrays)
    return _MAGIC + _FRAME.pack(len(payload), _checksum(payload)) + payload


def _checksum(payload: bytes) -> int:
    # With the length: else a tail of zeros, which some crashes leave, would be empty records.
    return zlib.crc32(payload, zlib.crc32(len(payload).to_bytes(8, "little")))


def _encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    described, plain = [], []
    for name, given in arrays.items():
        x = np.asarray(given)
        if x.dtype.hasobject:
            raise TypeError(
                f"Journal: {name!r} has dtype {x.dtype}, which cannot be stored. "
                "Give numbers, truth values or strings of a fixed length."
            )
        dtype = ""
        if x.dtype.isbuiltin == 2:  # bfloat16 and its like, which .npz does not know
            dtype = x.dtype.name
            x = x.view(np.dtype(f"u{x.dtype.itemsize}"))
        described.append([name, dtype, isinstance(given, np.generic)])
        plain.append(x)
    buffer = io.BytesIO()
    np.savez(buffer, np.frombuffer(json.dumps(described).encode(), np.uint8), *plain)
    return buffer.getvalue()


def _decode(payload: bytes) -> dict[str, np.ndarray]:
    arrays = {}
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        described = json.loads(archive["arr_0"].tobytes())
        for i, (name, dtype, scalar) in enumerate(described, 1):
            x = archive[f"arr_{i}"]
            x = x.view(_dtype(dtype)) if dtype else x
            arrays[name] = x[()] if scalar else x
    return arrays


def _dtype(name: str) -> np.dtype:
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))
