"""What a sweep found, in words: the best trials of every optimizer."""

from collections.abc import Mapping

import numpy as np

from ravine.core.text import table
from ravine.engine.result import SweepResult, TrialResult

Measures = Mapping[str, np.ndarray]


def criterion(results: SweepResult, measures: Measures) -> tuple[str, np.ndarray]:
    """By what trials are compared: the validation loss where there is one, else the final loss."""
    if "validation_loss" in measures:
        return "validation loss", measures["validation_loss"]
    return "final loss", results.values


def best_of_each(results: SweepResult, measures: Measures, top: int) -> dict[str, list[int]]:
    """The ids of the best ``top`` trials of every optimizer that ended well, best first."""
    _, y = criterion(results, measures)
    ranked = results.ranking[np.isfinite(y[results.ranking])]
    order = ranked[np.lexsort((ranked, y[ranked]))]
    return {
        str(name): [int(id) for id in order[results.names[order] == name][:top]]
        for name in results.templates
    }


def summary(results: SweepResult, measures: Measures, top: int) -> str:
    """A table of the best trials; measures on test data are left out, to be looked at last."""
    chosen = [id for ids in best_of_each(results, measures, top).values() for id in ids]
    if not chosen:
        cause = "it was interrupted" if not results.info["complete"] else "learning rates too large"
        return f"No trial ended with a finite loss. Possible cause: {cause}."
    shown = {k: v for k, v in measures.items() if not k.startswith("test")}
    seeded = results.seeds is not None
    header = ["optimizer", *results.hyperparameters, *(["seed"] if seeded else [])]
    header += [*(name.replace("validation_", "val. ").replace("_", " ") for name in shown)]
    header += ["train loss" if shown else "loss", "steps", "status"]
    rows = []
    for id in chosen:
        trial = results[id]
        rows.append(
            [
                trial.name,
                *(trial.hyperparameters.get(name, np.nan) for name in results.hyperparameters),
                *([trial.seed] if seeded else []),
                *(float(column[id]) for column in shown.values()),
                trial.value,
                trial.steps,
                str(trial.status),
            ]
        )
    return table(header, rows)


def winners(results: SweepResult, measures: Measures) -> dict[str, TrialResult]:
    """The best trial of every optimizer that has one, of those whose parameters are held."""
    best = {name: ids[0] for name, ids in best_of_each(results, measures, 1).items() if ids}
    return {name: results[id] for name, id in best.items() if id in results.kept_ids}


def columns(results: SweepResult, measures: Measures) -> dict[str, np.ndarray]:
    """What is known of every trial, a column each; a measure never hides another column."""
    own = results.columns()
    if "validation_loss" in measures:
        own.pop("metric", None)  # it is the same, by another name
    return own | {(f"metrics.{k}" if k in own else k): v for k, v in measures.items()}


def tally(results: SweepResult) -> str:
    """How many trials ended in which way, and how long it took."""
    seconds = float(results.info["seconds"])
    ended = int(np.sum([str(s) != "running" for s in results.status]))
    diverged = int(np.sum([str(s) == "diverged" for s in results.status]))
    pruned = int(np.sum([str(s) == "pruned" for s in results.status]))
    rate = f"{seconds:.3g} s, {ended / max(seconds, 1e-9):.3g} trials/s"
    given_up = f", {pruned} pruned" if pruned else ""
    return f"{ended} trials in {rate}; {diverged} diverged{given_up}."
