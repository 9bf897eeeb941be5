"""Adafactor's direction with momentum, held back where it is not to be trusted."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import abs_sq, at, fine
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Transform, Updates
from ravine.transforms.clip import shrunk
from ravine.transforms.factored import Factors, empty_factors, moved_factors, over_root


class ScaleByCameState(NamedTuple):
    """The momentum, and for each leaf the factors of its second moment and of its residual."""

    mu: Updates
    v: Updates
    residual: Updates


@rule
class ScaleByCame(Transform):
    r"""CAME's direction, before the learning rate.

    .. math::
        U_t &= G_t / \sqrt{V_t}, \qquad
        \hat U_t = U_t / \max(1, \mathrm{rms}(U_t) / d), \qquad
        M_t = \beta_1 M_{t-1} + (1-\beta_1) \hat U_t, \\
        u_t &= M_t / \sqrt{S_t},

    with :math:`V` and :math:`S` the rank-one moving averages, of decays :math:`\beta_2` and
    :math:`\beta_3`, of :math:`|G|^2 + \epsilon` and of the residual
    :math:`|\hat U - M|^2 + \epsilon'`: where steps scatter about their mean, they are
    short. The last two axes of a leaf are its rows and columns. A leaf with fewer keeps
    :math:`V` element by element, and :math:`u = M`.

    Args:
        b1: decay :math:`\beta_1` of the momentum, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        b3: decay :math:`\beta_3` of the residual, in [0, 1).
        eps: :math:`\epsilon \ge 0`, added to every square of a gradient.
        eps_residual: :math:`\epsilon' \ge 0`, added to every squared residual.
        clipping_threshold: :math:`d \ge 0`.

    Reference: Luo et al., CAME: confidence-guided adaptive memory efficient optimization, 2023,
    https://arxiv.org/abs/2307.02047.
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    b3: Decay = 0.9999
    eps: NonNegative = 1e-30
    eps_residual: NonNegative = 1e-16
    clipping_threshold: NonNegative = 1.0

    def init(self, params: Params) -> ScaleByCameState:
        def residual(p: Any) -> Factors | None:
            return empty_factors(p, _last_axes(p)) if jnp.ndim(p) > 1 else None

        v = jax.tree.map(lambda p: empty_factors(p, _last_axes(p)), params)
        return ScaleByCameState(tree.zeros_like(params), v, jax.tree.map(residual, params))

    def update(
        self, updates: Updates, state: ScaleByCameState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByCameState]:
        def second(g: Any, v: Factors) -> Factors:
            square = abs_sq(fine(g))
            return moved_factors(self.b2, v, square + at(self.eps, square), _last_axes(g))

        v = jax.tree.map(second, updates, state.v)

        def clipped(g: Any, v: Factors) -> jax.Array:
            # U = G / sqrt(V);  U = U / max(1, rms(U) / d)
            u = over_root(fine(g), v, _last_axes(g))
            return shrunk([u], self.clipping_threshold, mean=True)[0]

        u = jax.tree.map(clipped, updates, v)
        # M = b1 M + (1 - b1) U
        mu = tree.moment(self.b1, state.mu, u)

        def scattered(u: jax.Array, m: jax.Array, s: Factors | None) -> Factors | None:
            if s is None:
                return None
            square = abs_sq(u.astype(m.dtype) - m)
            return moved_factors(self.b3, s, square + at(self.eps_residual, square), _last_axes(u))

        def confident(m: jax.Array, s: Factors | None) -> jax.Array:
            # u = M / sqrt(S)
            return m if s is None else over_root(m, s, _last_axes(m))

        residual = jax.tree.map(scattered, u, mu, state.residual)
        new = tree.cast_like(jax.tree.map(confident, mu, residual), updates)
        return new, ScaleByCameState(tree.cast_like(mu, state.mu), v, residual)


def _last_axes(x: Any) -> tuple[int, int] | None:
    n = jnp.ndim(x)
    return (n - 2, n - 1) if n > 1 else None
