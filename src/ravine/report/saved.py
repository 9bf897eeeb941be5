"""What ``ravine report`` is pointed at: the folder of a sweep, or a saved result."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ravine.engine.result import SweepResult, load
from ravine.report.folder import REPORT, RESULTS


class Saved(NamedTuple):
    """A result, the measures that stand beside it, and how to call it."""

    results: SweepResult
    measures: dict[str, np.ndarray]
    title: str
    report: Path
    """Where its report goes unless told otherwise."""


def open_saved(path: Path) -> Saved:
    """Read a folder as ``ravine sweep`` writes it, or a file as ``SweepResult.save`` does.

    Raises:
        ValueError: if there is neither.
        OSError: if it cannot be read.
    """
    if path.is_dir():
        if not (path / RESULTS).is_file():
            raise ValueError(
                f"{path} holds no {RESULTS}. Possible causes: (a) it is not the folder of a sweep; "
                "(b) the sweep is still running; (c) the folder is a checkpoint: call sweep "
                "again with it, then results.report(...)."
            )
        results = load(path / RESULTS)
        measures = read_measures(path / "trials.csv", results)
        return Saved(results, measures, path.resolve().name, path / REPORT)
    if not path.exists():
        raise ValueError(f"there is no {path}: give a sweep's folder, or a saved .npz file.")
    return Saved(load(path), {}, path.stem, path.with_suffix(".html"))


def read_measures(path: Path, results: SweepResult) -> dict[str, np.ndarray]:
    """The columns of a sweep's table that its result does not hold, each (N,).

    None if there is no such table, or it is of another sweep.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return {}
    own = results.columns()
    if len(rows) != len(results) or any(row.get("trial") != str(i) for i, row in enumerate(rows)):
        return {}
    extra = [name for name in (rows[0] if rows else {}) if name and name not in own]
    return {name: np.array([_number(row[name]) for row in rows]) for name in extra}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
