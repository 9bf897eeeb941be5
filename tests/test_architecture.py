"""The import graph is the architecture: read from the sources, without importing them."""

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "ravine"
# From the ground up: a module may import its own layer and those before it.
LAYERS = [
    "core",
    "transforms",
    "schedules",
    "spaces",
    "problems",
    "optimizers",
    "engine",
    "interop",
    "plot",
    "report",
    "gallery",
    "cli",
]
CORE_DEPENDENCIES = {"jax", "jaxlib", "numpy", "tqdm"}


class Import(NamedTuple):
    """One import statement: who, what, and whether it runs when the module is loaded."""

    importer: str
    target: str
    line: int
    on_load: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports_of(module: str) -> list[Import]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[Import] = []

    def visit(node: ast.AST, on_load: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(module, a.name, node.lineno, on_load) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                target = inner if inner in MODULES else base
                found.append(Import(module, target, node.lineno, on_load))
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        later = later or (isinstance(node, ast.stmt) and is_type_checking(node))
        for child in ast.iter_child_nodes(node):
            visit(child, on_load and not later)

    visit(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


IMPORTS = [found for module in MODULES for found in imports_of(module)]
INTERNAL = [i for i in IMPORTS if i.target.split(".")[0] == "ravine"]


def layer(module: str) -> int:
    """The height of a module: 0 for core, and above all layers for the package itself."""
    parts = module.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 else len(LAYERS)


def test_every_module_belongs_to_a_layer():
    strangers = [m for m in MODULES if "." in m and m.split(".")[1] not in LAYERS]
    # `python -m ravine` is the command line under another name.
    assert set(strangers) <= {"ravine.__main__"}


def test_imports_point_to_the_same_layer_or_a_lower_one():
    # The pictures of the gallery are written as anybody would write them.
    allowed = {(m, "ravine") for m in MODULES if m.startswith("ravine.gallery.")}
    wrong = [
        str(i)
        for i in INTERNAL
        if i.importer != "ravine.__main__"
        and (i.importer, i.target) not in allowed
        and layer(i.target) > layer(i.importer)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_module_graph_has_no_cycle():
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for i in INTERNAL:
        # A package's own __init__ may list what is inside it.
        if i.importer != "ravine":
            graph[i.importer].add(i.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("leaf", ["interop", "report", "gallery", "cli"])
def test_leaves_are_imported_by_nobody_below_the_surface(leaf):
    surface = {"ravine", "ravine.cli", "ravine.__main__"}
    wrong = [
        str(i)
        for i in INTERNAL
        if i.target.split(".")[1:2] == [leaf]
        and i.importer not in surface
        and i.importer.split(".")[1] != leaf
    ]
    assert not wrong, "\n".join(wrong)


def test_loading_any_module_needs_the_core_dependencies_only():
    allowed = CORE_DEPENDENCIES | set(sys.stdlib_module_names) | {"ravine"}
    wrong = [str(i) for i in IMPORTS if i.on_load and i.target.split(".")[0] not in allowed]
    assert not wrong, "\n".join(wrong)


def texts() -> list[Path]:
    """The files that people read: sources, tests, benchmarks, pages and settings."""
    folders = [ROOT / name for name in ("src", "tests", "benchmarks", "docs", "examples")]
    inside = [p for folder in folders for p in folder.rglob("*") if p.suffix in {".py", ".md"}]
    top = [p for p in ROOT.iterdir() if p.suffix in {".py", ".md", ".toml"}]
    return sorted(p for p in [*inside, *top, ROOT / ".ci" / "run"] if p.is_file())


def test_texts_hold_no_loose_ends():
    # Spelled in two halves, so that this file passes its own test.
    banned = ["TO" + "DO", "FIX" + "ME", "issue" + " #"]
    banned += [f"/{folder}/" for folder in ("work", "tmp", "root", "home")]
    lines = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(word in line for word in banned)
    ]
    assert not lines, "\n".join(lines)


def test_the_changelog_knows_this_version():
    source = (SOURCE / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    assert version is not None
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
