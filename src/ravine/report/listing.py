"""What there is to choose from: optimizers with their hyperparameters, problems, spaces."""

import dataclasses
import inspect
import textwrap
from typing import Any

from ravine import problems
from ravine.report.choose import hyperparameters, registry
from ravine.spaces.parse import EXAMPLES

_WIDTH = 88


def optimizers_text() -> str:
    """Every optimizer with its fields and their defaults."""
    entries = {
        name: (_first_line(cls), ", ".join(map(_field, hyperparameters(cls).values())))
        for name, cls in sorted(registry().items())
    }
    return "optimizers (a learning rate without a default is varied)\n" + _entries(entries)


def problems_text() -> str:
    """Every problem with its options."""
    entries = {name: (_first_line(make), _options(make)) for name, make in problems.ALL.items()}
    return "problems\n" + _entries(entries)


def spaces_text() -> str:
    """The ways to write what varies."""
    width = max(map(len, EXAMPLES))
    lines = [f"  {example.ljust(width)}  {meaning}" for example, meaning in EXAMPLES.items()]
    return "spaces\n" + "\n".join(lines)


def _entries(entries: dict[str, tuple[str, str]]) -> str:
    width = max(map(len, entries)) + 4
    indent = " " * width
    lines = []
    for name, (told, fields) in entries.items():
        lines.append(f"  {name}".ljust(width) + told)
        if fields:
            lines += textwrap.wrap(
                fields, _WIDTH, initial_indent=indent, subsequent_indent=indent,
                break_on_hyphens=False,
            )  # fmt: skip
    return "\n".join(lines)


def _first_line(thing: Any) -> str:
    """The first sentence of a docstring, up to its formula and without the full stop."""
    line = (inspect.getdoc(thing) or "").partition("\n")[0]
    return line.partition(":math:")[0].rstrip(" ,.:")


def _field(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return field.name
    return f"{field.name}={_word(field.default)}"


def _options(make: Any) -> str:
    given = inspect.signature(make).parameters.values()
    return ", ".join(f"{p.name}={_word(p.default)}" for p in given)


def _word(default: Any) -> str:
    """A default as one would write it on the command line."""
    if default is None or isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
