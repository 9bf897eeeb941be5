"""The classical chapter: gradient descent, momentum, and the first adaptive methods."""

from functools import partial
from typing import Any

import optax

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.interop.optax import from_optax
from tests.registry.entry import Entry, alike, inverse_time, matrices

RATE: Any = {"learning_rate": 0.1}
SMALL: Any = {"learning_rate": 1e-3}
FALLING: Any = {"learning_rate": inverse_time}
# Optax writes a complex moment into such a slot, and loses its imaginary part.
TRACE32: Any = {"accumulator_dtype": "float32", "complex": False}
MU32: Any = {"mu_dtype": "float32", "complex": False}
NOISY: Any = {"smooth": False, "bowl": {"learning_rate": 0.1, "eta": 0.01}}
UNCORRECTED: Any = {"bias_correction_mu": False, "bias_correction_nu": False}

OPTIMIZERS = [
    alike("SGD", **RATE),
    alike("SGD-momentum", **RATE, momentum=0.9),
    alike("SGD-nesterov", **FALLING, momentum=0.5, nesterov=True),
    alike("SGD-float32", **RATE, momentum=0.9, **TRACE32),
    alike(
        "NoisySGD",
        optax.noisy_sgd,
        **RATE,
        eta=2.0,
        gamma=0.1,
        key=3,
        smooth=False,
        bowl={"learning_rate": 0.1, "eta": 0.01},
    ),
    alike("Adagrad", **RATE),
    alike("Adagrad-eps", **FALLING, initial_accumulator_value=1.0, eps=1e-3),
    # Optax squares complex numbers here, where we square their magnitudes.
    alike("Adadelta", learning_rate=1.0, complex=False, bowl={"eps": 1e-2}),
    alike(
        "Adadelta-decay",
        **RATE,
        rho=0.95,
        eps=1e-3,
        weight_decay=0.1,
        weight_decay_mask=matrices,
        complex=False,
    ),
    alike("RMSProp", **RATE),
    alike("RMSProp-momentum", **FALLING, decay=0.99, eps=1e-3, initial_scale=1.0, momentum=0.9),
    alike(
        "RMSProp-nesterov",
        **RATE,
        eps_in_sqrt=False,
        momentum=0.9,
        nesterov=True,
        bias_correction=True,
    ),
    alike("RMSProp-centered", **RATE, centered=True, eps=1e-3),
    alike("Adam", **SMALL),
    alike("Adam-eps", **FALLING, b1=0.5, b2=0.9, eps=1e-3, eps_root=1e-4),
    alike("Adam-nesterov", **RATE, nesterov=True, **MU32),
    alike("NAdam", **SMALL),
    alike("AdamW", **SMALL, weight_decay=0.1),
    alike("AdamW-mask", **FALLING, weight_decay=0.1, mask=matrices, nesterov=True),
    alike("AMSGrad", **SMALL),
    alike("AMSGrad-paper", **RATE, b2=0.9, eps_root=1e-4, **UNCORRECTED, **MU32),
    alike("Adamax", **SMALL),
    alike("Adamax-eps", **FALLING, b1=0.5, b2=0.9, eps=1e-3),
]

TRANSFORMS = [
    alike("Identity"),
    alike("SetToZero"),
    alike("Scale", step_size=-0.3),
    alike("ScaleByLearningRate", **RATE),
    alike("ScaleByLearningRate-up", **FALLING, flip_sign=False),
    alike("ScaleByLearningRate-none"),
    alike("ScaleBySchedule", step_size_fn=inverse_time),
    alike("ScaleByAdam"),
    alike("ScaleByAmsgrad"),
    alike("ScaleByAdamax"),
    alike("ScaleByRms"),
    alike("ScaleByStddev", eps=1e-3),
    alike("ScaleByStddev-corrected", eps_in_sqrt=False, bias_correction=True, skip=1),
    alike("ScaleByRss"),
    alike("ScaleByAdadelta", complex=False),
    alike("Trace", decay=0.9),
    alike("Trace-nesterov", decay=0.5, nesterov=True, **TRACE32),
    alike("Ema", decay=0.9),
    alike("Ema-biased", decay=0.5, debias=False, **TRACE32),
    alike("AddDecayedWeights", weight_decay=0.1),
    alike("AddDecayedWeights-mask", weight_decay=inverse_time, mask=matrices),
    alike("AddNoise", eta=0.1, gamma=0.55, key=1, smooth=False),
    alike("Clip", max_delta=0.5, complex=False),
    alike("ClipByBlockRms", threshold=0.5),
    alike("ClipByGlobalNorm", max_norm=10.0),
]

FAST, SLOW = ro.SGD(0.1, momentum=0.9), ro.Adam(1e-3)

WRAPPERS = [
    Entry(
        "Chain",
        rt.chain(rt.ClipByGlobalNorm(1.0), rt.Trace(0.9), SLOW),
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.trace(0.9), optax.adam(1e-3)),
    ),
    Entry(
        "Masked",
        rt.Masked(rt.Trace(0.9), matrices),
        lambda: optax.masked(optax.trace(0.9), matrices),
    ),
    Entry(
        "Frozen",
        rt.Frozen(SLOW, ("pair*", "empty")),
        lambda: optax.partition(
            {True: optax.set_to_zero(), False: optax.adam(1e-3)},
            {"layer": False, "pair": True, "empty": True, "nothing": None},
        ),
    ),
    Entry(
        "Partition",
        rt.Partition(
            {"fast": FAST, "slow": SLOW, "still": rt.SetToZero()},
            {"*kernel": "slow", "empty": "still", "*": "fast"},
        ),
        lambda: optax.partition(
            {"fast": optax.sgd(0.1, 0.9), "slow": optax.adam(1e-3), "still": optax.set_to_zero()},
            {"layer": "slow", "pair": "fast", "empty": "still", "nothing": None},
        ),
    ),
    Entry("FromOptax", from_optax(optax.lion, 1e-3, b1=0.95), partial(optax.lion, 1e-3, b1=0.95)),
]
