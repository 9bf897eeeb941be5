"""Transforms: the parts that optimizers are made of, one idea a module."""

from typing import TYPE_CHECKING

from ravine.core.lazy import later

# At once: the function would be hidden by the module of its name.
from ravine.transforms.chain import Chain, chain

if TYPE_CHECKING:
    from ravine.transforms.accumulate import MultiSteps, skip_large_updates, skip_not_finite
    from ravine.transforms.adagrad import ScaleByAdadelta, ScaleByRss
    from ravine.transforms.adahessian import ScaleByAdahessian
    from ravine.transforms.adam import ScaleByAdam, ScaleByAdamax, ScaleByAmsgrad
    from ravine.transforms.adan import ScaleByAdan
    from ravine.transforms.ademamix import ScaleByAdemamix, ScaleBySimplifiedAdemamix
    from ravine.transforms.adopt import ScaleByAdopt
    from ravine.transforms.agc import AdaptiveGradClip
    from ravine.transforms.aggmo import ScaleByAggMo
    from ravine.transforms.apollo import ScaleByApollo
    from ravine.transforms.apply_every import ApplyEvery
    from ravine.transforms.asgd import ScaleByASGD
    from ravine.transforms.atan2 import ScaleByAdamAtan2
    from ravine.transforms.average import SWA, EmaParams
    from ravine.transforms.barzilai_borwein import ScaleByBarzilaiBorwein
    from ravine.transforms.belief import ScaleByAcprop, ScaleByBelief
    from ravine.transforms.bfgs import ScaleByBFGS
    from ravine.transforms.bound import ScaleByAdaBound
    from ravine.transforms.came import ScaleByCame
    from ravine.transforms.cautious import Cautious, CautiousWeightDecay, Grams
    from ravine.transforms.clip import Clip, ClipByBlockRms, ClipByGlobalNorm
    from ravine.transforms.coin import ScaleByCocob
    from ravine.transforms.conjugate import ScaleByConjugateGradient
    from ravine.transforms.dadapt import ScaleByDadaptAdam, ScaleByDadaptLion
    from ravine.transforms.dadapt_adan import ScaleByDadaptAdan
    from ravine.transforms.dadapt_sgd import ScaleByDadaptSgd
    from ravine.transforms.decay import AddDecayedWeights
    from ravine.transforms.dion import ScaleByDion
    from ravine.transforms.distance import ScaleByDistanceOverGradients, ScaleByDog, ScaleByDowg
    from ravine.transforms.factored import ScaleByFactoredRms
    from ravine.transforms.galore import GaLoreDimensionNumbers, ScaleByGalore
    from ravine.transforms.gauss_newton import ScaleByGaussNewton
    from ravine.transforms.grokfast import GrokFast, GrokFastMA
    from ravine.transforms.guard import ApplyIfFinite, ConditionallyMask, ConditionallyTransform
    from ravine.transforms.hessian import (
        GaussNewtonBartlettEstimator,
        HutchinsonEstimatorDiagHessian,
    )
    from ravine.transforms.identity import Identity, SetToZero
    from ravine.transforms.kron import KronProbability, ScaleByKron
    from ravine.transforms.laprop import ScaleByLaprop
    from ravine.transforms.lbfgs import ScaleByLBFGS
    from ravine.transforms.lbfgsb import ScaleByLBFGSB
    from ravine.transforms.linesearch.along import LineSearch
    from ravine.transforms.linesearch.backtracking import Backtracking
    from ravine.transforms.linesearch.box import Box
    from ravine.transforms.linesearch.hager_zhang import HagerZhang
    from ravine.transforms.linesearch.wolfe import StrongWolfe
    from ravine.transforms.lion import ScaleByLion
    from ravine.transforms.lookahead import Lookahead
    from ravine.transforms.madgrad import ScaleByMadgrad
    from ravine.transforms.mars import ReduceVariance
    from ravine.transforms.mask import Frozen, Masked, Partition
    from ravine.transforms.matrices import MuonDimensionNumbers
    from ravine.transforms.mechanic import Mechanize
    from ravine.transforms.mini import ScaleByAdamMini
    from ravine.transforms.mirror import MirrorStep
    from ravine.transforms.model_based import ScaleByMomo, ScaleByMomoAdam
    from ravine.transforms.momentum import Ema, Trace
    from ravine.transforms.monitor import MeasureWithEma, Monitor
    from ravine.transforms.muon import ScaleByMuon, ScaleByShape
    from ravine.transforms.muon_moments import ScaleByAdaMuon, ScaleByNorMuon
    from ravine.transforms.nans import ZeroNans
    from ravine.transforms.newton import ScaleByNewton
    from ravine.transforms.noise import AddNoise
    from ravine.transforms.normalize import Centralize, NormalizeByUpdateNorm, OrthoGrad
    from ravine.transforms.novograd import ScaleByNovograd
    from ravine.transforms.optimistic import ScaleByOptimisticGradient
    from ravine.transforms.packed import Packed
    from ravine.transforms.plateau import ReduceOnPlateau
    from ravine.transforms.polyak import ScaleByPolyak
    from ravine.transforms.precision import Kahan, MasterWeights, StochasticRounding
    from ravine.transforms.privacy import (
        DifferentiallyPrivateAggregate,
        per_example_global_norm_clip,
        per_example_layer_norm_clip,
    )
    from ravine.transforms.prodigy import ScaleByProdigy
    from ravine.transforms.project import KeepParamsNonnegative, Project
    from ravine.transforms.proximal import AcceleratedProximalStep, ProximalStep
    from ravine.transforms.proximal_backtracking import BacktrackedProximalStep
    from ravine.transforms.quasi import ScaleByQHAdam, ScaleByQHM
    from ravine.transforms.radial import RemoveRadial
    from ravine.transforms.rectified import ScaleByRadam
    from ravine.transforms.rms import ScaleByRms, ScaleByStddev
    from ravine.transforms.rprop import ScaleByRprop
    from ravine.transforms.scale import Scale, ScaleByLearningRate, ScaleBySchedule
    from ravine.transforms.schedule_free import ScheduleFree
    from ravine.transforms.scion import ScaleByLmo
    from ravine.transforms.shampoo import ScaleByShampoo
    from ravine.transforms.sharpness import ASAM, SAM
    from ravine.transforms.shrink import ShrinkAfterStep
    from ravine.transforms.sign import ScaleBySign
    from ravine.transforms.slots import CastState, QuantizedState
    from ravine.transforms.sm3 import ScaleBySm3
    from ravine.transforms.soap import ScaleBySoap
    from ravine.transforms.sophia import ScaleBySophia
    from ravine.transforms.stable import ScaleByStableAdam
    from ravine.transforms.stateless import Stateless, StatelessWithTreeMap
    from ravine.transforms.trust.dense import ResidualModel
    from ravine.transforms.trust.region import TrustRegion
    from ravine.transforms.trust.steihaug import HessianModel, ResidualProductModel
    from ravine.transforms.trust_ratio import (
        ScaleByParamBlockNorm,
        ScaleByParamBlockRms,
        ScaleByTrustRatio,
    )
    from ravine.transforms.view import Flatten, SplitRealAndImaginary
    from ravine.transforms.yogi import ScaleByYogi

__getattr__, __dir__ = later(__name__)


__all__ = [
    "ASAM",
    "SAM",
    "SWA",
    "AcceleratedProximalStep",
    "AdaptiveGradClip",
    "AddDecayedWeights",
    "AddNoise",
    "ApplyEvery",
    "ApplyIfFinite",
    "BacktrackedProximalStep",
    "Backtracking",
    "Box",
    "CastState",
    "Cautious",
    "CautiousWeightDecay",
    "Centralize",
    "Chain",
    "Clip",
    "ClipByBlockRms",
    "ClipByGlobalNorm",
    "ConditionallyMask",
    "ConditionallyTransform",
    "DifferentiallyPrivateAggregate",
    "Ema",
    "EmaParams",
    "Flatten",
    "Frozen",
    "GaLoreDimensionNumbers",
    "GaussNewtonBartlettEstimator",
    "Grams",
    "GrokFast",
    "GrokFastMA",
    "HagerZhang",
    "HessianModel",
    "HutchinsonEstimatorDiagHessian",
    "Identity",
    "Kahan",
    "KeepParamsNonnegative",
    "KronProbability",
    "LineSearch",
    "Lookahead",
    "Masked",
    "MasterWeights",
    "MeasureWithEma",
    "Mechanize",
    "MirrorStep",
    "Monitor",
    "MultiSteps",
    "MuonDimensionNumbers",
    "NormalizeByUpdateNorm",
    "OrthoGrad",
    "Packed",
    "Partition",
    "Project",
    "ProximalStep",
    "QuantizedState",
    "ReduceOnPlateau",
    "ReduceVariance",
    "RemoveRadial",
    "ResidualModel",
    "ResidualProductModel",
    "Scale",
    "ScaleByASGD",
    "ScaleByAcprop",
    "ScaleByAdaBound",
    "ScaleByAdaMuon",
    "ScaleByAdadelta",
    "ScaleByAdahessian",
    "ScaleByAdam",
    "ScaleByAdamAtan2",
    "ScaleByAdamMini",
    "ScaleByAdamax",
    "ScaleByAdan",
    "ScaleByAdemamix",
    "ScaleByAdopt",
    "ScaleByAggMo",
    "ScaleByAmsgrad",
    "ScaleByApollo",
    "ScaleByBFGS",
    "ScaleByBarzilaiBorwein",
    "ScaleByBelief",
    "ScaleByCame",
    "ScaleByCocob",
    "ScaleByConjugateGradient",
    "ScaleByDadaptAdam",
    "ScaleByDadaptAdan",
    "ScaleByDadaptLion",
    "ScaleByDadaptSgd",
    "ScaleByDion",
    "ScaleByDistanceOverGradients",
    "ScaleByDog",
    "ScaleByDowg",
    "ScaleByFactoredRms",
    "ScaleByGalore",
    "ScaleByGaussNewton",
    "ScaleByKron",
    "ScaleByLBFGS",
    "ScaleByLBFGSB",
    "ScaleByLaprop",
    "ScaleByLearningRate",
    "ScaleByLion",
    "ScaleByLmo",
    "ScaleByMadgrad",
    "ScaleByMomo",
    "ScaleByMomoAdam",
    "ScaleByMuon",
    "ScaleByNewton",
    "ScaleByNorMuon",
    "ScaleByNovograd",
    "ScaleByOptimisticGradient",
    "ScaleByParamBlockNorm",
    "ScaleByParamBlockRms",
    "ScaleByPolyak",
    "ScaleByProdigy",
    "ScaleByQHAdam",
    "ScaleByQHM",
    "ScaleByRadam",
    "ScaleByRms",
    "ScaleByRprop",
    "ScaleByRss",
    "ScaleBySchedule",
    "ScaleByShampoo",
    "ScaleByShape",
    "ScaleBySign",
    "ScaleBySimplifiedAdemamix",
    "ScaleBySm3",
    "ScaleBySoap",
    "ScaleBySophia",
    "ScaleByStableAdam",
    "ScaleByStddev",
    "ScaleByTrustRatio",
    "ScaleByYogi",
    "ScheduleFree",
    "SetToZero",
    "ShrinkAfterStep",
    "SplitRealAndImaginary",
    "Stateless",
    "StatelessWithTreeMap",
    "StochasticRounding",
    "StrongWolfe",
    "Trace",
    "TrustRegion",
    "ZeroNans",
    "chain",
    "per_example_global_norm_clip",
    "per_example_layer_norm_clip",
    "skip_large_updates",
    "skip_not_finite",
]
