"""From the words of a command line to a problem: by name, or out of a file."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ravine import problems
from ravine.problems.problem import Problem
from ravine.spaces.parse import expression, shortened


def find(text: str) -> Problem:
    """Return the problem that ``text`` names.

    ``digits`` is a problem of the package, ``rosenbrock(n=10)`` one with options, and
    ``folder/file.py:name`` one of the user's own: a ``Problem``, or a function without
    arguments that returns one. Without ``:name`` it is called ``problem``.

    Raises:
        ValueError: saying what is unknown, missing or failed, in one sentence or two.

    >>> find("rosenbrock(n=4)").name
    'rosenbrock_4'
    """
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py"):
        path, name = text, "problem"
    if path.endswith(".py"):
        return _from_file(Path(path), name)
    name, options = _call(text)
    try:
        return problems.get(name, **options)
    except ImportError as error:
        raise ValueError(str(error)) from None
    except (TypeError, ValueError) as error:
        more = "" if name in problems.ALL else " Your own is path/to/file.py:name."
        raise ValueError(f"{error}{more}") from None


def _call(text: str) -> tuple[str, dict[str, Any]]:
    """``name(option=value)`` as a name and its options; anything else is a name."""
    if "(" not in text:
        return text.strip(), {}
    wrong = ValueError(f"cannot read {shortened(text)}: write a name, or name(option=value).")
    try:
        node = expression(text)
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            raise wrong
        return node.func.id, {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise wrong from None


def _from_file(path: Path, name: str) -> Problem:
    try:
        if not path.is_file():
            raise ValueError(f"there is no file {shortened(str(path))}.")
    except OSError as error:
        raise ValueError(f"cannot read {shortened(str(path))}: {error.strerror}.") from None
    where = f"{path}:{name}"
    module = _guarded(f"importing {path}", lambda: _module(path))
    if not hasattr(module, name):
        found = [k for k, v in vars(module).items() if isinstance(v, Problem)]
        hint = f" It has {', '.join(found)}." if found else ""
        raise ValueError(f"{path} has no {shortened(name)}.{hint} Say which: {path}:NAME.")
    problem = getattr(module, name)
    # A problem can be called too, to evaluate its loss.
    if not isinstance(problem, Problem) and callable(problem):
        problem = _guarded(f"{where}()", problem)
    if not isinstance(problem, Problem):
        raise ValueError(
            f"{where} must be a ravine Problem, or a function without arguments that returns one; "
            f"got {type(problem).__name__}."
        )
    return problem


def _module(path: Path) -> Any:
    """Run a file as a module whose neighbours it can import, as Python runs a script."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"ravine_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up
    spec.loader.exec_module(module)
    return module


def _guarded(what: str, run: Callable[[], Any]) -> Any:
    """Run somebody else's code; whatever it raises becomes one sentence."""
    try:
        return run()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(f"{what} failed: {type(error).__name__}: {error}") from error
