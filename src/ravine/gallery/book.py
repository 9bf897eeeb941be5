"""The gallery as files: a PNG a picture, a film where there is one, and a page that shows them."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from ravine.gallery.base import Fact, Picture
from ravine.plot.style import save, style

NAMES = (
    "regimes",
    "regression",
    "batches",
    "ravine",
    "heavy_ball",
    "saddle",
    "basins",
    "vanishing",
    "annealing",
    "newton",
    "trainability",
    "edge",
)
"""The pictures, in the order of the chapter."""


def check_names(names: Sequence[str]) -> list[str]:
    """The pictures asked for, in the order of the chapter; all of them if none is named.

    Raises:
        ValueError: if there is no such picture.

    >>> check_names(["saddle", "regimes"])
    ['regimes', 'saddle']
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"there is no picture {unknown[0]!r}; there are {', '.join(NAMES)}.")
    return [name for name in NAMES if name in names or not names]


def text_of(name: str) -> tuple[str, str]:
    """The title of a picture, and what one sees in it."""
    told = importlib.import_module(f"ravine.gallery.{name}").__doc__ or name
    title, _, rest = told.strip().partition("\n")
    return title.rstrip("."), rest.strip()


def make(name: str, quick: bool = False) -> Picture:
    """Run what a picture shows, and draw it."""
    picture: Picture = importlib.import_module(f"ravine.gallery.{name}").picture(quick)
    return picture


def write_gallery(
    folder: Path, names: Sequence[str], quick: bool = False, say: Callable[[str], None] = print
) -> list[Fact]:
    """Make the pictures, write them and ``gallery.md`` to a folder, and return the wrong facts.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pages, wrong = ["# Gallery\n"], []
    for name in names:
        began = perf_counter()
        with style():
            picture = make(name, quick)
            save(picture.figure, folder / f"{name}.png", colours=None)
            if picture.film is not None and not quick:
                picture.film(folder / f"{name}.gif")
        pages.append(_page(name, picture, (folder / f"{name}.gif").exists() and not quick))
        wrong += picture.wrong
        right = len(picture.facts) - len(picture.wrong)
        took = perf_counter() - began
        say(f"{name:13} {right} of {len(picture.facts)} facts hold, {took:.1f} s")
        # The page is there after each picture, should the next be interrupted.
        (folder / "gallery.md").write_text("\n".join(pages), encoding="utf-8")
    return wrong


def _page(name: str, picture: Picture, film: bool) -> str:
    title, text = text_of(name)
    rows = [
        f"| {fact.what} | {fact.measured} | {fact.theory}{'' if fact.holds else ' **(missed)**'} |"
        for fact in picture.facts
    ]
    table = [
        "| | measured | theory |",
        "|---|---|---|",
        *(row.replace("|η", "\\|η") for row in rows),
    ]
    images = [f"![{title}]({name}.png)\n", *([f"![{title}, moving]({name}.gif)\n"] if film else [])]
    return "\n".join([f"## {title}\n", *images, text, "", *table, ""])
