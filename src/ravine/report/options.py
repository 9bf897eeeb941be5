"""The options of ``ravine sweep``, and how each is read."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

SAMPLERS = ("random", "sobol", "latin")
PRUNERS = ("halving", "hyperband", "median")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ravine sweep`` to its parser."""
    add = parser.add_argument
    add(
        "problem",
        metavar="PROBLEM",
        help="a name from 'ravine list problems', with options if need be, as in "
        "'rosenbrock(n=10)'; or FILE.py:NAME, a ravine.problems.Problem or a function that returns "
        "one",
    )
    what = parser.add_argument_group("what to try")
    add = what.add_argument
    add(
        "--optimizers",
        metavar="NAMES",
        default="sgd,rmsprop,adam",
        help="names from 'ravine list optimizers', joined by commas; label=name gives one a name "
        "of its own (default: %(default)s)",
    )
    add(
        "--set",
        metavar="[OPTIMIZER.]FIELD=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="a hyperparameter's number, flag (true, false), none, or space (see 'ravine list "
        "spaces'); for all optimizers that have it, or for one; can be repeated",
    )
    add(
        "--trials",
        metavar="N",
        type=_whole(1, 10**7),
        help="trials of each optimizer (default: 256, or all points if every space is a grid)",
    )
    add(
        "--sampler",
        choices=SAMPLERS,
        default="random",
        help="how random spaces are drawn: each trial by itself (random), or so that all together "
        "fill the space more evenly; more --trials later add to the points of sobol, and change "
        "those of latin (default: %(default)s)",
    )
    add("--seeds", metavar="N|LIST", type=_seeds, help="repeat each trial with N seeds, or 0,1,2")
    how = parser.add_argument_group("how to run")
    add = how.add_argument
    add(
        "--steps",
        metavar="N",
        type=_whole(1, 10**9),
        help="steps a trial (default: 200 on data, 1000 without)",
    )
    add(
        "--batch-size",
        metavar="N",
        type=_batch_size,
        help="examples a step; 0 or 'full' for all of them (default: the problem's own)",
    )
    add("--seed", metavar="N", type=_whole(0, 2**32 - 1), default=0, help="default: %(default)s")
    add(
        "--lanes",
        metavar="N",
        type=_whole(1, 2**16),
        help="how many trials a worker runs at once (default: 64)",
    )
    add(
        "--workers",
        metavar="N",
        type=_whole(1, 2**10),
        help="how many sets of lanes run side by side, fed from one queue (default: one for each "
        "accelerator, or for each core of the CPU)",
    )
    add(
        "--prune",
        choices=PRUNERS,
        help="give up on trials that fall behind, and start others in their place: of those that "
        "come to N, 3N, 9N, ... steps the best third goes on (halving); the same, but some trials "
        "begin to be judged later, and some never are (hyperband); every N steps the worse half is "
        "given up (median). N is --prune-after. They are judged by the validation loss if the "
        "problem has one, else by the loss (default: every trial takes all its steps)",
    )
    add(
        "--prune-after",
        metavar="N",
        type=_whole(1, 10**9),
        help="steps after which trials are first judged (default: about 1/27 of --steps)",
    )
    add("--target", metavar="LOSS", type=_real, help="stop a trial at this loss")
    add("--grad-norm", metavar="NORM", type=_real, help="stop a trial at this norm of the gradient")
    add(
        "--diverged-above",
        metavar="LOSS",
        type=_real,
        help="a greater loss counts as diverged, as infinity and NaN do (default: 25 for digits, "
        "ten times the loss of a guess; else none)",
    )
    out = parser.add_argument_group("what to write")
    add = out.add_argument
    add("-o", "--output", metavar="FOLDER", type=Path, help="default: ravine-PROBLEM")
    add(
        "--keep",
        metavar="N|all",
        type=_keep,
        help="whose final parameters go to results.npz: the best N, or all (default: each "
        "optimizer's best)",
    )
    add(
        "--top",
        metavar="N",
        type=_whole(1, 10**6),
        default=3,
        help="rows an optimizer in the table (default: %(default)s)",
    )
    add("--no-pictures", action="store_false", dest="pictures", help="needs no matplotlib")
    add(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="a bar while it runs (default: on a terminal)",
    )
    add("--traceback", action="store_true", help="show where an error came from")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            n = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number") from None
        if not least <= n <= most:
            raise argparse.ArgumentTypeError(f"{n:.3g} is not in [{least}, {most}]")
        return n

    return read


def _real(text: str) -> float:
    try:
        x = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number") from None
    if math.isnan(x):
        raise argparse.ArgumentTypeError("it cannot be NaN")
    return x


def _seeds(text: str) -> int | list[int]:
    read = _whole(0, 2**31 - 2)
    if "," not in text:
        return _whole(1, 10**6)(text)
    listed = [read(part) for part in text.split(",")]
    if len(set(listed)) < len(listed):
        raise argparse.ArgumentTypeError("a seed is there twice")
    return listed


def _batch_size(text: str) -> int:
    return 0 if text == "full" else _whole(0, 2**31 - 2)(text)


def _keep(text: str) -> int | str:
    return text if text == "all" else _whole(1, 10**7)(text)
