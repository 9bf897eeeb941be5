"""Record what the authors' own code does, for the tests to compare with.

    pip install torch dadaptation==3.2 prodigyopt==1.1.2 schedulefree==1.4.1
    python tests/traces/rate_free.py

Every case starts at the same point of a noisy bowl, and the trace holds the parameters
after each step, in float64: for the schedule-free ones the average as well.
"""

from pathlib import Path
from typing import Any

import dadaptation  # type: ignore[import-not-found]
import numpy as np
import prodigyopt  # type: ignore[import-not-found]
import schedulefree  # type: ignore[import-not-found]
import torch

STEPS = 40
CASES: dict[str, Any] = {
    "DAdaptSGD": lambda p: dadaptation.DAdaptSGD(p, d0=1e-3, momentum=0.8),
    "DAdaptLion": lambda p: dadaptation.DAdaptLion(
        p, lr=0.5, betas=(0.8, 0.9), d0=1e-3, weight_decay=0.1
    ),
    "DAdaptAdan": lambda p: dadaptation.DAdaptAdan(
        p, betas=(0.9, 0.8, 0.95), d0=1e-3, weight_decay=0.1
    ),
    "Prodigy": lambda p: prodigyopt.Prodigy(
        p, betas=(0.8, 0.9), d0=1e-3, weight_decay=0.1, use_bias_correction=True
    ),
    "ScheduleFreeSGD": lambda p: schedulefree.SGDScheduleFreeReference(
        p, lr=0.3, momentum=0.8, weight_decay=0.1, warmup_steps=7
    ),
    "ScheduleFreeAdamW": lambda p: schedulefree.AdamWScheduleFreeReference(
        p, lr=0.1, betas=(0.8, 0.9), weight_decay=0.1, warmup_steps=7
    ),
    "ScheduleFreeRAdam": lambda p: schedulefree.RAdamScheduleFree(
        p, lr=0.1, betas=(0.8, 0.9), weight_decay=0.1, foreach=False
    ),
}


def bowl() -> dict[str, np.ndarray]:
    """Where to start, the curvature, and the noise of each step."""
    rng = np.random.default_rng(0)
    start, curvature = rng.normal(size=4), np.array([1.0, 0.5, 0.2, 2.0])
    return {"start": start, "curvature": curvature, "noise": 0.1 * rng.normal(size=(STEPS, 4))}


def trace(make: Any, start: Any, curvature: Any, noise: Any) -> tuple[np.ndarray, np.ndarray]:
    """The parameters after each step, and the points to evaluate at."""
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer, points, averages = make([p]), [], []
    for z in noise:
        if hasattr(optimizer, "train"):
            optimizer.train()
        p.grad = (torch.tensor(curvature) * p + torch.tensor(z)).detach()
        optimizer.step()
        points.append(p.detach().numpy().copy())
        if hasattr(optimizer, "eval"):
            optimizer.eval()
        averages.append(p.detach().numpy().copy())
    return np.array(points), np.array(averages)


if __name__ == "__main__":
    problem = bowl()
    arrays = dict(problem)
    for name, make in CASES.items():
        arrays[name], average = trace(make, **problem)
        if name.startswith("ScheduleFree"):
            arrays[f"{name}/average"] = average
    np.savez_compressed(Path(__file__).with_suffix(".npz"), **arrays)
