"""Draw the gallery again, at full size: `python docs/gallery/draw.py`, or with some names.

Writes a page and a small picture for each beside this file, in about ten minutes on two cores. The
tests hold the pages to the docstrings in `src/ravine/gallery`.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ravine.gallery import book
from ravine.plot.style import style

HERE = Path(__file__).resolve().parent
WIDTH, BYTES = 1200, 60_000
"""How wide a picture is, in pixels, and about what it may weigh."""

CODE = """
## The code

[`src/ravine/gallery/{name}.py`](../../src/ravine/gallery/{name}.py), which
`ravine gallery {name}` runs.

```{{literalinclude}} ../../src/ravine/gallery/{name}.py
:language: python
:start-at: {first}
```
"""


def main() -> None:
    """Draw the pictures that are named, or all."""
    for name in book.check_names(sys.argv[1:]):
        with style():
            picture = book.make(name)
            picture.figure.canvas.draw()
        if picture.wrong:
            raise SystemExit(f"{name}: {picture.wrong}")
        shrink(np.asarray(picture.figure.canvas.buffer_rgba()), HERE / f"{name}.webp")
        text = book._page(name, picture, film=False).replace(".png)", ".webp)")
        (HERE / f"{name}.md").write_text(text.removeprefix("#") + code(name), encoding="utf-8")
        print(name, flush=True)


def code(name: str) -> str:
    """The part of a page that shows the code, from the first import on."""
    source = (HERE.parents[1] / "src" / "ravine" / "gallery" / f"{name}.py").read_text("utf-8")
    first = next(line for line in source.split('"""')[2].splitlines() if line)
    return CODE.format(name=name, first=first)


def shrink(pixels: Any, path: Path) -> None:
    """Write a picture that a repository can carry."""
    image = Image.fromarray(pixels).convert("RGB")
    height = round(image.height * WIDTH / image.width)
    image = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
    for quality in (75, 65, 55, 45):
        image.save(path, format="webp", quality=quality, method=6)
        if path.stat().st_size <= BYTES:
            break


if __name__ == "__main__":
    main()
