"""Optimizers that find their learning rate, and schedule-free ones."""

from typing import Any

import optax

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core import tree
from tests.registry.entry import Entry, alike, inverse_time, matrices

# Optax mixes a complex inner product with real sums, or squares complex numbers.
REAL: Any = {"complex": False}
# They start from a rate far too small, which is a setting, and need their time to leave it.
FREE: Any = {"complex": False, "bowl": {}}
DECAY: Any = {"weight_decay": 0.1, "mask": matrices}


def loss(updates: Any, params: Any) -> dict[str, Any]:
    """The value of a loss, finite for half-precision gradients too."""
    return {"value": tree.norm_sq(updates) + 0.5}


MODEL: Any = {"complex": False, "extra": loss, "bowl": {}}

OPTIMIZERS = [
    alike("Prodigy", **FREE),
    alike(
        "Prodigy-warmup",
        learning_rate=inverse_time,
        betas=(0.8, 0.9),
        beta3=0.95,
        eps=1e-3,
        estim_lr0=1e-3,
        estim_lr_coef=0.5,
        weight_decay=0.1,
        safeguard_warmup=True,
        **REAL,
    ),
    alike("DAdaptAdamW", **FREE),
    alike(
        "DAdaptAdamW-decay",
        learning_rate=inverse_time,
        betas=(0.8, 0.9),
        eps=1e-3,
        estim_lr0=1e-3,
        weight_decay=0.1,
        **REAL,
    ),
    alike("DoG", **FREE),
    alike("DoG-distance", init_step=("distance", 0.1), eps=1e-3, **DECAY, **REAL),
    alike("DoG-rate", init_step=("learning_rate", 0.1), learning_rate=inverse_time, **REAL),
    alike("DoWG", **FREE),
    alike("DoWG-decay", init_estim_sq_dist=1.0, learning_rate=inverse_time, **DECAY, **REAL),
    alike("COCOB", **FREE, skip=1),
    alike("COCOB-decay", learning_rate=inverse_time, alpha=10.0, eps=1e-3, **DECAY, **REAL),
    alike("MoMo", optax.contrib.momo, **MODEL),
    alike("MoMoAdam", optax.contrib.momo_adam, **MODEL | {"bowl": {"learning_rate": 0.1}}),
    Entry("DAdaptSGD", ro.DAdaptSGD(0.01), bowl={"learning_rate": 1.0}),
    Entry("DAdaptLion", ro.DAdaptLion(0.1), smooth=False, bowl={}),
    Entry("DAdaptAdan", ro.DAdaptAdan(), bowl={"b1": 0.9}),
    # In float32 Optax takes the difference of two points, and so does Mechanic.
    Entry("ScheduleFreeSGD", ro.ScheduleFreeSGD(0.1)),
    Entry("ScheduleFreeAdamW", ro.ScheduleFreeAdamW(warmup_steps=10)),
    Entry("ScheduleFreeRAdam", ro.ScheduleFreeRAdam(), still=5),
]

TRANSFORMS = [
    Entry("ScaleByProdigy", rt.ScaleByProdigy()),
    Entry("ScaleByDadaptAdam", rt.ScaleByDadaptAdam()),
    Entry("ScaleByDadaptSgd", rt.ScaleByDadaptSgd(0.01)),
    Entry("ScaleByDadaptLion", rt.ScaleByDadaptLion(0.1), smooth=False),
    Entry("ScaleByDadaptAdan", rt.ScaleByDadaptAdan()),
    Entry("ScaleByDog", rt.ScaleByDog(("heuristic", 1e-6))),
    Entry("ScaleByDowg", rt.ScaleByDowg()),
    Entry("ScaleByDistanceOverGradients", rt.ScaleByDistanceOverGradients(global_scale=-0.5)),
    alike("ScaleByCocob", **REAL, skip=1),
    Entry("ScaleByMomo", rt.ScaleByMomo(), extra=loss),
    Entry("ScaleByMomoAdam", rt.ScaleByMomoAdam(), extra=loss),
]

WRAPPERS = [
    Entry("Mechanize", rt.Mechanize(ro.Adam(0.1))),
    Entry("ScheduleFree", rt.ScheduleFree(ro.SGD(0.1), 0.1)),
]
