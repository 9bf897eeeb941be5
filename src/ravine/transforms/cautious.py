"""Updates that are checked against the gradient, and decay that is checked against the update."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.errors import check_params
from ravine.core.numerics import at, fine, over, real_dtype, safe_increment, times, widen
from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import (
    NonNegative,
    Params,
    Positive,
    Schedule,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.decay import AddDecayedWeightsState, add_decayed
from ravine.transforms.scale import value_at
from ravine.transforms.wrapper import Wrapper


class CautiousState(NamedTuple):
    """The inner state."""

    inner_state: State


@rule
class Cautious(Wrapper):
    r"""Take only the part of an update that goes along with the gradient.

    .. math::
        u_t \leftarrow \frac{d}{\max(n, \epsilon d)}\, u_t \odot 1[u_t \odot g_t > 0], \qquad
        n = \#\{i : u_{t,i}\, g_{t,i} > 0\},

    for each leaf of :math:`d` elements, where :math:`u` is what is to be subtracted.
    ``Cautious(Adam(1e-3))`` is C-Adam. With weight decay outside the mask, as the authors have
    it, C-AdamW is ``chain(Cautious(ScaleByAdam(), descends=False),
    AddDecayedWeights(0.1), ScaleByLearningRate(1e-3))``.

    Args:
        inner: the optimizer or transform.
        eps: :math:`\epsilon > 0`, the smallest share of elements by which the rest is scaled.
        descends: whether ``inner`` returns steps downhill, as optimizers do; ``False`` for a
            transform before the learning rate, such as ``ScaleByAdam``.

    Reference: Liang et al., Cautious optimizers: improving training with one line of code,
    2024, https://arxiv.org/abs/2411.16085.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.Cautious(rv.SGD(1.0, momentum=0.5))
    >>> state = optimizer.init(jnp.zeros(2))
    >>> for g in (jnp.array([4.0, 4.0]), jnp.array([1.0, -1.0])):
    ...     updates, state = optimizer.update(g, state)
    ...     print(updates)
    [-4. -4.]
    [-6.  0.]
    """

    inner: Transform
    eps: Positive = 1e-3
    descends: Static[bool] = True

    def init(self, params: Params) -> CautiousState:
        return CautiousState(self.inner.init(params))

    def update(
        self, updates: Updates, state: CautiousState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, CautiousState]:
        u, inner = self.inner.update(updates, state.inner_state, params, **extra)

        def leaf(u: Any, g: Any) -> jax.Array:
            wide, g = widen(u, g)
            agree = _alignment(wide, g)
            mask = agree < 0 if self.descends else agree > 0
            # d / max(n, eps d)
            share = jnp.sum(mask, dtype=real_dtype(wide.dtype)) / max(mask.size, 1)
            kept = jnp.where(mask, wide, jnp.zeros_like(wide))
            return over(kept, jnp.maximum(share, at(self.eps, wide))).astype(jnp.result_type(u))

        return jax.tree.map(leaf, u, updates), CautiousState(inner)


class GramsState(NamedTuple):
    """The inner state."""

    inner_state: State


@rule
class Grams(Wrapper):
    r"""Take the length of each step from the optimizer, and its sign from the gradient.

    .. math:: u_t \leftarrow |u_t| \odot \mathrm{sign}(g_t),

    where :math:`u` is what is to be subtracted. The sign of a complex number is its direction.

    Args:
        inner: the optimizer or transform.
        descends: whether ``inner`` returns steps downhill, as optimizers do; ``False`` for a
            transform before the learning rate, such as ``ScaleByAdam``.

    Reference: Cao, Li and Song, Grams: gradient descent with adaptive momentum scaling, 2024,
    https://arxiv.org/abs/2412.17107.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.Grams(rv.SGD(1.0, momentum=0.5))
    >>> state = optimizer.init(jnp.zeros(2))
    >>> for g in (jnp.array([4.0, 4.0]), jnp.array([1.0, -1.0])):
    ...     updates, state = optimizer.update(g, state)
    ...     print(updates)
    [-4. -4.]
    [-3.  1.]
    """

    inner: Transform
    descends: Static[bool] = True

    def init(self, params: Params) -> GramsState:
        return GramsState(self.inner.init(params))

    def update(
        self, updates: Updates, state: GramsState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, GramsState]:
        u, inner = self.inner.update(updates, state.inner_state, params, **extra)

        def leaf(u: Any, g: Any) -> jax.Array:
            # u = |u| sign(g)
            wide, g = widen(u, g)
            direction = jnp.sign(-g if self.descends else g)
            return times(jnp.abs(wide), direction).astype(jnp.result_type(u))

        return jax.tree.map(leaf, u, updates), GramsState(inner)


@rule
class CautiousWeightDecay(Transform):
    r"""Add weight decay where it does not pull against the update.

    .. math:: u_t \leftarrow u_t + \lambda_t\, 1[u_t \odot \theta_{t-1} \ge 0] \odot \theta_{t-1}.

    It stands where ``AddDecayedWeights`` would: after an adaptive transform and before the
    learning rate, where :math:`u` is still what is to be subtracted.

    Args:
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        mask: which leaves decay: a glob over paths or a tuple of globs (``"*kernel"``), a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: at update, if the parameters are not given, or the mask does not fit them.

    Reference: Chen et al., Cautious weight decay, 2025, https://arxiv.org/abs/2510.12402.

    >>> import jax.numpy as jnp
    >>> transform = CautiousWeightDecay(0.25)
    >>> u, params = jnp.array([1.0, 1.0]), jnp.array([4.0, -4.0])
    >>> transform.update(u, transform.init(params), params)[0]
    Array([2., 1.], dtype=float32)
    """

    weight_decay: NonNegative | Schedule = 0.0
    mask: Static[Mask] = None

    def init(self, params: Params) -> AddDecayedWeightsState:
        return AddDecayedWeightsState(jnp.zeros((), jnp.int32), jnp.zeros((), float))

    def update(
        self,
        updates: Updates,
        state: AddDecayedWeightsState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, AddDecayedWeightsState]:
        check_params("CautiousWeightDecay", params, updates)
        decay = value_at(self.weight_decay, state.count)

        def aligned(u: Any, p: Any) -> jax.Array:
            p = fine(p)
            return jnp.where(_alignment(*widen(u, p)) >= 0, p, jnp.zeros_like(p))

        # u = u + lambda 1[u theta >= 0] theta
        new = add_decayed(updates, decay, jax.tree.map(aligned, updates, params), self.mask)
        return new, AddDecayedWeightsState(safe_increment(state.count), decay)


def _alignment(a: jax.Array, b: jax.Array) -> jax.Array:
    """Elementwise positive where ``a`` and ``b`` point the same way: the product, for reals."""
    return a.real * b.real + a.imag * b.imag if jnp.iscomplexobj(a) else jnp.sign(a) * jnp.sign(b)
