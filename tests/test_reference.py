"""The reference has every public name once, and the gallery's pages say what its modules say."""

import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

import ravine as rv
from ravine import mirror, plot, problems, projections, prox, schedules, transforms
from ravine.gallery import book

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted((DOCS / "reference").glob("*.rst"))
ENTRY = re.compile(
    r"^\.\. (?P<what>currentmodule|automodule|autoclass|autofunction|py:data):: (?P<name>\S+)",
    flags=re.MULTILINE,
)


def entries():
    """Every name in the reference, as one would write it after ``ravine.``."""
    found = Counter()
    for page in PAGES:
        module = ""
        for what, name in ENTRY.findall(page.read_text(encoding="utf-8")):
            if what in ("currentmodule", "automodule"):
                module = name
            else:
                found[f"{module}.{name}".removeprefix("ravine.")] += 1
    return found


def defined(module):
    """What a module without ``__all__`` defines itself, its checks and helpers left out."""
    of_its_own = (
        n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__
    )
    return [name for name in of_its_own if not name.startswith(("_", "check_", "as_"))]


def public():
    """Every public name, modules left out: they are pages."""
    names = {n for n in rv.__all__ if n != "__version__" and not inspect.ismodule(getattr(rv, n))}
    names |= set(transforms.__all__)
    for word, module in {"schedules": schedules, "problems": problems, "plot": plot}.items():
        names |= {f"{word}.{name}" for name in module.__all__}
    for word, module in {"prox": prox, "projections": projections, "mirror": mirror}.items():
        names |= {f"{word}.{name}" for name in defined(module)}
    return names - {"problems.Problem"}  # it is rv.Problem


def test_every_public_name_stands_in_the_reference_once():
    found, there = entries(), public()
    assert there - set(found) == set(), "without a place in docs/reference"
    assert set(found) - there == set(), "in docs/reference, and no public name"
    assert [name for name, n in found.items() if n > 1] == []


def test_every_page_of_the_reference_is_in_its_index():
    index = (DOCS / "reference" / "index.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([a-z-]+)$", index, flags=re.MULTILINE)
    assert sorted(listed) == sorted(page.stem for page in PAGES if page.stem != "index")


@pytest.mark.parametrize("name", book.NAMES)
def test_a_page_of_the_gallery_says_what_its_module_says(name):
    page = (DOCS / "gallery" / f"{name}.md").read_text(encoding="utf-8")
    title, text = book.text_of(name)
    assert page.startswith(f"# {title}\n"), "run docs/gallery/draw.py"
    assert text in page, "run docs/gallery/draw.py"
    assert (DOCS / "gallery" / f"{name}.webp").stat().st_size < 65_000
    assert f"({name}.md)" in (DOCS / "gallery" / "index.md").read_text(encoding="utf-8")
