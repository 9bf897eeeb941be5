"""Results of sweeps that nobody ran, for what shows results."""

from typing import Any

import numpy as np

import ravine as rv
from ravine.engine.status import Status

EVIL = '</script><b title="x">&\'\\u003c'
"""A name that breaks out of whatever does not hold it fast."""


def sample(
    trials: int, names: tuple[str, ...] = ("sgd", "heavy"), **changed: Any
) -> rv.SweepResult:
    """A sweep of SGD: the loss is least where the learning rate is 0.01, and diverges above 2."""
    g = np.random.default_rng(0)
    rate = (10 ** g.uniform(-5, 1, trials)).astype(np.float32)
    momentum = g.uniform(0, 0.99, trials).astype(np.float32)
    values = ((np.log10(rate) + 2) ** 2 + 0.1 + g.exponential(0.3, trials)).astype(np.float32)
    status = np.full(trials, Status.MAX_STEPS, dtype=object)
    status[g.uniform(size=trials) < 0.3] = Status.PRUNED
    status[rate > 2] = Status.DIVERGED
    values[rate > 2] = g.choice([np.inf, np.nan], int(np.sum(rate > 2)))
    history_steps = np.arange(0, 201, 10)
    history = values[:, None] * (1 + 3 * np.exp(-history_steps / 40))
    which = np.arange(trials) * len(names) // max(trials, 1)
    template = rv.SGD(rv.LogUniform(1e-5, 10.0), momentum=rv.Uniform(0.0, 0.99))
    fields: dict[str, Any] = {
        "values": values,
        "best_values": np.where(np.isfinite(values), values, np.nan),
        "metrics": None,
        "steps": np.where(status == Status.PRUNED, 40, 200).astype(np.int32),
        "status": status,
        "names": np.array(names, dtype=object)[which],
        "hyperparameters": {"learning_rate": rate, "momentum": momentum},
        "seeds": None,
        "history": history.astype(np.float32),
        "history_steps": history_steps,
        "aux": None,
        "metric_history": np.zeros((trials, 0), np.float32),
        "metric_steps": np.zeros(0, int),
        "placement": {},
        "kept_ids": np.zeros(0, int),
        "params": None,
        "templates": dict.fromkeys(names, template),
        "swept": dict.fromkeys(names, ("learning_rate", "momentum")),
        "info": {"seconds": 12.5, "lanes": 64, "workers": 2, "occupancy": 0.97, "complete": True},
    }
    return rv.SweepResult(**fields | changed)
