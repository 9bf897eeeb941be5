"""Numbers, flags and spaces as one writes them on a command line.

    0.9                     a number
    true, false, none       a flag, or nothing
    0.8,0.9,0.95            one of several numbers
    loguniform(1e-4, 1)     a space, by the name of its class; capitals do not matter

The text is read as a Python expression and never evaluated.
"""

import ast
import difflib
import inspect
import warnings
from typing import Any

import numpy as np

from ravine.core.types import Space
from ravine.spaces.distributions import Choice, IntUniform, LogUniform, Normal, Uniform
from ravine.spaces.grids import Grid, LogGrid

FORMS: dict[str, type[Space]] = {
    cls.__name__.lower(): cls
    for cls in (LogUniform, Uniform, Normal, IntUniform, Choice, Grid, LogGrid)
}
"""The spaces by the names that stand for them in a text."""

EXAMPLES = {
    "loguniform(1e-4, 1)": "drawn evenly on a logarithmic scale",
    "uniform(0, 0.5)": "drawn evenly",
    "normal(0, 1)": "drawn from a normal distribution: mean, standard deviation",
    "intuniform(1, 10)": "a whole number, both ends included",
    "choice(0.8, 0.9, 0.95)": "one of these, each as likely; 0.8,0.9,0.95 says the same",
    "grid(0.8, 0.9, 0.95)": "each of these with every point of the other grids",
    "loggrid(1e-4, 1, 9)": "a grid of 9 numbers, evenly spaced on a logarithmic scale",
}
"""One text of each form, and what it means."""

_WORDS = {"true": True, "false": False, "none": None}
_SMALLEST, _LARGEST = (float(x) for x in (np.finfo("f4").tiny, np.finfo("f4").max))
_INT_LIMIT = 2**31 - 2
"""The largest whole number that can be drawn: one more must still be an int32."""


def parse(text: str) -> Any:
    """Return the number, flag, ``None`` or space that ``text`` stands for.

    Raises:
        ValueError: if it stands for none of them, or a number is out of range.

    >>> parse("loguniform(1e-4, 1)")
    LogUniform(low=0.0001, high=1.0)
    >>> parse("0.8, 0.9"), parse("3"), parse("false"), parse("none")
    (Choice([0.8, 0.9]), 3, False, None)
    """
    word = text.strip().lower()
    if word in _WORDS:
        return _WORDS[word]
    node = expression(text)
    if isinstance(node, ast.Call):
        return _space(text, node)
    if isinstance(node, ast.Tuple | ast.List):
        return Choice([_number(text, x) for x in node.elts])
    return _number(text, node)


def expression(text: str) -> ast.expr:
    """The syntax tree of ``text``.

    Raises:
        ValueError: if it is no expression.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's advice on how to write what we refuse
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _unreadable(text) from None


def shortened(text: str, width: int = 60) -> str:
    """``text`` quoted, its middle left out if it is long."""
    half = width // 2
    return repr(text if len(text) <= width else f"{text[:half]}...{text[-half:]}")


def _space(text: str, node: ast.Call) -> Space:
    name = node.func.id.lower().replace("_", "") if isinstance(node.func, ast.Name) else ""
    if name not in FORMS:
        close = difflib.get_close_matches(name, FORMS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Spaces are {', '.join(FORMS)}."
        raise ValueError(f"{shortened(text)} is no space. {hint}")
    cls = FORMS[name]
    example = next(e for e in EXAMPLES if e.startswith(name + "("))
    if cls in (Choice, Grid):
        return cls(_options(text, node, example))
    args = [_number(text, x) for x in node.args]
    named = {str(k.arg): _number(text, k.value) for k in node.keywords}
    try:
        inspect.signature(cls).bind(*args, **named)
    except TypeError:
        raise ValueError(f"{shortened(text)} should look like {example}.") from None
    try:
        return cls(*args, **named)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _options(text: str, node: ast.Call, example: str) -> list[float | int]:
    """The numbers of ``choice(1, 2)`` or ``choice([1, 2])``."""
    if node.keywords or not node.args:
        raise ValueError(f"{shortened(text)} should look like {example}.")
    first = node.args[0]
    listed = first.elts if isinstance(first, ast.List | ast.Tuple) else node.args
    if not listed or (listed is not node.args and len(node.args) > 1):
        raise ValueError(f"{shortened(text)} should look like {example}.")
    return [_number(text, x) for x in listed]


def _number(text: str, node: ast.expr) -> float | int:
    """The number that a literal stands for, with any signs before it."""
    sign = 1
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign = -sign if isinstance(node.op, ast.USub) else sign
        node = node.operand
    if isinstance(node, ast.Name) and node.id.lower() in ("inf", "nan", "infinity"):
        raise ValueError(f"{shortened(text)} must be finite.")
    x = node.value if isinstance(node, ast.Constant) else None
    if type(x) not in (int, float):
        raise _unreadable(text)
    if isinstance(x, int) and x <= _INT_LIMIT:
        return sign * x
    try:
        value = float(x)  # type: ignore[arg-type]
    except OverflowError:
        value = float("inf")
    if value > _LARGEST or 0 < value < _SMALLEST:
        raise ValueError(f"{shortened(text)} is out of the range of single precision.")
    return sign * value


def _unreadable(text: str) -> ValueError:
    return ValueError(
        f"cannot read {shortened(text)}: write a number, true, false, none, a list such as 0.8,0.9 "
        "or a space such as loguniform(1e-4,1)."
    )
