"""Showing how far a sweep has come, to a person and to a function."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

from ravine.engine.ledger import Ledger


class Progress(NamedTuple):
    """How far a sweep has come."""

    finished: int
    trials: int
    diverged: int
    best: float
    """The smallest score of a trial that has ended: metric, or without one loss."""
    seconds: float
    """Since the first trial began to compile."""


@contextmanager
def watching(
    ledgers: Sequence[Ledger], show: bool, callback: Callable[[Progress], Any] | None = None
) -> Iterator[Callable[[], None]]:
    """Yields what tells a progress bar, if one is to show, and the callback how far it is.

    A callback that returns true ends the sweep as Ctrl-C would.
    """
    began = perf_counter()

    def progress() -> Progress:
        return Progress(
            finished=sum(ledger.finished for ledger in ledgers),
            trials=sum(len(ledger.rows.ids) for ledger in ledgers),
            diverged=sum(ledger.diverged for ledger in ledgers),
            best=min(ledger.best for ledger in ledgers),
            seconds=perf_counter() - began,
        )

    def tell() -> None:
        if callback is not None and callback(progress()):
            raise KeyboardInterrupt

    if not show:
        yield tell
        return
    with catch_warnings():
        # In a notebook without ipywidgets tqdm draws its bar as text, and need not advise.
        simplefilter("ignore")
        from tqdm.auto import tqdm

    total = progress().trials
    with tqdm(total=total, desc="sweep", unit=" trials", mininterval=0, dynamic_ncols=True) as bar:

        def update() -> None:
            now = progress()
            bar.n = now.finished
            bar.set_postfix_str(f"best {now.best:.4g}, {now.diverged} diverged", refresh=False)
            bar.refresh()
            tell()

        yield update
