"""Writes src/ravine/problems/nist.json from the files that NIST publishes.

The files are those of https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml; the source
distribution of lmfit 1.3.4 holds a copy of all 27::

    pip download --no-deps --no-binary lmfit lmfit==1.3.4 && tar xzf lmfit-1.3.4.tar.gz
    python tests/traces/nist.py lmfit-1.3.4/NIST_STRD
"""

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parents[2] / "src" / "ravine" / "problems" / "nist.json"


def read(path: Path) -> tuple[str, dict]:
    """A file as its name and what it holds; the sizes that it tells are checked."""
    lines = path.read_text().splitlines()
    head, table = lines[:60], lines[60:]
    text = "\n".join(head)

    def told(pattern: str) -> str:
        found = re.search(pattern, text)
        assert found, f"{path} does not tell {pattern}"
        return found[1]

    rows = [line.split("=")[1].split() for line in head if re.match(r"\s*b\d\s*=\s", line)]
    first, second, certified, deviations = (list(map(float, c)) for c in zip(*rows, strict=True))
    data = [list(map(float, line.split())) for line in table if line.strip()]
    y, *x = map(list, zip(*data, strict=True))
    assert len(y) == int(told(r"Number of Observations:\s+(\d+)"))
    # The spread tells the degrees of freedom; the line that names them is wrong for Rat43.
    rss, spread = (
        float(told(rf"Residual {what}:\s+(\S+)"))
        for what in ("Sum of Squares", "Standard Deviation")
    )
    assert abs(spread**2 * (len(y) - len(certified)) / rss - 1) < 1e-8
    return told(r"Dataset Name:\s+(\w+)"), {
        "level": told(r"(\w+) Level of Difficulty"),
        "reference": " ".join(told(r"Reference:((?:.*\n)+?)\s*\n").split()),
        "starts": [first, second],
        "parameters": certified,
        "deviations": deviations,
        "sum_of_squares": rss,
        "y": y,
        "x": x,
    }


def main(folder: str) -> None:
    sets = dict(map(read, sorted(Path(folder).glob("*.dat"))))
    assert len(sets) == 27
    lines = [f"{json.dumps(name)}: {json.dumps(sets[name])}" for name in sets]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1])
