"""What a sweep found out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from operator import index
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ravine.core.html import facts, grid, note, panel, sparkline
from ravine.core.rule import show
from ravine.core.text import table
from ravine.engine.status import RANKED, Status
from ravine.engine.store import read, write
from ravine.spaces.sampling import fill, spaces


@dataclass(frozen=True, eq=False)
class TrialResult:
    """One trial: what it was and how it ended.

    ``params``, the optimizer's ``eval_params`` at the end, is ``None`` unless the sweep kept them
    (see ``keep``); ``history`` holds the loss every so many steps, NaN after the end.
    """

    id: int
    name: str
    optimizer: Any
    hyperparameters: Mapping[str, float]
    seed: int | None
    params: Any = field(repr=False)
    value: float
    best_value: float
    metric: float | None
    steps: int
    status: Status
    history: np.ndarray = field(repr=False)

    def _repr_html_(self) -> str:
        """For notebooks."""
        of: dict[str, Any] = {"optimizer": show(self.optimizer)}
        of |= {} if self.seed is None else {"seed": self.seed}
        title = f"Trial {self.id}" + (f", {self.name}" if self.name else "")
        return panel(title, facts(of | ending(self)), sparkline(self.history))


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The trials of a sweep, in arrays indexed by trial.

    Axis letters: N trials, R records, k kept trials.
    """

    values: np.ndarray
    """Loss at the final parameters, (N,); of a pruned trial, or one cut off by Ctrl-C, the last
    that was evaluated, one step before; NaN for a trial that never began."""
    best_values: np.ndarray
    """Smallest finite loss along the way, (N,); NaN where there was none."""
    metrics: np.ndarray | None
    """The metric at the final parameters, (N,); ``None`` without one."""
    steps: np.ndarray
    """Steps taken, (N,) int32."""
    status: np.ndarray
    """Why each trial ended, (N,) of ``Status``; ``str`` gives the word."""
    names: np.ndarray
    """Which optimizer, (N,) of str; empty strings if there was only one."""
    hyperparameters: dict[str, np.ndarray]
    """The swept numbers by readable name, each (N,); NaN where an optimizer has none."""
    seeds: np.ndarray | None
    """Which seed, (N,) int32; ``None`` if seeds were not an axis."""
    history: np.ndarray
    """Loss every so many steps, (N, R); NaN after a trial's end."""
    history_steps: np.ndarray
    """At which steps, (R,)."""
    aux: Any
    """The loss's aux at the same steps: each leaf (N, R, ...); behind the end NaN, or 0."""
    metric_history: np.ndarray
    """The metric every so many steps, (N, M); NaN after a trial's end."""
    metric_steps: np.ndarray
    """At which steps, (M,)."""
    placement: dict[str, np.ndarray]
    """Where each trial ran, (N,) int32: ``worker``, ``lane``, and ``first`` and ``last`` of the
    worker's segments; -1 if it never began."""
    kept_ids: np.ndarray
    """Whose final parameters are held, (k,), best first; by trial if all are."""
    params: Any
    """Their parameters, stacked: each leaf has a first axis k."""
    templates: dict[str, Any]
    """The optimizers with their spaces, by name."""
    swept: dict[str, tuple[str, ...]]
    """The names of each optimizer's swept numbers, in the order of its spaces."""
    info: dict[str, Any]
    """How it ran: ``seconds``, ``lanes``, ``workers``, ``occupancy``, ``complete``, ..."""
    again: Callable[[int, int], tuple[Any, Any]] | None = field(default=None, repr=False)
    """Runs a trial once more, by its id and steps; ``None`` in a result that was loaded."""

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __iter__(self) -> Iterator[TrialResult]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, id: int) -> TrialResult:
        try:
            i = index(id)
        except TypeError:
            raise TypeError(f"a trial is picked by its id, an int, got {id!r}.") from None
        if not -len(self) <= i < len(self):
            raise IndexError(f"trial {i} of {len(self)}")
        i %= len(self)
        name = str(self.names[i])
        mine = {k: _shortest(self.hyperparameters[k][i]) for k in self.swept[name]}
        place = np.flatnonzero(self.kept_ids == i)
        held = jax.tree.map(lambda x: x[place[0]], self.params) if place.size else None
        return TrialResult(
            id=i,
            name=name,
            optimizer=_filled(self.templates[name], mine),
            hyperparameters=mine,
            seed=None if self.seeds is None else int(self.seeds[i]),
            params=held,
            value=float(self.values[i]),
            best_value=float(self.best_values[i]),
            metric=None if self.metrics is None else float(self.metrics[i]),
            steps=int(self.steps[i]),
            status=self.status[i],
            history=self.history[i],
        )

    @property
    def scores(self) -> np.ndarray:
        """What trials are ranked by, lower is better: the metric, or without one the loss."""
        return self.values if self.metrics is None else self.metrics

    @property
    def ranking(self) -> np.ndarray:
        """The ids of the trials that ended well, best first: by score, then by id.

        A trial that diverged, failed or had not ended is not ranked, nor is one whose score
        is infinite or NaN.
        """
        allowed = np.array([s in RANKED for s in self.status], bool) & np.isfinite(self.scores)
        order = np.argsort(self.scores, kind="stable")
        return order[allowed[order]]

    @property
    def best(self) -> TrialResult:
        """The trial with the smallest finite score: metric, or without one final loss.

        Raises:
            ValueError: if no trial ended with a finite loss.
        """
        ranking = self.ranking
        if not ranking.size:
            raise ValueError(
                f"None of the {len(self)} trials ended with a finite loss. Possible causes: (a) "
                "every learning rate is too large; (b) the loss is NaN at the start; (c) Ctrl-C "
                "came first."
            )
        return self[ranking[0]]

    def top(self, k: int = 10) -> list[TrialResult]:
        """The best ``k`` trials, best first; fewer if fewer ended well."""
        return [self[i] for i in self.ranking[:k]]

    @property
    def occupancy(self) -> float:
        """Useful lane-steps over all that were executed, between 0 and 1."""
        return float(self.info["occupancy"])

    def rerun(self, id: int) -> TrialResult:
        """Run one trial once more, in the same width, with its full history and parameters.

        On a CPU the numbers are the same to the last bit.

        Raises:
            ValueError: if the result was loaded from a file, which holds no loss.
        """
        trial = self[id]
        if self.again is None:
            raise ValueError(
                "rerun needs the loss, which a saved result does not hold. Call sweep again with "
                "the same arguments, then rerun."
            )
        params, history = self.again(trial.id, trial.steps)
        return replace(trial, params=params, history=history)

    def columns(self) -> dict[str, np.ndarray]:
        """One array a column, a row a trial: what ``to_pandas`` and the CSV show."""
        shown: dict[str, np.ndarray] = {"trial": np.arange(len(self))}
        if len(self.templates) > 1 or "" not in self.templates:
            shown["optimizer"] = self.names
        shown |= self.hyperparameters
        if self.seeds is not None:
            shown["seed"] = self.seeds
        if self.metrics is not None:
            shown["metric"] = self.metrics
        return shown | {
            "value": self.values,
            "best_value": self.best_values,
            "steps": self.steps,
            "status": np.array([str(s) for s in self.status], dtype=object),
        }

    def over_seeds(self) -> dict[str, np.ndarray]:
        """One array a column, a row a configuration: its score over its seeds.

        ``mean`` and ``std`` are of the seeds that ended well, ``ended_well`` their number;
        ``first_trial`` is the id of the configuration's first seed.

        Raises:
            ValueError: if seeds were not an axis of the sweep.
        """
        if self.seeds is None:
            raise ValueError("over_seeds needs a sweep with seeds: sweep(..., seeds=5).")
        count = len(set(self.seeds.tolist()))
        good = np.zeros(len(self), bool)
        good[self.ranking] = True
        scores = np.where(good, self.scores, np.nan).astype(float).reshape(-1, count)
        well = good.reshape(-1, count).sum(axis=1)
        some = well > 0
        mean, std = np.full(len(well), np.nan), np.full(len(well), np.nan)
        mean[some], std[some] = np.nanmean(scores[some], axis=1), np.nanstd(scores[some], axis=1)
        shown: dict[str, np.ndarray] = {"first_trial": np.arange(0, len(self), count)}
        if len(self.templates) > 1 or "" not in self.templates:
            shown["optimizer"] = self.names[::count]
        shown |= {name: x[::count] for name, x in self.hyperparameters.items()}
        return shown | {"mean": mean, "std": std, "ended_well": well}

    def to_pandas(self) -> Any:
        """A DataFrame with a row a trial. Needs pandas: ``pip install "ravine[tables]"``."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError('to_pandas needs pandas: pip install "ravine[tables]"') from error
        return pd.DataFrame(self.columns())

    def save(self, path: Any) -> None:
        """Write everything to one ``.npz`` file, without pickle; ``ravine.load`` reads it.

        The file appears whole or not at all.
        """
        write({name: getattr(self, name) for name in _saved()}, path)

    def report(self, path: Any, title: str | None = None) -> Path:
        """Write one HTML file, to open in a browser: charts, all trials, the best one as code.

        The file needs nothing else, neither the network. An earlier report there is replaced.

        Raises:
            ValueError: if ``path`` is a folder, or a file that is no report.
        """
        # Reports stand above the engine: this one is looked up when it is asked for.
        written: Path = import_module("ravine.report.html").write_report(self, path, title)
        return written

    def __repr__(self) -> str:
        header, rows, more = self._best()
        if not rows:
            return f"SweepResult: {self._told()}\nNo trial ended with a finite loss."
        tail = f"\n... and {more} more" if more else ""
        return f"SweepResult: {self._told()}\n{table(header, rows)}{tail}"

    def _repr_html_(self) -> str:
        """For notebooks: the best trials."""
        header, rows, more = self._best()
        if not rows:
            return panel("SweepResult", note(f"{self._told()}. No trial ended with a finite loss."))
        tail = [note(f"... and {more} more")] if more else []
        return panel("SweepResult", note(self._told()), grid(header, rows), *tail)

    def _told(self) -> str:
        counts = {s: int(np.sum(self.status == s)) for s in Status}
        told = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
        return f"{len(self)} trials ({told}), {self.info['seconds']:.3g} s"

    def _best(self) -> tuple[list[str], list[list[Any]], int]:
        """Column names, the ten best trials or, with seeds, configurations, and how many more."""
        if not self.ranking.size:
            return [], [], len(self)
        if self.seeds is None:
            columns, order = self.columns(), self.ranking
        else:
            columns = self.over_seeds()
            order = np.argsort(columns["mean"], kind="stable")
        rows = [[_plain(c[i]) for c in columns.values()] for i in order[:10]]
        return list(columns), rows, len(next(iter(columns.values()))) - len(rows)


def ending(trial: Any) -> dict[str, Any]:
    """How a trial ended, by readable names."""
    metric = {} if trial.metric is None else {"metric": trial.metric}
    told = {"value": trial.value, "best_value": trial.best_value} | metric
    return told | {"steps": trial.steps, "status": str(trial.status)}


def _filled(template: Any, numbers: Mapping[str, float]) -> Any:
    """The optimizer with a trial's numbers; as it is, if a file could not hold a part of it.

    In a column that some optimizers have no number in, integers are stored as floats.
    """
    own = spaces(template)
    if not own.keys() <= numbers.keys():
        return template
    kinds = {name: np.asarray(space.bounds()).dtype for name, space in own.items()}
    whole = {name for name, dtype in kinds.items() if np.issubdtype(dtype, np.integer)}
    return fill(template, [int(numbers[n]) if n in whole else numbers[n] for n in own])


def _shortest(x: np.generic) -> float | int:
    """As a Python number: the shortest decimal that stands for the same float."""
    return int(x) if np.issubdtype(x.dtype, np.integer) else float(str(x))


def _plain(x: Any) -> Any:
    return x.item() if isinstance(x, np.generic) else x


def _saved() -> list[str]:
    return [f.name for f in fields(SweepResult) if f.name != "again"]


def load(path: Any) -> SweepResult:
    """Read what ``SweepResult.save`` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else, or from a newer version.
    """
    data = read(path)
    names = _saved()
    if set(data) != set(names):
        raise ValueError(f"{path} is not a saved sweep: it holds {sorted(data)}, not {names}.")
    return SweepResult(**data)
