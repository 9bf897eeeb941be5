"""One second moment a leaf, and momentum of normalized gradients."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import (
    abs_sq,
    compute_dtype,
    fine,
    lerp,
    real_dtype,
    safe_increment,
    times,
    widen,
)
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    DType,
    NonNegative,
    Params,
    Schedule,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.adam import adaptive
from ravine.transforms.scale import value_at


class ScaleByNovogradState(NamedTuple):
    """The step count (int32), the sum of directions, and one squared norm a leaf."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates
    nu: Updates


@rule
class ScaleByNovograd(Transform):
    r"""NovoGrad's direction: momentum of gradients that are normalized leaf by leaf.

    .. math::
        v_t = \beta_2 v_{t-1} + (1-\beta_2) \lVert g_t \rVert^2, \quad v_1 = \lVert g_1 \rVert^2,
        \qquad
        u_t = \beta_1 u_{t-1} + \frac{g_t}{\sqrt{v_t + \bar\epsilon} + \epsilon}
            + \lambda_t\,\theta_{t-1}.

    Args:
        b1: decay :math:`\beta_1` of the sum of directions, in [0, 1).
        b2: decay :math:`\beta_2` of the squared norm, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        mu_dtype: dtype of the sum; that of the parameters by default.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Ginsburg et al., Stochastic gradient methods with layer-wise adaptive moments
    for training of deep networks, 2019, https://arxiv.org/abs/1905.11286.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByNovograd()
    >>> params = jnp.array([3.0, -4.0])
    >>> transform.update(params, transform.init(params), params)[0]
    Array([ 0.6, -0.8], dtype=float32)
    """

    b1: Decay = 0.9
    b2: Decay = 0.25
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    mu_dtype: Static[DType] = None

    def init(self, params: Params) -> ScaleByNovogradState:
        mu = tree.zeros_like(params, self.mu_dtype)
        nu = jax.tree.map(lambda p: jnp.zeros((), real_dtype(compute_dtype(p))), params)
        return ScaleByNovogradState(jnp.zeros((), jnp.int32), mu, nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByNovogradState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByNovogradState]:
        check_params("ScaleByNovograd", params, updates)
        decay = value_at(self.weight_decay, state.count)

        def norm(v: jax.Array, g: Any) -> jax.Array:
            v, square = widen(v, jnp.sum(abs_sq(fine(g))))
            return jnp.where(state.count == 0, square, lerp(self.b2, v, square))

        def added(m: jax.Array, g: Any, v: jax.Array, p: Any) -> jax.Array:
            g, m, p = widen(g, m, p)
            return times(self.b1, m) + adaptive(g, v, self.eps, self.eps_root) + times(decay, p)

        # v = b2 v + (1 - b2) |g|^2;  u = b1 u + g / (sqrt(v + eps_root) + eps) + lambda theta
        nu = jax.tree.map(norm, state.nu, updates)
        mu = jax.tree.map(added, state.mu, updates, nu, params)
        slots = ScaleByNovogradState(safe_increment(state.count), mu, nu)
        return tree.cast_like(mu, updates), tree.cast_like(slots, state)
