"""Ravine: optimizers as data, and thousands of optimizations in one compiled program."""

from typing import TYPE_CHECKING, Any

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Schedule, Space, Transform
from ravine.engine.batches import Batches
from ravine.engine.minimize import MinimizeResult, minimize
from ravine.engine.prune import Hyperband, MedianPruning, Pruner, SuccessiveHalving
from ravine.engine.result import SweepResult, TrialResult, load
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
from ravine.engine.sweep import sweep
from ravine.engine.trial import Starts
from ravine.engine.watch import Progress
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

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "AddDecayedWeights",
    "AddNoise",
    "Batches",
    "Chain",
    "Choice",
    "Clip",
    "ClipByBlockRms",
    "ClipByGlobalNorm",
    "Diverged",
    "Ema",
    "EmptyState",
    "Frozen",
    "GradNorm",
    "Grid",
    "Hyperband",
    "Identity",
    "IntUniform",
    "LogGrid",
    "LogUniform",
    "Masked",
    "MaxSteps",
    "MedianPruning",
    "MinimizeResult",
    "NAdam",
    "NoisySGD",
    "Normal",
    "Optimizer",
    "Partition",
    "Plateau",
    "PopulationBasedTraining",
    "Problem",
    "Progress",
    "Pruner",
    "RMSProp",
    "Scale",
    "ScaleByAdadelta",
    "ScaleByAdam",
    "ScaleByAdamax",
    "ScaleByAmsgrad",
    "ScaleByLearningRate",
    "ScaleByRms",
    "ScaleByRss",
    "ScaleBySchedule",
    "ScaleByStddev",
    "Schedule",
    "Seen",
    "SetToZero",
    "Space",
    "Starts",
    "Status",
    "StepNorm",
    "Stop",
    "SuccessiveHalving",
    "SweepResult",
    "Target",
    "Trace",
    "Transform",
    "TrialResult",
    "Uniform",
    "__version__",
    "apply_updates",
    "chain",
    "from_optax",
    "load",
    "minimize",
    "plot",
    "problems",
    "rule",
    "schedules",
    "sweep",
    "to_optax",
    "tree",
]


if TYPE_CHECKING:
    from ravine import problems, schedules
    from ravine.engine.population import PopulationBasedTraining
    from ravine.interop.optax import from_optax, to_optax
    from ravine.problems import Problem
    from ravine.report import plot

_LATER = {
    "PopulationBasedTraining": "ravine.engine.population",
    "Problem": "ravine.problems",
    "from_optax": "ravine.interop.optax",
    "plot": "ravine.report.plot",
    "problems": "ravine.problems",
    "schedules": "ravine.schedules",
    "to_optax": "ravine.interop.optax",
}
"""Loaded when first asked for: optional packages, and what not every program needs."""


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _LATER:
        raise AttributeError(f"module 'ravine' has no attribute {name!r}")
    module = importlib.import_module(_LATER[name])
    return module if _LATER[name].endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
