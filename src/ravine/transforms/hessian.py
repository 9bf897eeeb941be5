"""Estimates of the Hessian's diagonal, one backward pass each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_function, check_params
from ravine.core.numerics import abs_sq, fine, safe_increment, times
from ravine.core.rule import rule
from ravine.core.types import Params, Seed, Transform, Updates
from ravine.transforms.draw import drawn_keys, first_key


class HessianEstimatorState(NamedTuple):
    """The step count (int32), and the random key from which the next estimate is drawn."""

    count: jax.Array  # type: ignore[assignment]
    rng_key: jax.Array


@rule
class HutchinsonEstimatorDiagHessian(Transform):
    r"""Replace the updates by Hutchinson's estimate of the Hessian's diagonal.

    .. math::
        u = z \odot H z, \qquad H = \nabla^2 f(\theta), \quad z_i = \pm 1.

    It is exact for a diagonal Hessian, and right on average for any other. The loss is the
    extra argument ``value_fn`` of ``update``, a function of the parameters alone that returns
    one number; :math:`Hz` costs about two gradients of it.

    Args:
        key: an integer seed or a JAX random key for the signs; 0 by default. An extra argument
            ``key`` at update takes its place for that step.

    Raises:
        ValueError: at update, without the parameters or ``value_fn``.

    Reference: Hutchinson, A stochastic estimator of the trace of the influence matrix for
    Laplacian smoothing splines, 1990, https://doi.org/10.1080/03610919008812866.

    >>> import jax.numpy as jnp
    >>> def loss(x):
    ...     return jnp.sum(x**3)
    >>> transform, params = HutchinsonEstimatorDiagHessian(), jnp.array([1.0, -2.0])
    >>> transform.update(params, transform.init(params), params, value_fn=loss)[0]
    Array([  6., -12.], dtype=float32)
    """

    key: Seed | None = None

    def init(self, params: Params) -> HessianEstimatorState:
        return _first(self.key)

    def update(
        self,
        updates: Updates,
        state: HessianEstimatorState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, HessianEstimatorState]:
        owner = "HutchinsonEstimatorDiagHessian"
        key, state = _drawn(state, extra)
        if not jax.tree.leaves(updates):
            return updates, state
        check_params(owner, params)
        value_fn = check_function(
            owner, "value_fn", "the loss as a function of the parameters", extra
        )
        params = jax.tree.map(jnp.asarray, params)
        # u = z * (H z), real
        z = _signs(key, params)
        product = jax.jvp(jax.grad(value_fn), (params,), (z,))[1]
        u = jax.tree.map(lambda z, h: (fine(z) * fine(h)).real, z, product)
        return tree.cast_like(u, updates), state


@rule
class GaussNewtonBartlettEstimator(Transform):
    r"""Replace the updates by the Gauss-Newton-Bartlett estimate of the Hessian's diagonal.

    .. math::
        u = B\, \hat g \odot \hat g, \qquad
        \hat g = \nabla \tfrac1B \textstyle\sum_b \ell(f_b(\theta), \hat y_b), \quad
        \hat y_b \sim \mathrm{softmax}(f_b(\theta)),

    with :math:`\ell` the cross-entropy. It is never negative, and costs one gradient. The extra
    argument ``logits_fn`` of ``update`` is the model on the batch at hand, a function of
    the parameters alone that returns the logits, their last axis the classes; the labels are
    drawn from it, so that it needs no data's own.

    Args:
        key: an integer seed or a JAX random key for the labels; 0 by default. An extra argument
            ``key`` at update takes its place for that step.

    Raises:
        ValueError: at update, without the parameters or ``logits_fn``.

    Reference: Liu et al., Sophia: a scalable stochastic second-order optimizer for language
    model pre-training, 2023, algorithm 2, https://arxiv.org/abs/2305.14342.

    >>> import jax.numpy as jnp
    >>> def logits(x):
    ...     return jnp.stack([x, jnp.zeros_like(x)], axis=-1)
    >>> transform, params = GaussNewtonBartlettEstimator(), jnp.zeros(4)
    >>> transform.update(params, transform.init(params), params, logits_fn=logits)[0]
    Array([0.0625, 0.0625, 0.0625, 0.0625], dtype=float32)
    """

    key: Seed | None = None

    def init(self, params: Params) -> HessianEstimatorState:
        return _first(self.key)

    def update(
        self,
        updates: Updates,
        state: HessianEstimatorState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, HessianEstimatorState]:
        owner = "GaussNewtonBartlettEstimator"
        key, state = _drawn(state, extra)
        if not jax.tree.leaves(updates):
            return updates, state
        check_params(owner, params)
        logits_fn = check_function(
            owner, "logits_fn", "the logits as a function of the params", extra
        )

        def sampled_loss(params: Params) -> tuple[jax.Array, int]:
            logits = fine(logits_fn(params))
            labels = jax.random.categorical(key, jax.lax.stop_gradient(logits))
            scores = jax.nn.log_softmax(logits)
            picked = jnp.take_along_axis(scores, labels[..., None], axis=-1)
            return -jnp.mean(picked), labels.size

        # u = B g * g
        g, size = jax.grad(sampled_loss, has_aux=True)(jax.tree.map(jnp.asarray, params))
        u = jax.tree.map(lambda g: times(float(size), abs_sq(fine(g))), g)
        return tree.cast_like(u, updates), state


def _first(key: Any) -> HessianEstimatorState:
    return HessianEstimatorState(jnp.zeros((), jnp.int32), first_key(key))


def _drawn(
    state: HessianEstimatorState, extra: dict[str, Any]
) -> tuple[jax.Array, HessianEstimatorState]:
    """A key to draw with now, and the state to go on from."""
    t = safe_increment(state.count)
    sample_key, rng_key = drawn_keys(state.rng_key, t, extra)
    return sample_key, HessianEstimatorState(t, rng_key)


def _signs(key: jax.Array, x: Any) -> Any:
    """Random signs shaped like ``x``; of a complex leaf, for both parts, and of length 1."""
    leaves, structure = jax.tree.flatten(x)

    def draw(key: jax.Array, a: jax.Array) -> jax.Array:
        if not jnp.iscomplexobj(a):
            return jax.random.rademacher(key, a.shape, a.dtype)
        parts = jax.random.rademacher(key, (2, *a.shape), a.real.dtype) * a.real.dtype.type(
            0.5**0.5
        )
        return jax.lax.complex(parts[0], parts[1])

    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, map(draw, keys, leaves))
