"""Small pieces of HTML for notebooks: without colours of their own, for dark pages and light."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from ravine.core.text import number

_LONGEST = 300
_WORDS = "text-align: left"
_NUMBERS = "text-align: right; font-variant-numeric: tabular-nums"


def panel(title: str, *parts: str) -> str:
    """A heading, which is escaped, above pieces of HTML, which are not."""
    return f"<div><b>{escape(title)}</b>{''.join(parts)}</div>"


def note(text: str) -> str:
    """A line of text, fainter than the rest."""
    return f'<div style="opacity: 0.75">{escape(text)}</div>'


def grid(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with a row a thing: words to the left, numbers to the right."""
    rows = [list(row) for row in rows]
    words = [all(isinstance(row[j], str) for row in rows) for j in range(len(header))]
    styles = [_WORDS if word else _NUMBERS for word in words]
    head = "".join(_cell("th", x, s) for x, s in zip(header, styles, strict=True))
    body = "".join(
        f"<tr>{''.join(_cell('td', number(x), s) for x, s in zip(row, styles, strict=True))}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def facts(named: Mapping[str, Any]) -> str:
    """A table with a row a name; lists take a line an entry."""
    rows = []
    for name, value in named.items():
        lines = value if isinstance(value, list) else [value]
        told = "<br>".join(f"<code>{escape(_short(number(x)))}</code>" for x in lines)
        rows.append(f'<tr>{_cell("th", name, _WORDS)}<td style="{_WORDS}">{told}</td></tr>')
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def sparkline(y: np.ndarray) -> str:
    """A line through the finite numbers of (R,), on a logarithmic scale if all are positive."""
    y = np.asarray(y, float)
    known = np.flatnonzero(np.isfinite(y))
    if known.size < 2:
        return ""
    known = known[np.linspace(0, known.size - 1, min(known.size, 200)).astype(int)]
    height = np.log(y[known]) if np.all(y[known] > 0) else y[known]
    low, high = height.min(), height.max()
    across = 240.0 * (known - known[0]) / (known[-1] - known[0])
    # Divided before they are subtracted: the difference of two floats may be no float.
    scale = max(abs(low), abs(high), 1e-300)
    up = 40 - 40 * (height / scale - low / scale) / max(high / scale - low / scale, 1e-300)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
    return (
        '<svg role="img" aria-label="the loss, step by step" width="246" height="46" '
        'viewBox="-3 -3 246 46" style="display: block; margin: 4px 0">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )


def _cell(tag: str, text: Any, style: str) -> str:
    return f'<{tag} style="{style}">{escape(_short(str(text)))}</{tag}>'


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
