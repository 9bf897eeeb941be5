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
from ravine.transforms.chain import snake_case


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


def random_tree(
    rng: np.random.Generator, *dtypes: Any, steps: int | None = None, spread: float = 0.0
) -> Any:
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


def alike(name: str, *, complex: bool = True, skip: int = 0, **fields: Any) -> Entry:
    """An entry whose Optax counterpart has the same name, in snake case, and arguments."""
    stem = name.partition("-")[0]
    cls = getattr(ro, stem, None) or getattr(rt, stem)
    factory = getattr(optax, "noisy_sgd" if stem == "NoisySGD" else snake_case(stem))
    return Entry(name, cls(**fields), partial(factory, **fields), complex, skip)


RATE: Any = {"learning_rate": 0.1}
SMALL: Any = {"learning_rate": 1e-3}
FALLING: Any = {"learning_rate": inverse_time}
# Optax writes a complex moment into such a slot, and loses its imaginary part.
TRACE32: Any = {"accumulator_dtype": "float32", "complex": False}
MU32: Any = {"mu_dtype": "float32", "complex": False}
UNCORRECTED: Any = {"bias_correction_mu": False, "bias_correction_nu": False}

OPTIMIZERS = [
    alike("SGD", **RATE),
    alike("SGD-momentum", **RATE, momentum=0.9),
    alike("SGD-nesterov", **FALLING, momentum=0.5, nesterov=True),
    alike("SGD-float32", **RATE, momentum=0.9, **TRACE32),
    alike("NoisySGD", **RATE, eta=2.0, gamma=0.1, key=3),
    alike("Adagrad", **RATE),
    alike("Adagrad-eps", **FALLING, initial_accumulator_value=1.0, eps=1e-3),
    # Optax squares complex numbers here, where we square their magnitudes.
    alike("Adadelta", learning_rate=1.0, complex=False),
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
    alike("AddNoise", eta=0.1, gamma=0.55, key=1),
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
