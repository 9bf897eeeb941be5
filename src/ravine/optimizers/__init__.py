"""Optimizers: fields, and the chain of transforms that they abbreviate."""

from typing import TYPE_CHECKING

from ravine.core.lazy import later

if TYPE_CHECKING:
    from ravine.optimizers.adam import Adam, AdamW, NAdam, NAdamW
    from ravine.optimizers.adam_max import Adamax, AdamaxW, AMSGrad
    from ravine.optimizers.adam_mini import AdamMini
    from ravine.optimizers.adam_safe import AdamAtan2, StableAdamW
    from ravine.optimizers.adan import Adan, Yogi
    from ravine.optimizers.adaptive import Adadelta, Adagrad, RMSProp
    from ravine.optimizers.ademamix import AdEMAMix, SimplifiedAdEMAMix
    from ravine.optimizers.adopt import ADOPT
    from ravine.optimizers.asgd import ASGD
    from ravine.optimizers.base import Optimizer
    from ravine.optimizers.belief import ACProp, AdaBelief
    from ravine.optimizers.bound import AdaBound
    from ravine.optimizers.bounded import LBFGSB
    from ravine.optimizers.conjugate_gradient import BarzilaiBorwein, NonlinearCG
    from ravine.optimizers.curvature import AdaHessian, Sophia
    from ravine.optimizers.dadapt import DAdaptAdan, DAdaptLion, DAdaptSGD
    from ravine.optimizers.dion import Dion
    from ravine.optimizers.distance import COCOB, DoG, DoWG
    from ravine.optimizers.factored import CAME, SM3, Adafactor
    from ravine.optimizers.kron import Kron
    from ravine.optimizers.laprop import LaProp
    from ravine.optimizers.layerwise import LAMB, LARS, Fromage
    from ravine.optimizers.least_squares import GaussNewton, LevenbergMarquardt
    from ravine.optimizers.lion import Lion
    from ravine.optimizers.low_rank import APOLLO, APOLLOMini, GaLore
    from ravine.optimizers.madgrad import MADGRAD
    from ravine.optimizers.mars import MARS, MARSLion
    from ravine.optimizers.model_based import MoMo, MoMoAdam
    from ravine.optimizers.muon import Muon
    from ravine.optimizers.muon_moments import AdaMuon, NorMuon
    from ravine.optimizers.newton import Newton, NewtonCG
    from ravine.optimizers.optimistic import OptimisticAdam, OptimisticGradientDescent
    from ravine.optimizers.polyak import PolyakSGD
    from ravine.optimizers.privacy import DPSGD
    from ravine.optimizers.prodigy import DAdaptAdamW, Prodigy
    from ravine.optimizers.proximal import MirrorDescent, ProjectedGradient, ProximalGradient
    from ravine.optimizers.quasi import QHM, AggMo, QHAdam
    from ravine.optimizers.quasi_newton import BFGS, LBFGS
    from ravine.optimizers.radial import SGDP, AdamP
    from ravine.optimizers.rectified import NovoGrad, RAdam
    from ravine.optimizers.schedule_free import (
        ScheduleFreeAdamW,
        ScheduleFreeRAdam,
        ScheduleFreeSGD,
    )
    from ravine.optimizers.scion import Scion
    from ravine.optimizers.sgd import SGD, NoisySGD
    from ravine.optimizers.shampoo import Shampoo
    from ravine.optimizers.sign import Rprop, SignSGD, Signum
    from ravine.optimizers.soap import SOAP

__getattr__, __dir__ = later(__name__)


__all__ = [
    "ADOPT",
    "APOLLO",
    "ASGD",
    "BFGS",
    "CAME",
    "COCOB",
    "DPSGD",
    "LAMB",
    "LARS",
    "LBFGS",
    "LBFGSB",
    "MADGRAD",
    "MARS",
    "QHM",
    "SGD",
    "SGDP",
    "SM3",
    "SOAP",
    "ACProp",
    "AMSGrad",
    "APOLLOMini",
    "AdEMAMix",
    "AdaBelief",
    "AdaBound",
    "AdaHessian",
    "AdaMuon",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamAtan2",
    "AdamMini",
    "AdamP",
    "AdamW",
    "Adamax",
    "AdamaxW",
    "Adan",
    "AggMo",
    "BarzilaiBorwein",
    "DAdaptAdamW",
    "DAdaptAdan",
    "DAdaptLion",
    "DAdaptSGD",
    "Dion",
    "DoG",
    "DoWG",
    "Fromage",
    "GaLore",
    "GaussNewton",
    "Kron",
    "LaProp",
    "LevenbergMarquardt",
    "Lion",
    "MARSLion",
    "MirrorDescent",
    "MoMo",
    "MoMoAdam",
    "Muon",
    "NAdam",
    "NAdamW",
    "Newton",
    "NewtonCG",
    "NoisySGD",
    "NonlinearCG",
    "NorMuon",
    "NovoGrad",
    "OptimisticAdam",
    "OptimisticGradientDescent",
    "Optimizer",
    "PolyakSGD",
    "Prodigy",
    "ProjectedGradient",
    "ProximalGradient",
    "QHAdam",
    "RAdam",
    "RMSProp",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeRAdam",
    "ScheduleFreeSGD",
    "Scion",
    "Shampoo",
    "SignSGD",
    "Signum",
    "SimplifiedAdEMAMix",
    "Sophia",
    "StableAdamW",
    "Yogi",
]
