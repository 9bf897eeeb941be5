"""Several tables from one script: rows that are dicts, printed, and kept in one file."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import ratios, rounds, where

from ravine.core.text import table

Row = Mapping[str, Any]


def compare(
    ours: Callable[[], Any],
    peers: Mapping[str, Callable[[], Any]],
    lane_steps: float,
    repeats: int,
) -> dict[str, Any]:
    """Lane-steps a second of all, and each peer's time over ours: median, lowest to highest."""
    figures = ratios(rounds({"ours": ours, **peers}, repeats), "ours")
    seconds = figures.pop("ours")["seconds"]
    row: dict[str, Any] = {"seconds": seconds, "per_s": lane_steps / seconds}
    for name, peer in figures.items():
        row[f"{name}_per_s"] = lane_steps / peer["seconds"]
        row[f"{name}_times_ours"] = peer["times_ours"]
        row[f"{name}_range"] = f"{peer['lowest']:.3g} to {peer['highest']:.3g}"
    return row


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows that have the same columns."""
    print(f"\n{title}")
    print(table(list(rows[0]), [list(row.values()) for row in rows]), flush=True)


def save(path: Path | None, tables: Mapping[str, Sequence[Row]], **more: Any) -> None:
    """Write all tables as JSON, with machine, versions and commit."""
    if path is not None:
        record = {"tables": tables, **more, **where()}
        path.write_text(json.dumps(record, indent=1, default=str) + "\n")
