"""The one list of all transforms and optimizers, from which the tests take their cases.

A new one needs an entry here and no more: it then runs the whole gauntlet.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.types import Transform
from ravine.interop.optax import FromOptax, from_optax


class Entry(NamedTuple):
    """One configuration, and what Optax calls it."""

    name: str
    rule: Transform
    optax: Callable[[], Any] | None = None
    """Builds Optax's counterpart; none where it has none, or where ours means to differ."""
    complex: bool = True
    """Whether Optax treats complex leaves as we do."""
    skip: int = 0
    """First steps whose result is a difference of equals: rounding decides, not the method."""

    @property
    def is_optimizer(self) -> bool:
        """Whether it is an optimizer, whose updates go downhill."""
        return isinstance(self.rule, ro.Optimizer)


class Pair(NamedTuple):
    """A container that is neither a dict nor a list."""

    first: Any
    second: Any


def inverse_time(count: Any) -> Any:
    """A schedule as anybody would write it: a function of the step."""
    return 0.1 / (1.0 + count / 10)


def matrices(params: Any) -> Any:
    """A mask as anybody would write it: a function of the parameters."""
    return jax.tree.map(lambda p: jnp.ndim(p) == 2, params)


def tree_of(make: Callable[[tuple[int, ...], Any], Any], *dtypes: Any) -> Any:
    """A tree with all that trees may hold, its leaves made from shapes and, in turn, dtypes."""
    d = [dtypes[i % len(dtypes)] for i in range(3)]
    return {
        "layer": {"kernel": make((3, 2), d[0])},
        "pair": Pair([make((), d[1])], None),
        "empty": make((0,), d[2]),
        "nothing": None,
    }


def random_tree(rng: np.random.Generator, *dtypes: Any, steps: int | None = None, spread: float = 0.0) -> Any:
    """Normal numbers, their magnitudes spread over ``10**-spread`` to ``10**spread``."""
    lead = () if steps is None else (steps,)

    def draw(shape: tuple[int, ...]) -> Any:
        size = (*lead, *shape)
        return rng.normal(size=size) * 10.0 ** rng.uniform(-spread, spread, size=size)

    def make(shape: tuple[int, ...], dtype: Any) -> Any:
        if np.issubdtype(dtype, np.complexfloating):
            return jnp.asarray(draw(shape) + 1j * draw(shape), dtype)
        return jnp.asarray(draw(shape), dtype)

    return tree_of(make, *dtypes)


def alike(name: str, cls: Any, factory: Any, *, complex: bool = True, skip: int = 0, **fields: Any) -> Entry:
    """An entry whose Optax counterpart takes the same arguments."""
    return Entry(name, cls(**fields), partial(factory, **fields), complex, skip)


OPTIMIZERS = [
    alike("SGD", ro.SGD, optax.sgd, learning_rate=0.1),
    alike("SGD-momentum", ro.SGD, optax.sgd, learning_rate=0.1, momentum=0.9),
    alike("SGD-nesterov", ro.SGD, optax.sgd, learning_rate=inverse_time, momentum=0.5, nesterov=True),
    alike("SGD-float32", ro.SGD, optax.sgd, learning_rate=0.1, momentum=0.9, accumulator_dtype="float32", complex=False),
    alike("NoisySGD", ro.NoisySGD, optax.noisy_sgd, learning_rate=0.1, eta=2.0, gamma=0.1, key=3),
    alike("Adagrad", ro.Adagrad, optax.adagrad, learning_rate=0.1),
    alike("Adagrad-eps", ro.Adagrad, optax.adagrad, learning_rate=inverse_time, initial_accumulator_value=1.0, eps=1e-3),
    alike("Adadelta", ro.Adadelta, optax.adadelta, learning_rate=1.0, complex=False),
    alike("Adadelta-decay", ro.Adadelta, optax.adadelta, learning_rate=0.5, rho=0.95, eps=1e-3, weight_decay=0.1, weight_decay_mask=matrices, complex=False),
    alike("RMSProp", ro.RMSProp, optax.rmsprop, learning_rate=0.1),
    alike("RMSProp-momentum", ro.RMSProp, optax.rmsprop, learning_rate=inverse_time, decay=0.99, eps=1e-3, initial_scale=1.0, momentum=0.9),
    alike("RMSProp-nesterov", ro.RMSProp, optax.rmsprop, learning_rate=0.1, eps_in_sqrt=False, momentum=0.9, nesterov=True, bias_correction=True),
    alike("RMSProp-centered", ro.RMSProp, optax.rmsprop, learning_rate=0.1, centered=True, eps=1e-3),
    alike("Adam", ro.Adam, optax.adam, learning_rate=1e-3),
    alike("Adam-eps", ro.Adam, optax.adam, learning_rate=inverse_time, b1=0.5, b2=0.9, eps=1e-3, eps_root=1e-4),
    alike("Adam-nesterov", ro.Adam, optax.adam, learning_rate=0.1, mu_dtype="float32", nesterov=True, complex=False),
    alike("NAdam", ro.NAdam, optax.nadam, learning_rate=1e-3),
    alike("AdamW", ro.AdamW, optax.adamw, learning_rate=1e-3, weight_decay=0.1),
    alike("AdamW-mask", ro.AdamW, optax.adamw, learning_rate=inverse_time, weight_decay=0.1, mask=matrices, nesterov=True),
    alike("AMSGrad", ro.AMSGrad, optax.amsgrad, learning_rate=1e-3),
    alike("AMSGrad-paper", ro.AMSGrad, optax.amsgrad, learning_rate=0.1, b2=0.9, eps_root=1e-4, mu_dtype="float32", bias_correction_mu=False, bias_correction_nu=False, complex=False),
    alike("Adamax", ro.Adamax, optax.adamax, learning_rate=1e-3),
    alike("Adamax-eps", ro.Adamax, optax.adamax, learning_rate=inverse_time, b1=0.5, b2=0.9, eps=1e-3),
]

TRANSFORMS = [
    alike("Identity", rt.Identity, optax.identity),
    alike("SetToZero", rt.SetToZero, optax.set_to_zero),
    alike("Scale", rt.Scale, optax.scale, step_size=-0.3),
    alike("ScaleByLearningRate", rt.ScaleByLearningRate, optax.scale_by_learning_rate, learning_rate=0.3),
    alike("ScaleByLearningRate-up", rt.ScaleByLearningRate, optax.scale_by_learning_rate, learning_rate=inverse_time, flip_sign=False),
    alike("ScaleByLearningRate-none", rt.ScaleByLearningRate, optax.scale_by_learning_rate),
    alike("ScaleBySchedule", rt.ScaleBySchedule, optax.scale_by_schedule, step_size_fn=inverse_time),
    alike("ScaleByAdam", rt.ScaleByAdam, optax.scale_by_adam),
    alike("ScaleByAmsgrad", rt.ScaleByAmsgrad, optax.scale_by_amsgrad),
    alike("ScaleByAdamax", rt.ScaleByAdamax, optax.scale_by_adamax),
    alike("ScaleByRms", rt.ScaleByRms, optax.scale_by_rms),
    alike("ScaleByStddev", rt.ScaleByStddev, optax.scale_by_stddev, eps=1e-3),
    alike("ScaleByStddev-corrected", rt.ScaleByStddev, optax.scale_by_stddev, eps_in_sqrt=False, bias_correction=True, skip=1),
    alike("ScaleByRss", rt.ScaleByRss, optax.scale_by_rss),
    alike("ScaleByAdadelta", rt.ScaleByAdadelta, optax.scale_by_adadelta, complex=False),
    alike("Trace", rt.Trace, optax.trace, decay=0.9),
    alike("Trace-nesterov", rt.Trace, optax.trace, decay=0.5, nesterov=True, accumulator_dtype="float32", complex=False),
    alike("Ema", rt.Ema, optax.ema, decay=0.9),
    alike("Ema-biased", rt.Ema, optax.ema, decay=0.5, debias=False, accumulator_dtype="float32", complex=False),
    alike("AddDecayedWeights", rt.AddDecayedWeights, optax.add_decayed_weights, weight_decay=0.1),
    alike("AddDecayedWeights-mask", rt.AddDecayedWeights, optax.add_decayed_weights, weight_decay=inverse_time, mask=matrices),
    alike("AddNoise", rt.AddNoise, optax.add_noise, eta=0.1, gamma=0.55, key=1),
    alike("Clip", rt.Clip, optax.clip, max_delta=0.5, complex=False),
    alike("ClipByBlockRms", rt.ClipByBlockRms, optax.clip_by_block_rms, threshold=0.5),
    alike("ClipByGlobalNorm", rt.ClipByGlobalNorm, optax.clip_by_global_norm, max_norm=10.0),
]  # fmt: skip

WRAPPERS = [
    Entry(
        "Chain",
        rt.chain(rt.ClipByGlobalNorm(1.0), rt.Trace(0.9), ro.Adam(1e-3)),
        lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.trace(0.9), optax.adam(1e-3)),
    ),
    Entry(
        "Masked",
        rt.Masked(rt.Trace(0.9), matrices),
        lambda: optax.masked(optax.trace(0.9), matrices),
    ),
    Entry(
        "Frozen",
        rt.Frozen(ro.Adam(1e-3), ("pair*", "empty")),
        lambda: optax.partition(
            {True: optax.set_to_zero(), False: optax.adam(1e-3)},
            {"layer": False, "pair": True, "empty": True, "nothing": None},
        ),
    ),
    Entry(
        "Partition",
        rt.Partition(
            {"fast": ro.SGD(0.1, momentum=0.9), "slow": ro.Adam(1e-3), "still": rt.SetToZero()},
            {"*kernel": "slow", "empty": "still", "*": "fast"},
        ),
        lambda: optax.partition(
            {"fast": optax.sgd(0.1, momentum=0.9), "slow": optax.adam(1e-3), "still": optax.set_to_zero()},
            {"layer": "slow", "pair": "fast", "empty": "still", "nothing": None},
        ),
    ),
    Entry("FromOptax", from_optax(optax.lion, 1e-3, b1=0.95), partial(optax.lion, 1e-3, b1=0.95)),
]  # fmt: skip

ENTRIES = [*OPTIMIZERS, *TRANSFORMS, *WRAPPERS]
CLASSES = [e for e in ENTRIES if "-" not in e.name]
"""One entry a class: for tests in which the settings make no difference."""


def parametrize(entries: list[Entry]) -> pytest.MarkDecorator:
    """Run a test once for every entry, as its argument ``entry``."""
    return pytest.mark.parametrize("entry", entries, ids=[e.name for e in entries])


def promotion(entry: Entry) -> Any:
    """The promotion rules that the entry's code needs: Optax mixes dtypes freely."""
    return jax.numpy_dtype_promotion("standard" if isinstance(entry.rule, FromOptax) else "strict")


def steps(rule: Transform, params: Any, gradients: list[Any]) -> list[Any]:
    """The updates for these gradients, one after another."""
    state, out = rule.init(params), []
    for g in gradients:
        updates, state = rule.update(g, state, params)
        out.append(updates)
    return out
