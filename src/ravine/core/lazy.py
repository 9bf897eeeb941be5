"""Names of a package that are loaded when first asked for: nobody needs all of them."""

import ast
import importlib
import sys
from collections.abc import Callable
from typing import Any


def later(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` for a package, whose source says what comes from where.

    What it imports ``if TYPE_CHECKING:`` is what type checkers see, and what is imported
    here at the first use of a name. A name imported from its own package is a module.
    """
    loader = sys.modules[package].__spec__.loader  # type: ignore[union-attr]
    source = loader.get_source(package)  # type: ignore[union-attr]
    origin: dict[str, str] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            for part in statement.body:
                if isinstance(part, ast.ImportFrom):
                    origin.update({alias.name: str(part.module) for alias in part.names})

    def getattr_(name: str) -> Any:
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = None if origin[name] == package else importlib.import_module(origin[name])
        found = getattr(home, name, None) or importlib.import_module(f"{origin[name]}.{name}")
        setattr(sys.modules[package], name, found)
        return found

    def dir_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *origin})

    return getattr_, dir_
