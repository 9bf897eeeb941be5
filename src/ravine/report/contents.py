"""What a report's page shows, as plain data: numbers packed, everything else words.

Axis letters: N trials of the sweep, n trials shown, R records of a history.
"""

import base64
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ravine.core.rule import show
from ravine.engine.result import SweepResult
from ravine.engine.status import Status
from ravine.report.rerun import recipe
from ravine.report.summary import criterion

MOST = 100_000
"""How many trials the page holds: the best half of them, and the others evenly."""
_CURVES = 200_000
"""How many numbers of learning curves it holds."""

_MEANING = {
    Status.RUNNING: "not ended: the sweep was interrupted, or the trial never began",
    Status.CONVERGED: "a stopping test that means convergence holds",
    Status.MAX_STEPS: "all steps were taken",
    Status.DIVERGED: "the loss became infinite or NaN, or rose above the limit",
    Status.PRUNED: "given up in favour of better trials",
    Status.FAILED: "it could not be run",
    Status.STALLED: "no step led lower: a minimum, as far as the digits can tell",
}


def contents(
    results: SweepResult,
    title: str | None = None,
    measures: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Everything that the page shows; ``measures`` are further columns, each (N,)."""
    own = results.columns()
    # A folder of `ravine sweep` knows the metric by another name.
    if measures and "validation_loss" in measures:
        own.pop("metric", None)
    columns = own | {k: v for k, v in (measures or {}).items() if k not in own}
    score = next(k for k in ("validation_loss", "metric", "value") if k in columns)
    # By what the command line compares them too: its validation loss, if it measured one.
    _, compared = criterion(results, measures or {})
    ranking = results.ranking[np.isfinite(compared[results.ranking])]
    ranking = ranking[np.lexsort((ranking, compared[ranking]))]
    shown = _shown(len(results), ranking)
    rank = np.zeros(len(results), np.int32)
    rank[ranking] = np.arange(1, len(ranking) + 1)
    return {
        "title": title or _title(results),
        "version": sys.modules["ravine"].__version__,
        "trials": len(results),
        "complete": bool(results.info.get("complete", True)),
        "facts": _facts(results),
        "score": score,
        "main": _main(results),
        "optimizers": [_optimizer(results, name, ranking) for name in results.templates],
        "statuses": [
            {"name": str(s), "meaning": _MEANING[s], "count": int(np.sum(results.status == s))}
            for s in Status
        ],
        "columns": [
            _column(name, np.asarray(x)[shown], name in results.hyperparameters)
            for name, x in ({"trial": own["trial"], "rank": rank} | columns).items()
        ],
        "seeds": _over_seeds(results),
        "history": _history(results, shown, ranking),
    }


def _shown(trials: int, ranking: np.ndarray) -> np.ndarray:
    """The ids of the trials on the page, (n,), in their order."""
    if trials <= MOST:
        return np.arange(trials)
    best = ranking[: MOST // 2]
    others = np.setdiff1d(np.arange(trials), best)
    even = np.linspace(0, len(others) - 1, MOST - len(best)).astype(int)
    return np.sort(np.concatenate([best, others[even]]))


def _title(results: SweepResult) -> str:
    names = [name or type(t).__name__ for name, t in results.templates.items()]
    head = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"Sweep of {head}"


def _facts(results: SweepResult) -> dict[str, str]:
    """How the sweep ran, by short names."""
    info = results.info
    seconds = float(info.get("seconds", math.nan))
    ended = int(np.sum(results.status != Status.RUNNING))
    facts = {"trials": f"{len(results):,}", "seconds": f"{seconds:.3g}"}
    if seconds > 0:
        rate = ended / seconds
        facts["trials a second"] = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
    facts["steps taken"] = f"{int(np.sum(results.steps, dtype=np.int64)):,}"
    for name in ("lanes", "workers"):
        if name in info:
            facts[name] = f"{info[name]}"
    if "occupancy" in info:
        facts["lanes busy"] = f"{100 * float(info['occupancy']):.0f} %"
    return facts


def _main(results: SweepResult) -> str | None:
    """The hyperparameter to look at first: the learning rate, or the first that was varied."""
    varied = [n for n, x in results.hyperparameters.items() if len(np.unique(x[x == x])) > 1]
    return "learning_rate" if "learning_rate" in varied else next(iter(varied), None)


def _optimizer(results: SweepResult, name: str, ranking: np.ndarray) -> dict[str, Any]:
    template = results.templates[name]
    mine = np.flatnonzero(results.names == name)
    ranked = ranking[results.names[ranking] == name]
    return {
        "name": name,
        "template": show(template),
        "trials": len(mine),
        "ended_well": len(ranked),
        "best": int(ranked[0]) if ranked.size else None,
        "swept": list(results.swept[name]),
        "recipe": recipe(template, results.swept[name]),
    }


def _column(name: str, x: np.ndarray, swept: bool) -> dict[str, Any]:
    """A column: packed numbers, or for words the codes of their categories."""
    head = {"name": name, "swept": swept}
    if x.dtype == object or x.dtype.kind in "US":
        words = np.array([str(v) for v in x], dtype=object)
        places: dict[str, int] = {}
        codes = np.array([places.setdefault(w, len(places)) for w in words], np.int32)
        return head | {"categories": list(places), **_packed(codes)}
    return head | _packed(x)


def _packed(x: np.ndarray) -> dict[str, str]:
    """Numbers as little-endian bytes in base 64, of the smallest type that loses nothing."""
    if x.dtype.kind in "biu":
        kind = "i4" if not x.size or np.abs(x.astype(float)).max() < 2**31 else "f8"
    else:
        kind = "f8" if x.dtype.itemsize > 4 and x.dtype.kind == "f" else "f4"
    data = np.ascontiguousarray(x.astype(f"<{kind}")).tobytes()
    return {"type": kind, "data": base64.b64encode(data).decode("ascii")}


def _over_seeds(results: SweepResult) -> list[dict[str, Any]] | None:
    """The ten configurations that are best on average over their seeds, if there are seeds."""
    if results.seeds is None:
        return None
    table = results.over_seeds()
    order = np.argsort(table["mean"], kind="stable")[:10]
    order = order[np.isfinite(table["mean"][order])]
    return [
        {
            "trial": int(table["first_trial"][i]),
            "mean": float(table["mean"][i]),
            "std": float(table["std"][i]),
            "ended_well": int(table["ended_well"][i]),
        }
        for i in order
    ]


def _history(results: SweepResult, shown: np.ndarray, ranking: np.ndarray) -> dict[str, Any] | None:
    """Learning curves of as many trials as there is room for: half the best, half at random."""
    records = results.history.shape[1]
    if records < 2:
        return None
    room = max(_CURVES // records, 20)
    ids = shown
    if len(ids) > room:
        best = ranking[: room // 2]
        others = np.random.default_rng(0).permutation(np.setdiff1d(shown, best))
        ids = np.concatenate([best, others[: room - len(best)]])
    return {
        "steps": _packed(results.history_steps),
        "trials": _packed(ids.astype(np.int32)),
        "values": _packed(np.asarray(results.history[ids], np.float32)),
    }
