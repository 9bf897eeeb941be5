"""Ravine: optimizers as data, and thousands of optimizations in one compiled program."""

from typing import Any

from ravine import problems, schedules
from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Schedule, Space, Transform
from ravine.engine.batches import Batches
from ravine.engine.minimize import MinimizeResult, minimize
from ravine.engine.result import SweepResult, TrialResult
from ravine.engine.status import Status
from ravine.engine.stop import (
    Diverged,
    GradNorm,
    MaxSteps,
    Plateau,
    Seen,
    StepNorm,
    Stop,
    Target,
)
from ravine.engine.store import load
from ravine.engine.sweep import sweep
from ravine.engine.trial import Starts
from ravine.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    NAdam,
    NoisySGD,
    Optimizer,
    RMSProp,
)
from ravine.problems import Problem
from ravine.spaces import Choice, Grid, IntUniform, LogGrid, LogUniform, Normal, Uniform
from ravine.transforms import (
    AddDecayedWeights,
    AddNoise,
    Chain,
    Clip,
    ClipByBlockRms,
    ClipByGlobalNorm,
    Ema,
    Frozen,
    Identity,
    Masked,
    Partition,
    Scale,
    ScaleByAdadelta,
    ScaleByAdam,
    ScaleByAdamax,
    ScaleByAmsgrad,
    ScaleByLearningRate,
    ScaleByRms,
    ScaleByRss,
    ScaleBySchedule,
    ScaleByStddev,
    SetToZero,
    Trace,
    chain,
)

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what needs optional packages when it is first asked for."""
    import importlib

    if name == "plot":
        return importlib.import_module("ravine.report.plot")
    if name in ("from_optax", "to_optax"):
        return getattr(importlib.import_module("ravine.interop.optax"), name)
    raise AttributeError(f"module 'ravine' has no attribute {name!r}")
