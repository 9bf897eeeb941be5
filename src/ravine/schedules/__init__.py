"""Schedules: numbers that change with the step, in every argument a leaf."""

from ravine.schedules.compose import Join
from ravine.schedules.decay import ExponentialDecay, InverseSqrtDecay, InverseTimeDecay
from ravine.schedules.onecycle import CosineOneCycle, LinearOneCycle
from ravine.schedules.piecewise import PiecewiseConstant, PiecewiseInterpolate
from ravine.schedules.shapes import Constant, CosineDecay, Linear, Polynomial
from ravine.schedules.steps import Jump
from ravine.schedules.warmup import (
    WarmRestarts,
    WarmupConstant,
    WarmupCosineDecay,
    WarmupExponentialDecay,
)

__all__ = [
    "Constant",
    "CosineDecay",
    "CosineOneCycle",
    "ExponentialDecay",
    "InverseSqrtDecay",
    "InverseTimeDecay",
    "Join",
    "Jump",
    "Linear",
    "LinearOneCycle",
    "PiecewiseConstant",
    "PiecewiseInterpolate",
    "Polynomial",
    "WarmRestarts",
    "WarmupConstant",
    "WarmupCosineDecay",
    "WarmupExponentialDecay",
]
