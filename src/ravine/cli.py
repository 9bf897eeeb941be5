"""The command line: parse, call, print.

    ravine sweep digits
    ravine report ravine-digits
    ravine list optimizers

Exit status: 0 all went well, 1 a defect of ravine, 2 something to put right in the call, 130
interrupted. What the commands need is imported when they run, so that help comes at once.
"""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from ravine.report.options import add_options

EXAMPLES = """\
examples:
  ravine sweep digits
      three optimizers, 256 learning rates each, on images of handwritten digits
  ravine sweep digits --optimizers adam,adamw --trials 500 --set b1=0.8,0.9,0.95 \\
      --set "learning_rate=loguniform(1e-4,0.1)" --set "adamw.weight_decay=loguniform(1e-5,0.1)"
      two optimizers, two or three hyperparameters varied at random
  ravine sweep rosenbrock --optimizers plain=sgd,heavy=sgd --set plain.momentum=none \\
      --set "learning_rate=loggrid(1e-5,0.1,50)" --steps 5000
      the same optimizer with and without momentum, over a grid of 50 learning rates
  ravine sweep digits --trials 1000 --steps 2000 --prune halving --sampler sobol
      many trials spread evenly, of which those that fall behind are given up early
  ravine sweep my_model.py:problem --batch-size 32 --seeds 3 --output my-sweep
      a problem of your own, every trial with three seeds

Parentheses mean something to most shells: put quotes around them.
"""

DESCRIPTION = """\
Run many optimizations of one problem side by side. Prints the best trials of each
optimizer, and writes to a folder:
  trials.csv                      a row a trial
  results.npz                     everything, for ravine.load
  best.npz                        the parameters of each optimizer's best trial
  learning_rate.png, curves.png   pictures of what was found
  lanes.png                       a picture of which trial ran where and when
"""


class Refused(Exception):
    """The user's call cannot be carried out; the text says why, and what to change."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints take one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        told = _one_line(f"{self.prog}: error: {message}. Try '{self.prog} --help'.")
        self.exit(2, f"{told}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    asked = sys.argv[1:] if argv is None else list(argv)
    try:
        options = _parser().parse_args(asked)
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return _complain("interrupted.", 130)
    except BrokenPipeError:
        # Whoever read the output has gone; what Python would still flush goes nowhere.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Refused as error:
        if "--traceback" in asked and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        return _complain(f"error: {error}", 2)
    except Exception as error:
        if "--traceback" in asked:
            traceback.print_exc()
        told = f"unexpected error: {type(error).__name__}: {error} (--traceback shows where)"
        return _complain(told, 1)


def _complain(text: str, status: int) -> int:
    print(f"ravine: {_one_line(text)}", file=sys.stderr)
    return status


def _one_line(text: str) -> str:
    """``text`` with its line breaks and what no terminal shows made spaces."""
    return _printable(re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip(), sys.stderr)


def _printable(text: str, stream: Any) -> str:
    """``text`` with an escape for every character that ``stream`` cannot hold."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _say(*lines: str) -> None:
    print(_printable("\n".join(lines), sys.stdout), flush=True)


@contextmanager
def _refusing() -> Iterator[None]:
    """What goes wrong in here is for the user to put right."""
    try:
        yield
    except (TypeError, ValueError, OSError) as error:
        raise Refused(str(error)) from error


@contextmanager
def _refusing_files() -> Iterator[None]:
    """What cannot be written or drawn in here is for the user to put right; the rest is ours."""
    try:
        yield
    except (OSError, ImportError) as error:
        raise Refused(str(error)) from error


def _sweep(options: argparse.Namespace) -> int:
    from ravine.report.prepare import prepare
    from ravine.report.summary import summary, tally

    with _refusing():
        job = prepare(options)
    _say(job.announcement())
    progress = sys.stderr.isatty() if options.progress is None else options.progress
    with _refusing():
        results = job.run(progress)
    if all(status == "running" for status in results.status):
        job.folder.discard()
        return _complain("interrupted before any trial had ended; nothing was written.", 130)
    measures = job.measure(results)
    try:
        with _refusing():
            names = job.write(results, measures)
    finally:
        # Neither a full disk nor a closed pipe takes both the files and the table.
        _say("", summary(results, measures, options.top), "", tally(results))
    _say(f"Written to {job.folder.path}: {', '.join(names)}")
    if not results.info["complete"]:
        return _complain("interrupted; what there was by then is written.", 130)
    return 0


def _report(options: argparse.Namespace) -> int:
    from ravine.report.html import write_report
    from ravine.report.saved import open_saved

    with _refusing():
        saved = open_saved(options.path)
        path = options.output or saved.report
        title = options.title or saved.title
        write_report(saved.results, path, title=title, measures=saved.measures)
    _say(f"Written: {path}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from ravine.report.listing import optimizers_text, problems_text, spaces_text

    texts = {"optimizers": optimizers_text, "problems": problems_text, "spaces": spaces_text}
    shown = [options.what] if options.what else list(texts)
    _say("\n\n".join(texts[what]() for what in shown))
    return 0


def _gallery(options: argparse.Namespace) -> int:
    from ravine.gallery.book import check_names, text_of, write_gallery

    with _refusing():
        names = check_names(options.names)
    if options.list:
        _say(*(f"{name:13} {text_of(name)[0]}" for name in names))
        return 0
    folder = Path(options.out)
    with _refusing_files():
        wrong = write_gallery(folder, names, options.quick, _say)
    _say(f"Written to {folder}: gallery.md and its pictures")
    if wrong:
        told = "; ".join(f"{f.what}: {f.measured}, not {f.theory}" for f in wrong)
        return _complain(f"not as theory says: {told}", 1)
    return 0


def _parser() -> Parser:
    wide = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="ravine",
        description="Many optimizations side by side in one compiled program.",
        epilog=EXAMPLES,
        formatter_class=wide,
        allow_abbrev=False,
    )
    version = f"ravine {sys.modules['ravine'].__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    sweep = commands.add_parser(
        "sweep",
        help="run many optimizations of one problem, and compare them",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=wide,
        allow_abbrev=False,
    )
    add_options(sweep)
    sweep.set_defaults(run=_sweep)

    report = commands.add_parser(
        "report",
        help="make a page of what a sweep found, to open in a browser",
        description="Write one HTML file with everything in it: charts, a table of all trials, and "
        "the best trial as code.",
        allow_abbrev=False,
    )
    add = report.add_argument
    add("path", metavar="FOLDER", type=Path, help="what 'ravine sweep' wrote, or a saved .npz file")
    where = "the file to write (default: report.html in the folder)"
    add("--output", metavar="FILE", type=Path, help=where)
    add("--title", metavar="TEXT", help="the page's heading (default: the folder's name)")
    add("--traceback", action="store_true", help=argparse.SUPPRESS)
    report.set_defaults(run=_report)

    listing = commands.add_parser(
        "list",
        help="show optimizers with their hyperparameters, problems, and spaces",
        description="Show what a sweep can be made of.",
        allow_abbrev=False,
    )
    listing.add_argument("what", nargs="?", choices=["optimizers", "problems", "spaces"])
    listing.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
    listing.set_defaults(run=_list)

    gallery = commands.add_parser(
        "gallery",
        help="draw the classical pictures of optimization from real runs",
        description="Run what the pictures show, check their numbers, and write PNGs and "
        "gallery.md to a folder. All of them take some minutes.",
        allow_abbrev=False,
    )
    gallery.add_argument("names", nargs="*", help="which pictures; all by default")
    gallery.add_argument("--out", default="gallery", metavar="FOLDER", help="where to write to")
    gallery.add_argument("--quick", action="store_true", help="small sizes, no film")
    gallery.add_argument("--list", action="store_true", help="show what there is, and end")
    gallery.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
    gallery.set_defaults(run=_gallery)
    return parser


if __name__ == "__main__":
    sys.exit(main())
