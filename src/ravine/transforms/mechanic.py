"""Mechanic: learn the scale of another optimizer's updates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import over, safe_increment, safe_sqrt, scalar
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Positive, State, Static, Transform, Updates


class MechanizeState(NamedTuple):
    """The step count (int32), the base's state, four numbers for each beta, the first point."""

    count: jax.Array  # type: ignore[assignment]
    base_optimizer_state: State
    r: jax.Array
    m: jax.Array
    v: jax.Array
    s: jax.Array
    x0: Params


@rule
class Mechanize(Transform):
    r"""Learn the scale :math:`s` by which the sum of a base optimizer's updates is multiplied.

    With the base's updates :math:`u_t`, the sum :math:`\Delta_t = \Delta_{t-1} - u_t` and,
    for each of several :math:`\beta_i = 1 - 10^{-i}`, a bettor of its own,

    .. math::
        h_t &= \Bigl\langle g_t + \lambda s_{t-1} \frac{\|g_t\|}{\|\theta_{t-1}\| + \epsilon}
            \theta_{t-1},\ \Delta_{t-1} \Bigr\rangle, \\
        m_t &= \max(\beta m_{t-1}, |h_t| + \epsilon), \qquad
        v_t = \beta^2 v_{t-1} + h_t^2, \\
        r_t &= \beta r_{t-1} + s_{t-1} \operatorname{clip}(h_t, -m_{t-1}, m_{t-1}), \\
        s_t &= \frac{s_0 m_t / n + \max(r_t, 0)}{\sqrt{v_t} + \epsilon}, \qquad
        \theta_t = \theta_0 - \textstyle\sum_i s_t^{(i)} \Delta_t.

    The base's learning rate may follow a schedule whose largest value is 1. The sum is not
    kept, but read off the parameters. Extra arguments go to the base.

    Args:
        base_optimizer: the optimizer whose updates are scaled.
        weight_decay: :math:`\lambda \ge 0`, of the gradients that the scale learns from.
        eps: :math:`\epsilon \ge 0`.
        s_init: :math:`s_0 > 0`, the first scale.
        num_betas: :math:`n \ge 1`, how many :math:`\beta_i` there are.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if the base is no transform.

    Reference: Cutkosky, Defazio and Mehta, Mechanic: a learning rate tuner, 2023,
    https://arxiv.org/abs/2306.00144; the clipping is of the authors' code.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> optimizer = Mechanize(Scale(-1.0), s_init=0.5, eps=1e-30)
    >>> params = jnp.array([2.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-1.,  2.], dtype=float32)
    """

    base_optimizer: Transform
    weight_decay: NonNegative = 1e-2
    eps: NonNegative = 1e-8
    s_init: Positive = 1e-6
    num_betas: Static[int] = 6

    def __post_init__(self) -> None:
        if self.num_betas < 1:
            raise ValueError(f"Mechanize: num_betas must be at least 1, got {self.num_betas}.")

    def init(self, params: Params) -> MechanizeState:
        r, m, v = (jnp.zeros(self.num_betas, float) for _ in range(3))
        s = jnp.ones(self.num_betas, float) * scalar(self.s_init)
        base, count = self.base_optimizer.init(params), jnp.zeros((), jnp.int32)
        return MechanizeState(count, base, r, m, v, s, tree.copy(params))

    def update(
        self, updates: Updates, state: MechanizeState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, MechanizeState]:
        check_params("Mechanize", params, updates)
        u, base = self.base_optimizer.update(updates, state.base_optimizer_state, params, **extra)
        # Weights may have been loaded after init: the way starts at the first update.
        x0 = tree.where(state.count == 0, tree.cast_like(params, state.x0), state.x0)
        g, p, s_old = tree.widened(updates), tree.widened(params), jnp.sum(state.s)
        eps, n = scalar(self.eps), self.num_betas
        # h = <g + lambda s |g| / (|theta| + eps) theta, Delta>,  Delta = (theta0 - theta) / s
        way = tree.sub(tree.widened(x0), p)
        norm_g, norm_p = tree.norm(g).astype(float), tree.norm(p).astype(float)
        c = scalar(self.weight_decay) * s_old * over(norm_g, norm_p + eps)
        h = over(tree.inner(tree.add_scale(g, c, p), way), s_old + eps)
        # m = max(b m, |h| + eps);  v = b^2 v + h^2;  r = b r + s clip(h, -m, m)
        b = 1 - 0.1 ** jnp.arange(1, n + 1, dtype=float)
        m = jnp.maximum(b * state.m, jnp.abs(h) + eps)
        v = b**2 * state.v + h**2
        r = b * state.r + state.s * jnp.clip(h, -state.m, state.m)
        # s = (s0 m / n + max(r, 0)) / (sqrt(v) + eps)
        s = over(scalar(self.s_init) / n * m + jnp.maximum(r, 0), safe_sqrt(v) + eps)
        # theta = theta0 - s Delta,  so that its change is s u + (1 - s / s_old) (theta0 - theta)
        total = jnp.sum(s)
        kept = over(s_old + eps - total, s_old + eps)
        new = tree.add_scale(tree.scale(kept, way), total, tree.widened(u))
        return tree.cast_like(new, updates), MechanizeState(
            safe_increment(state.count), base, r, m, v, s, x0
        )

    def eval_params(self, state: MechanizeState, params: Params) -> Params:
        return self.base_optimizer.eval_params(state.base_optimizer_state, params)
