"""A sweep that the command line has checked: it runs, is measured, and is written down."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ravine.core.rule import show
from ravine.engine.result import SweepResult
from ravine.engine.sweep import sweep
from ravine.optimizers import Optimizer
from ravine.problems.problem import Problem
from ravine.report import folder as files
from ravine.report.choose import hyperparameters
from ravine.report.measure import decimals, measure
from ravine.report.pictures import (
    curves_picture,
    lanes_picture,
    main_hyperparameter,
    rate_picture,
)
from ravine.report.summary import Measures, columns, criterion, winners

Writers = dict[str, Callable[[Path], None]]


@dataclass(frozen=True)
class Job:
    """A problem, its optimizers, how to run them, and where to write what came of it."""

    problem: Problem
    optimizers: Mapping[str, Optimizer]
    sizes: Mapping[str, int]
    """How many trials each optimizer gets, seeds included."""
    arguments: Mapping[str, Any]
    """What else ``sweep`` is called with."""
    folder: files.Folder
    keep: int | str | None
    """Whose parameters to save: the best so many, ``"all"``, or each optimizer's best."""
    pictures: bool

    def announcement(self) -> str:
        """What is about to run, in a few lines."""
        batches, total = self.arguments["batches"], sum(self.sizes.values())
        head = f"{self.problem.name}: {total} trials of {self.arguments['steps']} steps"
        if batches is not None:
            head += f" on batches of {batches.size or batches.examples}"
        if self.arguments["prune"] is not None:
            judged = "loss" if self.arguments["metric"] is None else "validation loss"
            head += f", pruned by {show(self.arguments['prune'])} on the {judged}"
        width = max(map(len, self.sizes))
        counts = max(len(str(n)) for n in self.sizes.values())
        lines = [
            f"  {name.ljust(width)}  {str(self.sizes[name]).rjust(counts)} x {_short(optimizer)}"
            for name, optimizer in self.optimizers.items()
        ]
        return "\n".join([head, *lines])

    def run(self, progress: bool) -> SweepResult:
        """Run the sweep; on Ctrl-C it comes back early, with what there is.

        Raises:
            ValueError: in one sentence, whatever went wrong, in a user's own function too.
        """
        loss, init = self.problem.loss, self.problem.init
        try:
            return sweep(loss, init, dict(self.optimizers), progress=progress, **self.arguments)
        except BaseException as error:
            self.folder.discard()
            if not isinstance(error, Exception):
                raise
            kind = "" if isinstance(error, TypeError | ValueError) else f"{type(error).__name__}: "
            hint = ""
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                hint = " Lower --lanes or --trials."
            raise ValueError(f"{self.problem.name}: {kind}{error}{hint}") from error

    def measure(self, results: SweepResult) -> Measures:
        """The problem's metrics at the end of every trial."""
        measured = measure(results, self.problem.metrics)
        if results.metrics is not None:  # the sweep knows it, of trials not held too
            measured["validation_loss"] = decimals(results.metrics)
        return measured

    def write(self, results: SweepResult, measures: Measures) -> list[str]:
        """Write everything into the folder, in place of an earlier sweep; return the names.

        Raises:
            OSError: if a file cannot be written.
        """
        best = winners(results, measures)
        held = results
        if self.keep != "all":
            some = results.ranking[: self.keep] if self.keep else [t.id for t in best.values()]
            held = files.with_params_of(results, np.asarray(some, int))
        writers: Writers = {files.RESULTS: partial(files.write_results, results=held)}
        writers["trials.csv"] = partial(files.write_csv, columns=columns(results, measures))
        if best:
            writers["best.npz"] = partial(files.write_params, winners=best)
        if self.pictures:
            writers |= self._pictures(results, measures)
        self.folder.clear()
        return [self.folder.write(name, writer) for name, writer in writers.items()]

    def _pictures(self, results: SweepResult, measures: Measures) -> Writers:
        label, y = criterion(results, measures)
        x = main_hyperparameter(results)
        title = f"{self.problem.name}, {len(results)} trials"
        last: Writers = {"lanes.png": partial(lanes_picture, results=results, title=title)}
        if x is None:
            return last
        common: dict[str, Any] = {"results": results, "x": x, "title": title}
        batches = self.arguments["batches"]
        smooth = 1 if batches is None or batches.size is None else 5
        name = "learning_rate.png" if x == "learning_rate" else "hyperparameter.png"
        own = None if y is results.values else y
        return {
            name: partial(rate_picture, y=own, label=label, **common),
            "curves.png": partial(curves_picture, smooth=smooth, **common),
        } | last


def _short(optimizer: Optimizer) -> str:
    """An optimizer with what differs from its defaults, and spaces without their fields' names."""
    parts = [
        f"{name}={re.sub(r'[a-z]+=', '', show(value))}"
        for name, field in hyperparameters(type(optimizer)).items()
        if (value := getattr(optimizer, name)) is not field.default
    ]
    return f"{type(optimizer).__name__}({', '.join(parts)})"
