"""Transforms: the parts that optimizers are made of, one idea a module."""

from ravine.transforms.adagrad import ScaleByAdadelta, ScaleByRss
from ravine.transforms.adam import ScaleByAdam, ScaleByAdamax, ScaleByAmsgrad
from ravine.transforms.chain import Chain, chain
from ravine.transforms.clip import Clip, ClipByBlockRms, ClipByGlobalNorm
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.identity import Identity, SetToZero
from ravine.transforms.mask import Frozen, Masked, Partition
from ravine.transforms.momentum import Ema, Trace
from ravine.transforms.noise import AddNoise
from ravine.transforms.rms import ScaleByRms, ScaleByStddev
from ravine.transforms.scale import Scale, ScaleByLearningRate, ScaleBySchedule

__all__ = [
    "AddDecayedWeights",
    "AddNoise",
    "Chain",
    "Clip",
    "ClipByBlockRms",
    "ClipByGlobalNorm",
    "Ema",
    "Frozen",
    "Identity",
    "Masked",
    "Partition",
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
    "SetToZero",
    "Trace",
    "chain",
]
