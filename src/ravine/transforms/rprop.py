"""A step size for every parameter, which grows while the gradient keeps its sign."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, times
from ravine.core.rule import rule
from ravine.core.types import Fraction, NonNegative, Params, Positive, Transform, Updates


class ScaleByRpropState(NamedTuple):
    """The step sizes (real, float32 or finer), and the signs of the last gradients."""

    step_sizes: Updates
    signs: Updates


@rule
class ScaleByRprop(Transform):
    r"""Rprop's direction: the sign of the gradient, times a step size of each element's own.

    .. math::
        s_t &= \operatorname{sign}(g_t), \qquad
        \eta_t = \operatorname{clip}(c_t\, \eta_{t-1}, \eta_{\min}, \eta_{\max}), \qquad
        u_t = \eta_t s_t, \\
        c_t &= \eta_+ \text{ if } s_t s_{t-1} > 0, \quad
        \eta_- \text{ if } s_t s_{t-1} < 0, \quad 1 \text{ otherwise}.

    Where the sign has turned, the element stays where it is for this step and forgets its
    sign. A complex element keeps its sign while the gradient turns by less than a right angle.
    As in PyTorch, a step is taken at the call that brings its gradient; Optax takes it at
    the next one, and so is always a gradient late.

    Args:
        learning_rate: the first step size :math:`\eta_0 \ge 0`.
        eta_minus: factor :math:`\eta_-` in [0, 1] after the sign has turned.
        eta_plus: factor :math:`\eta_+ > 0` while it stays, at least 1.
        min_step_size: the smallest step size :math:`\eta_{\min} \ge 0`.
        max_step_size: the largest step size :math:`\eta_{\max} \ge 0`.

    Reference: Riedmiller and Braun, A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm, 1993, https://doi.org/10.1109/ICNN.1993.298623.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByRprop(1.0, eta_plus=1.5)
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (3.0, 0.1, 2.0):
    ...     u, state = transform.update(jnp.full(1, g), state)
    >>> u
    Array([2.25], dtype=float32)
    """

    learning_rate: NonNegative
    eta_minus: Fraction = 0.5
    eta_plus: Positive = 1.2
    min_step_size: NonNegative = 1e-6
    max_step_size: NonNegative = 50.0

    def init(self, params: Params) -> ScaleByRpropState:
        step_sizes = tree.accumulators(params, self.learning_rate)
        return ScaleByRpropState(step_sizes, tree.zeros_like(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByRpropState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByRpropState]:
        # The signs are kept, not the gradients: their products neither vanish nor overflow.
        signs = tree.cast_like(jax.tree.map(jnp.sign, updates), state.signs)
        agreement = jax.tree.map(lambda s, old: (s * old.conj()).real, signs, state.signs)

        def sized(eta: jax.Array, agree: jax.Array) -> jax.Array:
            # eta = clip(c eta, eta_min, eta_max)
            minus, plus = at(self.eta_minus, eta), at(self.eta_plus, eta)
            c = jnp.where(agree > 0, plus, jnp.where(agree < 0, minus, 1))
            return jnp.clip(c * eta, at(self.min_step_size, eta), at(self.max_step_size, eta))

        step_sizes = jax.tree.map(sized, state.step_sizes, agreement)
        # s = 0 where the sign has turned;  u = eta s
        signs = jax.tree.map(lambda s, a: jnp.where(a < 0, 0, s), signs, agreement)
        u = jax.tree.map(times, step_sizes, tree.widened(signs))
        return tree.cast_like(u, updates), ScaleByRpropState(step_sizes, signs)
