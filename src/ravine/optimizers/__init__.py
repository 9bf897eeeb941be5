"""Optimizers: fields, and the chain of transforms that they abbreviate."""

from ravine.optimizers.adam import Adam, AdamW, NAdam
from ravine.optimizers.adam_max import Adamax, AMSGrad
from ravine.optimizers.adaptive import Adadelta, Adagrad, RMSProp
from ravine.optimizers.base import Optimizer
from ravine.optimizers.sgd import SGD, NoisySGD

__all__ = [
    "SGD",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "NoisySGD",
    "Optimizer",
    "RMSProp",
]
