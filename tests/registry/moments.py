"""Adam-like methods: means of gradients, divided and combined in many ways."""

from typing import Any

import optax

from ravine import optimizers as ro
from ravine import transforms as rt
from tests.registry.entry import Entry, alike, inverse_time, matrices

RATE: Any = {"learning_rate": 0.1}
SMALL: Any = {"learning_rate": 1e-3}
FALLING: Any = {"learning_rate": inverse_time}
DECAYED: Any = {"weight_decay": 0.1, "mask": matrices}
OWN_DECAY: Any = {"weight_decay": 0.1, "weight_decay_mask": matrices}
# Optax writes a complex moment into such a slot, and loses its imaginary part.
MU32: Any = {"mu_dtype": "float32", "complex": False}

OPTIMIZERS: list[Entry] = [
    alike("AdaBelief", optax.adabelief, **SMALL),
    alike("AdaBelief-nesterov", optax.adabelief, **FALLING, eps_root=1e-4, nesterov=True),
    alike("ACProp", **SMALL),
    alike("ACProp-mask", **FALLING, b2=0.9, eps=1e-3, **DECAYED),
    alike("Adan", **SMALL),
    alike("Adan-mask", **FALLING, b1=0.9, b3=0.9, eps=1e-3, **DECAYED),
    alike("Yogi", **SMALL, by_magnitude=False),
    # Optax loses digits in float32 for decays nearer to 1.
    alike("RAdam", **SMALL, b2=0.8),
    alike("RAdam-nesterov", **FALLING, b2=0.7, eps_root=1e-4, threshold=4.5, nesterov=True),
    alike("NovoGrad", optax.novograd, **SMALL),
    alike("NovoGrad-decay", optax.novograd, **FALLING, b2=0.9, eps_root=1e-4, weight_decay=0.1),
    alike("Lion", **SMALL, smooth=False),
    alike("Lion-mask", **FALLING, **MU32, **DECAYED, smooth=False),
    alike("AdEMAMix", **SMALL),
    alike("AdEMAMix-warm", **FALLING, b3=inverse_time, alpha=inverse_time, **DECAYED),
    # Optax squares complex numbers here, where we square their magnitudes.
    alike("SimplifiedAdEMAMix", **SMALL, complex=False, bowl={"learning_rate": 1e-3}),
    alike("SimplifiedAdEMAMix-alpha", **FALLING, alpha=inverse_time, complex=False, **DECAYED),
    # A complex number is clipped in its magnitude, which Optax refuses. It also rounds b2 to
    # float32, which for decays nearer to 1 is seen.
    alike("ADOPT", **SMALL, b2=0.9, complex=False, still=1),
    alike("ADOPT-free", **FALLING, b2=0.9, use_clipping=False, nesterov=True, still=1),
    # Optax rounds its weights to float32, and takes the difference of two points.
    Entry("MADGRAD", ro.MADGRAD(1e-3)),
    Entry("MADGRAD-decay", ro.MADGRAD(inverse_time, momentum=0.5, weight_decay=0.1)),
    alike("NAdamW", **SMALL),
    alike("NAdamW-mask", **FALLING, **DECAYED, nesterov=False),
    alike("AdamaxW", **SMALL),
    alike("AdamaxW-mask", **FALLING, b1=0.5, b2=0.9, eps=1e-3, **DECAYED),
    alike("OptimisticGradientDescent", **RATE),
    alike("OptimisticAdam", optax.optimistic_adam_v2, **SMALL),
    alike("OptimisticAdam-plain", optax.optimistic_adam_v2, **FALLING, beta=0.5, nesterov=False),
    Entry("LaProp", ro.LaProp(1e-3)),
    Entry("AdamAtan2", ro.AdamAtan2(1e-3)),
    Entry("StableAdamW", ro.StableAdamW(1e-3)),
    Entry("AdamMini", ro.AdamMini(1e-3)),
    Entry("AdamMini-element", ro.AdamMini(inverse_time, blocks="element", **OWN_DECAY)),
    Entry("AdaBound", ro.AdaBound(1e-3)),
    Entry("AdaBound-max", ro.AdaBound(inverse_time, gamma=0.1, amsbound=True, **OWN_DECAY)),
    Entry("AdamP", ro.AdamP(1e-3), smooth=False),
    Entry("AdamP-mask", ro.AdamP(inverse_time, delta=2.0, nesterov=True, **OWN_DECAY)),
    Entry("SGDP", ro.SGDP(0.1), smooth=False),
    Entry("SGDP-momentum", ro.SGDP(0.1, momentum=0.9, delta=2.0, nesterov=True, **OWN_DECAY)),
    Entry("QHM", ro.QHM(0.1)),
    Entry("QHAdam", ro.QHAdam(1e-3, nu2=0.9)),
    Entry("AggMo", ro.AggMo(0.1)),
    Entry("MARS", ro.MARS(1e-3)),
    Entry("MARSLion", ro.MARSLion(1e-3), smooth=False),
    Entry("ASGD", ro.ASGD(0.1)),
    Entry("ASGD-mean", ro.ASGD(inverse_time, lambd=0.1, t0=1, **OWN_DECAY)),
]

TRANSFORMS: list[Entry] = [
    alike("ScaleByBelief"),
    alike("ScaleByAcprop"),
    alike("ScaleByAdan"),
    alike("ScaleByYogi", eps_root=1e-4, initial_accumulator_value=1.0, by_magnitude=False),
    alike("ScaleByRadam", b2=0.8),
    alike("ScaleByNovograd"),
    alike("ScaleByLion", smooth=False),
    alike("ScaleByLion-smooth", mode="smooth", smooth_beta=2.0, complex=False),
    alike("ScaleByLion-refined", mode="refined", smooth=False),
    alike("ScaleByAdemamix", alpha=inverse_time),
    alike("ScaleBySimplifiedAdemamix", complex=False),
    alike("ScaleByAdopt", clip_value_fn=inverse_time, complex=False),
    Entry("ScaleByMadgrad", rt.ScaleByMadgrad(0.1)),
    alike("ScaleByOptimisticGradient", alpha=0.5, beta=2.0),
    Entry("ScaleByLaprop", rt.ScaleByLaprop()),
    Entry("ScaleByAdamAtan2", rt.ScaleByAdamAtan2()),
    Entry("ScaleByStableAdam", rt.ScaleByStableAdam(weight_decay=0.1)),
    Entry("ScaleByAdamMini", rt.ScaleByAdamMini()),
    Entry("ScaleByAdaBound", rt.ScaleByAdaBound(0.1)),
    Entry("ScaleByQHM", rt.ScaleByQHM()),
    Entry("ScaleByQHAdam", rt.ScaleByQHAdam()),
    Entry("ScaleByAggMo", rt.ScaleByAggMo()),
    Entry("ReduceVariance", rt.ReduceVariance()),
    Entry("ScaleByASGD", rt.ScaleByASGD(0.1)),
    Entry("GrokFast", rt.GrokFast()),
    Entry("GrokFastMA", rt.GrokFastMA(window_size=2)),
    Entry("GrokFastMA-sum", rt.GrokFastMA(window_size=3, filter_type="sum", warmup=False)),
]

WRAPPERS: list[Entry] = [
    Entry("RemoveRadial", rt.RemoveRadial(rt.Trace(0.9), weight_decay=0.1), smooth=False),
]
