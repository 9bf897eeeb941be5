"""The folder into which the command line writes: only its own files, each whole or not at all."""

import csv
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import jax
import numpy as np

from ravine.core.paths import leaf_paths
from ravine.engine.result import SweepResult, TrialResult

RESULTS = "results.npz"
PICTURES = ("learning_rate.png", "hyperparameter.png", "curves.png", "lanes.png")
OWN = (RESULTS, "trials.csv", "best.npz", *PICTURES)
"""The files of a sweep's folder; a new sweep replaces them, and touches no other."""
REPORT = "report.html"
"""What ``ravine report`` adds; a new sweep removes it, since it tells of the earlier one."""
REPORT_MARK = '<meta name="generator" content="ravine report">'


@dataclass(frozen=True)
class Folder:
    """A folder that can be written to, and which parts of its path were made for it."""

    path: Path
    made: tuple[Path, ...]

    def clear(self) -> None:
        """Remove the files that an earlier sweep left."""
        for name in OWN:
            (self.path / name).unlink(missing_ok=True)
        if is_report(self.path / REPORT):
            (self.path / REPORT).unlink()

    def discard(self) -> None:
        """Undo what ``open_folder`` did, as far as nothing has been put into it."""
        for path in self.made:
            with suppress(OSError):
                path.rmdir()

    def write(self, name: str, writer: Callable[[Path], None]) -> str:
        """Let ``writer`` write a file under another name, and move it into its place."""
        part = self.path / f"{name}.part"
        try:
            writer(part)
            part.replace(self.path / name)
        finally:
            part.unlink(missing_ok=True)
        return name


def open_folder(path: Path) -> Folder:
    """Make a folder for a sweep, or take over that of an earlier sweep.

    Raises:
        ValueError: if it cannot be written to, or holds files of the names that a sweep
            writes and no sweep wrote.
    """
    try:
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(0, "there is a file of this name")
        made = tuple(p for p in (path, *path.parents) if not p.exists())
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"cannot write to the folder {path}: {reason}.") from None
    found = [name for name in OWN if (path / name).exists()]
    folders = [name for name in found if (path / name).is_dir()]
    if folders or (found and not _is_sweep(path / RESULTS)):
        raise ValueError(
            f"{path} holds {', '.join(folders or found)}, which no sweep wrote, and would be "
            "overwritten: choose another folder with --output."
        )
    return Folder(path, made)


def _is_sweep(path: Path) -> bool:
    """Whether a file looks like one that ``SweepResult.save`` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "meta.npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def is_report(path: Path) -> bool:
    """Whether a file is a page that ``write_report`` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return REPORT_MARK.encode() in file.read(2000)


def write_results(path: Path, results: SweepResult) -> None:
    """Write everything that ``ravine.load`` needs to get the results back."""
    named = path.with_name(f"{path.name}.npz")  # the ending without which it would be added
    results.save(named)
    named.replace(path)


def write_csv(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns as comma-separated values, with a header; NaN and inf by these words."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.astype(str) for column in columns.values()), strict=True))


def write_params(path: Path, winners: Mapping[str, TrialResult]) -> None:
    """Write the parameters of a trial an optimizer, each leaf as ``optimizer/path/to/leaf``.

    Parameters that are a single array are ``optimizer/params``.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, trial in winners.items():
        leaves = zip(leaf_paths(trial.params), jax.tree.leaves(trial.params), strict=True)
        arrays |= {f"{name}/{path or 'params'}": np.asarray(leaf) for path, leaf in leaves}
    with open(path, "wb") as file:
        np.savez(file, **_plain(arrays))


def _plain(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Types that the format does not know (bfloat16) become float32, which holds them exactly."""
    return {k: x.astype(np.float32) if x.dtype.kind == "V" else x for k, x in arrays.items()}


def with_params_of(results: SweepResult, ids: np.ndarray) -> SweepResult:
    """``results`` with the final parameters of the trials ``ids`` only, in that order."""
    place = {int(id): i for i, id in enumerate(results.kept_ids)}
    ids = np.array([id for id in ids if int(id) in place], int)
    rows = np.array([place[int(id)] for id in ids], int)
    return replace(results, kept_ids=ids, params=jax.tree.map(lambda x: x[rows], results.params))
