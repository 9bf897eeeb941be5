"""Signs, layers, factors, curvature, and the transforms around them."""

from functools import partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.numerics import abs_sq, fine
from ravine.core.projections import projection_l2_ball
from tests.registry.entry import Entry, alike, doubled, inverse_time, matrices, value

RATE: Any = {"learning_rate": 0.1}
FALLING: Any = {"learning_rate": inverse_time}
SIGN: Any = {"smooth": False, "bowl": {"learning_rate": 0.01}}


def power_decay(count: Any, exponent: Any) -> Any:
    """Adafactor's decay as Optax has it, which computes it in float32 whatever the leaf."""
    return 1.0 - jnp.asarray(count + 1, float) ** -exponent


FACTORED = partial(optax.scale_by_factored_rms, decay_rate_fn=power_decay)


@wraps(optax.adafactor)
def adafactor(*args: Any, **kwargs: Any) -> Any:
    """Optax's Adafactor with that decay."""
    own = optax._src.factorized.scale_by_factored_rms
    optax._src.factorized.scale_by_factored_rms = FACTORED
    try:
        return optax.adafactor(*args, **kwargs)
    finally:
        optax._src.factorized.scale_by_factored_rms = own


@wraps(optax.sm3)
def sm3(*args: Any, **kwargs: Any) -> Any:
    """Optax's SM3, which knows no scalars, with scalars as vectors of one element."""
    inner = optax.sm3(*args, **kwargs)

    def vectors(tree: Any) -> Any:
        return jax.tree.map(jnp.atleast_1d, tree)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        new, state = inner.update(vectors(updates), state)
        return jax.tree.map(lambda u, g: u.reshape(g.shape), new, updates), state

    return optax.GradientTransformation(lambda params: inner.init(vectors(params)), update)


def valley(params: Any) -> Any:
    """A loss whose Hessian is diagonal, so that its estimates are exact."""
    squares = [abs_sq(fine(p)) for p in jax.tree.leaves(params)]
    return sum([jnp.sum(s / 2 + s**2 / 100).astype(float) for s in squares], jnp.zeros(()))


def loss(updates: Any, params: Any) -> dict[str, Any]:
    """The loss as a function, under its name here and under Optax's."""
    return {"value_fn": valley, "obj_fn": valley}


def logits(params: Any) -> Any:
    """A model of two classes, with a batch of one prediction an element."""
    flat = [jnp.abs(fine(p)).astype(float).ravel() for p in jax.tree.leaves(params)]
    x = jnp.concatenate([*flat, jnp.zeros(1)])
    return jnp.stack([x, jnp.zeros_like(x)], axis=-1)


def model(updates: Any, params: Any) -> dict[str, Any]:
    """What the Gauss-Newton-Bartlett estimate needs."""
    return {"logits_fn": logits}


# Noise, a threshold, and in the bowl a Hessian other than the gradient's.
CURVED: Any = {"extra": loss, "smooth": False, "complex": False}
GAUSS_NEWTON = rt.GaussNewtonBartlettEstimator(key=3)

OPTIMIZERS = [
    alike("SignSGD", optax.sign_sgd, **RATE, **SIGN),
    alike("Signum", **RATE, **SIGN),
    alike(
        "Signum-float32", **FALLING, beta=0.5, accumulator_dtype="float32", complex=False, **SIGN
    ),
    alike("Rprop", **RATE, smooth=False)._replace(optax=None),
    # Optax rejects complex numbers.
    alike("SM3", sm3, **RATE, complex=False),
    alike("SM3-heavy", sm3, **RATE, momentum=0.99, complex=False),
    # Optax keeps second moments of complex leaves as complex numbers, and takes their powers.
    alike("Adafactor", adafactor, **RATE, complex=False),
    alike(
        "Adafactor-factored",
        adafactor,
        **FALLING,
        min_dim_size_to_factor=2,
        momentum=0.9,
        dtype_momentum=None,
        weight_decay_rate=0.1,
        weight_decay_mask=matrices,
        complex=False,
    ),
    alike(
        "Adafactor-bare",
        adafactor,
        multiply_by_parameter_scale=False,
        clipping_threshold=None,
        dtype_momentum=None,
        factored=False,
        complex=False,
    ),
    # A rate that float16 holds the steps of.
    alike("LARS", learning_rate=100.0, bowl={"learning_rate": 1.0, "trust_coefficient": 0.01}),
    alike(
        "LARS-mask",
        **FALLING,
        weight_decay=0.1,
        weight_decay_mask=matrices,
        trust_ratio_mask=matrices,
        eps=1e-3,
        nesterov=True,
    ),
    alike("LAMB", **RATE),
    alike("LAMB-mask", **FALLING, eps_root=1e-4, weight_decay=0.1, mask=matrices),
    alike("Fromage", **RATE),
    alike("Fromage-norm", **RATE, min_norm=1.0),
    alike("PolyakSGD", optax.polyak_sgd, extra=value, bowl={"max_learning_rate": 0.1}),
    alike("Sophia", optax.contrib.sophia, **RATE, **CURVED),
    alike(
        "Sophia-often",
        optax.contrib.sophia,
        **FALLING,
        b1=0.5,
        b2=0.5,
        eps=1e-3,
        gamma=1.0,
        weight_decay=0.1,
        weight_decay_mask=matrices,
        clip_threshold=None,
        update_interval=3,
        **CURVED,
    ),
    Entry(
        "Sophia-gauss-newton",
        ro.Sophia(0.1, update_interval=2, hessian_diagonal_fn=GAUSS_NEWTON),
        extra=model,
        smooth=False,
    ),
    Entry("AdaHessian", ro.AdaHessian(0.1), extra=loss, smooth=False),
    Entry("CAME", ro.CAME(0.1)),
    Entry("APOLLO", ro.APOLLO(0.1, rank=1, key=3), smooth=False),
    Entry("APOLLOMini", ro.APOLLOMini(0.1, update_proj_gap=2), smooth=False),
    Entry("GaLore", ro.GaLore(0.1, rank=1, update_proj_gap=2)),
    alike("PolyakSGD-plus", optax.polyak_sgd, f_min=1e3, eps=1e-3, variant="sps+", extra=value),
]

TRANSFORMS = [
    alike("ScaleBySign", smooth=False),
    Entry("ScaleByRprop", rt.ScaleByRprop(0.1), smooth=False),
    Entry("ScaleBySm3", rt.ScaleBySm3()),
    Entry("ScaleBySm3-mean", rt.ScaleBySm3(b2=0.9)),
    alike("ScaleByFactoredRms", FACTORED, complex=False),
    alike("ScaleByFactoredRms-factored", FACTORED, min_dim_size_to_factor=2, complex=False),
    alike("ScaleByTrustRatio"),
    alike("ScaleByTrustRatio-norm", min_norm=0.5, trust_coefficient=0.1, eps=1e-3),
    alike("ScaleByParamBlockNorm"),
    alike("ScaleByParamBlockRms", min_scale=0.5),
    Entry("ShrinkAfterStep", rt.ShrinkAfterStep(0.1)),
    alike("NormalizeByUpdateNorm", scale_factor=2.0),
    alike("NormalizeByUpdateNorm-normalize", lambda eps: optax.contrib.normalize(), eps=0.0),
    alike("Centralize"),
    Entry("OrthoGrad", rt.OrthoGrad()),
    alike("AdaptiveGradClip", clipping=0.1),
    Entry("Project", rt.Project(projection_l2_ball, (0.5,))),
    alike("KeepParamsNonnegative", complex=False, by_magnitude=False),
    # Its state says yes or no, in no floating dtype.
    alike("ZeroNans", smooth=False),
    alike("ApplyEvery"),
    alike("ApplyEvery-four", k=4),
    alike("Stateless", f=doubled),
    alike("StatelessWithTreeMap", f=doubled),
    alike(
        "HutchinsonEstimatorDiagHessian",
        optax.contrib.hutchinson_estimator_diag_hessian,
        **CURVED,
    ),
    Entry("GaussNewtonBartlettEstimator", GAUSS_NEWTON, extra=model, smooth=False),
    Entry("ScaleBySophia", rt.ScaleBySophia(update_interval=2), extra=loss, smooth=False),
    Entry("ScaleByAdahessian", rt.ScaleByAdahessian(), extra=loss, smooth=False),
    Entry("ScaleByCame", rt.ScaleByCame()),
    Entry("ScaleByApollo", rt.ScaleByApollo(rank=1, update_proj_gap=2), smooth=False),
    Entry("ScaleByGalore", rt.ScaleByGalore(rank=1, update_proj_gap=2)),
    alike("ScaleByPolyak", f_min=0.25, max_learning_rate=0.1, eps=1e-3, extra=value),
]

WRAPPERS: list[Entry] = []
