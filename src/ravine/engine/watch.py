"""Showing how far a sweep has come."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ravine.engine.ledger import Ledger


@contextmanager
def watching(ledgers: Sequence[Ledger], show: bool, title: str) -> Iterator[Callable[[], None]]:
    """A progress bar over all trials while the block runs, or none; yields what updates it."""
    if not show:
        yield lambda: None
        return
    from tqdm.auto import tqdm

    total = sum(len(ledger.rows.ids) for ledger in ledgers)
    with tqdm(total=total, desc=title, unit=" trials", mininterval=0, dynamic_ncols=True) as bar:

        def update() -> None:
            best = min(ledger.best for ledger in ledgers)
            diverged = sum(ledger.diverged for ledger in ledgers)
            bar.n = sum(ledger.finished for ledger in ledgers)
            bar.set_postfix_str(f"best {best:.4g}, {diverged} diverged", refresh=False)
            bar.refresh()

        yield update
