"""The report: one HTML file with everything in it, which asks nothing of the network.

uPlot (50 kB, MIT, in ``page/uplot``) draws axes and lines; Plotly and Bokeh would put 1 to 4 MB
into every report. Points and table are ours: no small library sorts and brushes 100,000 rows.
"""

import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from ravine.engine.result import SweepResult
from ravine.report.contents import contents
from ravine.report.folder import REPORT_MARK, is_report

SCRIPTS = (
    "uplot/uPlot.iife.min.js", "data.js", "select.js", "axes.js", "colours.js", "tip.js",
    "paint.js", "scatter.js", "curves.js", "ways.js", "table.js", "words.js", "main.js",
)  # fmt: skip
STYLES = ("uplot/uPlot.min.css", "page.css")


def write_report(
    results: SweepResult,
    path: Any,
    title: str | None = None,
    measures: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write the page to ``path``, whole or not at all; return the path.

    Args:
        results: what the page shows.
        path: the file to write. An earlier report there is replaced.
        title: the page's heading; by default the optimizers' names.
        measures: further columns of the table, each (N,).

    Raises:
        ValueError: if ``path`` is a folder, or a file that is no report.
        OSError: if it cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a file in it, such as {path / 'report.html'}.")
    if path.exists() and path.stat().st_size and not is_report(path):
        raise ValueError(f"{path} is there and is no report of ravine: give another name.")
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(page(contents(results, title, measures)), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def page(shown: Mapping[str, Any]) -> str:
    """The HTML page that shows ``contents(results)``."""
    return Template(_asset("page.html")).substitute(
        title=escape(str(shown["title"])),
        mark=REPORT_MARK,
        style="\n".join(map(_asset, STYLES)),
        script="\n".join(map(_asset, SCRIPTS)),
        # Nothing in it can end the element that it stands in.
        data=json.dumps(shown, allow_nan=False).replace("<", "\\u003c"),
    )


def _asset(name: str) -> str:
    return (resources.files("ravine.report") / "page" / name).read_text(encoding="utf-8")
