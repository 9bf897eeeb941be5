"""What the benchmarks share: timing in pairs, and a record of where and when."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

import ravine
from ravine.core.text import table


def arguments(description: str | None, repeats: int = 7) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--repeats", type=int, default=repeats, help="rounds, each timing all (%(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="a small problem: checks that it runs")
    return parser


def rounds(contenders: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round, after one that is not counted.

    A round runs all of them one after the other, every other round in reverse, so that
    what the machine does besides falls on all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        jax.block_until_ready(run())
    for i in range(repeats):
        order = list(contenders) if i % 2 == 0 else list(reversed(contenders))
        for name in order:
            began = time.perf_counter()
            jax.block_until_ready(contenders[name]())
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(seconds: Mapping[str, list[float]], ours: str) -> dict[str, dict[str, float]]:
    """For each contender the median time, and the median over rounds of its time over ours."""
    return {
        name: {
            "seconds": statistics.median(times),
            "times_ours": statistics.median(
                t / o for t, o in zip(times, seconds[ours], strict=True)
            ),
            "lowest": min(t / o for t, o in zip(times, seconds[ours], strict=True)),
            "highest": max(t / o for t, o in zip(times, seconds[ours], strict=True)),
        }
        for name, times in seconds.items()
    }


def report(
    title: str, figures: Mapping[str, Mapping[str, float]], path: Path | None, **more: Any
) -> None:
    """Print the ratios as a table; write them as JSON with machine, versions and commit."""
    print(f"\n{title}")
    rows = [[name, *row.values()] for name, row in figures.items()]
    print(table(["", *next(iter(figures.values()))], rows))
    for name, value in more.items():
        print(f"{name.replace('_', ' ')}: {value}")
    if path is not None:
        record = {"title": title, "figures": figures, **more, **where()}
        path.write_text(json.dumps(record, indent=1, default=str) + "\n")


def where() -> dict[str, Any]:
    """Machine, versions and commit."""
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "ravine": ravine.__version__,
        "commit": git.stdout.strip() or None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
