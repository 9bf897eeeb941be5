"""What a picture of the gallery is: a figure, and the numbers that prove it right."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ravine.plot.style import blank


class Fact(NamedTuple):
    """A number that was measured, beside what theory says about it."""

    what: str
    measured: str
    theory: str
    holds: bool


@dataclass(frozen=True)
class Picture:
    """A figure, the facts behind it, and how to write the film, if there is one."""

    figure: Any
    facts: tuple[Fact, ...]
    film: Callable[[Path], Any] | None = None

    @property
    def wrong(self: Any) -> list[Fact]:
        """The facts that do not hold; there should be none."""
        return [fact for fact in self.facts if not fact.holds]


def close(what: str, measured: float, theory: float, within: float) -> Fact:
    """A number that should be equal to ``theory``, up to ``within`` of it.

    >>> close("a rate", 0.501, 0.5, 0.01)
    Fact(what='a rate', measured='0.501', theory='0.5 ± 1%', holds=True)
    """
    holds = bool(abs(measured - theory) <= within * abs(theory))
    return Fact(what, f"{measured:.4g}", f"{theory:.4g} ± {100 * within:.2g}%", holds)


def at_most(what: str, measured: float, limit: float) -> Fact:
    """A number that should not exceed a limit."""
    return Fact(what, f"{measured:.4g}", f"at most {limit:.4g}", bool(measured <= limit))


def at_least(what: str, measured: float, limit: float) -> Fact:
    """A number that should reach a limit."""
    return Fact(what, f"{measured:.4g}", f"at least {limit:.4g}", bool(measured >= limit))


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> Any:
    """A figure of so many inches, and its axes."""
    figure = blank(width, height)
    return figure, figure.subplots(rows, columns, **options)


def traced(loss: Callable[..., Any]) -> Callable[..., Any]:
    """``loss`` with the point where it was taken as its aux, so that a sweep records the path."""

    def with_point(point: Any, *rest: Any) -> Any:
        return loss(point, *rest), point

    return with_point


def slope(x: Any, y: Any) -> float:
    """The slope of the straight line through points, by least squares."""
    return float(np.polyfit(np.asarray(x, float), np.asarray(y, float), 1)[0])
