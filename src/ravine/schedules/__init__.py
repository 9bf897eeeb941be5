"""Schedules: numbers that change with the step, in every argument a leaf."""

from typing import TYPE_CHECKING

from ravine.core.lazy import later

if TYPE_CHECKING:
    from ravine.schedules.ademamix import HalfLifeWarmup
    from ravine.schedules.budget import REX, Chebyshev
    from ravine.schedules.compose import Join
    from ravine.schedules.cyclic import CyclicTriangular
    from ravine.schedules.decay import (
        ExponentialDecay,
        InverseSqrtDecay,
        InverseTimeDecay,
        PowerDecay,
        StepDecay,
    )
    from ravine.schedules.onecycle import CosineOneCycle, LinearOneCycle
    from ravine.schedules.piecewise import PiecewiseConstant, PiecewiseInterpolate
    from ravine.schedules.shapes import Constant, CosineDecay, Linear, Polynomial
    from ravine.schedules.stable import WarmupStableDecay
    from ravine.schedules.steps import Jump
    from ravine.schedules.warmup import (
        WarmRestarts,
        WarmupConstant,
        WarmupCosineDecay,
        WarmupExponentialDecay,
    )

__getattr__, __dir__ = later(__name__)


__all__ = [
    "REX",
    "Chebyshev",
    "Constant",
    "CosineDecay",
    "CosineOneCycle",
    "CyclicTriangular",
    "ExponentialDecay",
    "HalfLifeWarmup",
    "InverseSqrtDecay",
    "InverseTimeDecay",
    "Join",
    "Jump",
    "Linear",
    "LinearOneCycle",
    "PiecewiseConstant",
    "PiecewiseInterpolate",
    "Polynomial",
    "PowerDecay",
    "StepDecay",
    "WarmRestarts",
    "WarmupConstant",
    "WarmupCosineDecay",
    "WarmupExponentialDecay",
    "WarmupStableDecay",
]
