"""Numbers and tables as plain text."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def number(x: Any) -> str:
    """A number with four significant digits; a word as it is."""
    if isinstance(x, str):
        return str(x)
    if isinstance(x, bool | np.bool_ | int | np.integer):
        return str(x)
    return "-" if np.isnan(x) else f"{float(x):.4g}"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns under their names: words to the left, numbers to the right.

    >>> print(table(["name", "loss"], [["sgd", 0.51234], ["adam", 12]]))
    name    loss
    sgd   0.5123
    adam      12
    """
    cells = [list(header), *([number(x) for x in row] for row in rows)]
    widths = [max(len(row[j]) for row in cells) for j in range(len(header))]
    words = [all(isinstance(row[j], str) for row in rows) for j in range(len(header))]
    lines = [
        "  ".join(
            c.ljust(w) if left else c.rjust(w)
            for c, w, left in zip(row, widths, words, strict=True)
        )
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)
