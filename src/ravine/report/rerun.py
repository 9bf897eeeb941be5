"""A trial as code: what to type to run it once more."""

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np

from ravine import schedules
from ravine.core.rule import is_rule, show
from ravine.core.types import Space
from ravine.engine.store import Opaque
from ravine.spaces.sampling import fill, spaces
from ravine.transforms.chain import Chain

Pieces = list[str | dict[str, Any]]
"""Text, and between it ``{"column": name, "whole": bool}`` where a trial's own number stands."""


class Blank:
    """In place of a number that differs from trial to trial."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __repr__(self) -> str:
        return f"\0{self.place}\0"


def recipe(template: Any, swept: Sequence[str]) -> dict[str, Any]:
    """The imports and the expression that make an optimizer, as pieces, and what is missing.

    ``others`` names swept numbers that are no part of the optimizer, but of the loss or of the
    stopping test; ``plain`` is false if the expression is not code, since a part of the
    optimizer (a function, an array) has no short text.
    """
    own = spaces(template)
    filled = fill(template, [Blank(i) for i in range(len(own))])
    names = list(own)
    text = show(filled)
    pieces: Pieces = []
    for i, part in enumerate(text.split("\0")):
        if i % 2:
            name = names[int(part)]
            pieces.append({"column": name, "whole": _is_whole(own[name])})
        elif part:
            pieces.append(part)
    return {
        "imports": _imports(filled),
        "pieces": pieces,
        "plain": all(map(_has_text, _parts(filled))),
        "others": [name for name in swept if name not in own],
    }


def _is_whole(space: Space) -> bool:
    return bool(np.issubdtype(np.asarray(space.bounds()).dtype, np.integer))


def _imports(filled: Any) -> list[str]:
    """The lines that make the names in the text of an optimizer known."""
    named: dict[str, set[str]] = {}
    for part in _parts(filled):
        if not is_rule(part):
            continue
        cls = type(part)
        word, home = ("chain", "ravine") if cls is Chain else (cls.__name__, cls.__module__)
        named.setdefault(_home(word, home, cls), set()).add(word)
    return [f"from {home} import {', '.join(sorted(names))}" for home, names in named.items()]


def _home(word: str, home: str, cls: type) -> str:
    """The shortest public place to import a name from."""
    public: list[tuple[str, ModuleType]] = [
        ("ravine", sys.modules["ravine"]),
        ("ravine.schedules", schedules),
    ]
    for name, module in public:
        if word in module.__all__ and (word == "chain" or getattr(module, word) is cls):
            return name
    return home


def _parts(x: Any) -> list[Any]:
    """Everything inside a rule: rules, numbers, words."""
    found, pending = [], [x]
    while pending:
        part = pending.pop()
        found.append(part)
        if is_rule(part):
            pending += list(vars(part).values())[::-1]
        elif isinstance(part, dict):
            pending += part.values()
        elif isinstance(part, tuple | list):
            pending += part
    return found


def _has_text(part: Any) -> bool:
    """Whether what ``show`` writes for a part of an optimizer means that part as code."""
    if isinstance(part, Opaque) or (callable(part) and not is_rule(part)):
        return False
    if isinstance(part, np.ndarray | jax.Array):
        return part.ndim == 0 and bool(np.issubdtype(part.dtype, np.number))
    if isinstance(part, Blank) or is_rule(part):
        return True
    return part is None or isinstance(
        part, bool | int | float | str | tuple | list | dict | np.dtype
    )
