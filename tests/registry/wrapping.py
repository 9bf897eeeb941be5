"""Wrappers: accumulation, guards, averages, precision, and what is kept of a state."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.tree import norm
from tests.registry.entry import Entry, alike, matrices, value

RATE: Any = {"learning_rate": 0.1}
MOMENTUM, ADAM = ro.SGD(0.1, momentum=0.9), ro.Adam(1e-3)
# Rounding to few digits, and what follows from it, is not smooth.
ROUNDED: Any = {"smooth": False}


def momentum() -> Any:
    return optax.sgd(0.1, 0.9)


def every_third(step: Any) -> Any:
    """A condition as anybody would write it: a function of the step."""
    return step % 3 == 0


def growing(step: Any) -> Any:
    """More micro-batches as time goes on."""
    return 1 + step // 10


def skip_negative(updates: Any, gradient_step: Any, params: Any) -> Any:
    """Leave out about half of random gradients."""
    total = sum(jnp.sum(jnp.real(u)) for u in jax.tree.leaves(updates))
    return jnp.asarray(total < 0), ()


def quadratic(params: Any) -> Any:
    """A loss that every tree has."""
    parts = [jnp.sum(jnp.abs(p) ** 2).astype(float) for p in jax.tree.leaves(params)]
    return sum(parts, jnp.zeros(()))


def value_fn(updates: Any, params: Any) -> dict[str, Any]:
    """The loss as a function of the parameters."""
    return {"value_fn": quadratic}


def opaque_sam() -> Any:
    """Optax's, called as ours is."""
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(0.5))
    theirs = optax.contrib.sam(momentum(), ascent, opaque_mode=True)

    def grad(p: Any, step: Any) -> Any:
        return jax.tree.map(jnp.conj, jax.grad(quadratic)(p))

    def update(updates: Any, state: Any, params: Any, value_fn: Any) -> Any:
        return theirs.update(updates, state, params, grad_fn=grad)

    return optax.GradientTransformationExtraArgs(theirs.init, update)


def accumulate(every: Any, **settings: Any) -> Any:
    # Of the dtype of the parameters, as ours is where that is float32 or finer.
    dtype = jnp.result_type(float)
    return optax.MultiSteps(momentum(), every, accumulator_dtype=dtype, **settings)


OPTIMIZERS: list[Entry] = []

TRANSFORMS = [
    alike(
        "ReduceOnPlateau", factor=0.5, patience=3, cooldown=2, accumulation_size=2, min_scale=0.01,
        extra=value, smooth=False,
    ),
    Entry("Monitor", rt.Monitor({"norm": norm}), optax.identity),
    Entry("EmaParams", rt.EmaParams(0.9), optax.identity),
    Entry("SWA", rt.SWA(start=5, every=2), optax.identity),
    Entry("CautiousWeightDecay", rt.CautiousWeightDecay(0.1, matrices), smooth=False),
]  # fmt: skip

WRAPPERS = [
    Entry("MultiSteps", rt.MultiSteps(MOMENTUM, 4), lambda: accumulate(4), complex=False),
    Entry(
        "MultiSteps-sum",
        rt.MultiSteps(MOMENTUM, growing, False, skip_negative),
        lambda: accumulate(growing, use_grad_mean=False, should_skip_update_fn=skip_negative),
        complex=False,
        smooth=False,
    ),
    Entry(
        "ApplyIfFinite",
        rt.ApplyIfFinite(ADAM, 3),
        lambda: optax.apply_if_finite(optax.adam(1e-3), 3),
    ),
    Entry(
        "ConditionallyTransform",
        rt.ConditionallyTransform(rt.Trace(0.9), every_third),
        lambda: optax.conditionally_transform(optax.trace(0.9), every_third),
    ),
    Entry(
        "ConditionallyMask",
        rt.ConditionallyMask(ADAM, every_third),
        lambda: optax.conditionally_mask(optax.adam(1e-3), every_third),
    ),
    # Optax makes a single vector, which turns complex if one leaf is.
    Entry("Packed", rt.Packed(ADAM), lambda: optax.adam(1e-3)),
    Entry("Flatten", rt.Flatten(ADAM), lambda: optax.flatten(optax.adam(1e-3)), complex=False),
    Entry(
        "SplitRealAndImaginary",
        rt.SplitRealAndImaginary(ADAM),
        lambda: optax.contrib.split_real_and_imaginary(optax.adam(1e-3)),
        by_magnitude=False,
    ),
    Entry("Lookahead", rt.Lookahead(MOMENTUM, 3, 0.5, reset_state=True), **ROUNDED),
    Entry("Cautious", rt.Cautious(MOMENTUM), smooth=False),
    Entry("Grams", rt.Grams(MOMENTUM), smooth=False),
    Entry("SAM", rt.SAM(MOMENTUM, 0.5), opaque_sam, extra=value_fn),
    Entry("ASAM", rt.ASAM(MOMENTUM), extra=value_fn),
    Entry("MasterWeights", rt.MasterWeights(ADAM), **ROUNDED),
    Entry("StochasticRounding", rt.StochasticRounding(ADAM, key=1), **ROUNDED),
    Entry("Kahan", rt.Kahan(ADAM), **ROUNDED),
    Entry("CastState", rt.CastState(MOMENTUM, {"trace": "bfloat16"}), **ROUNDED),
    Entry("QuantizedState", rt.QuantizedState(ADAM, block_size=4, min_size=2), **ROUNDED),
]  # fmt: skip
