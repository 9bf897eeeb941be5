"""Slow parts of gradients made louder."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import fine, safe_increment, times, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.momentum import EmaState


@rule
class GrokFast(Transform):
    r"""Add to every gradient a multiple of the moving average of gradients.

    .. math::
        h_t = \alpha h_{t-1} + (1-\alpha) g_t, \qquad u_t = g_t + \lambda h_t, \qquad h_0 = g_1.

    Put it before an optimizer: ``chain(GrokFast(), Adam(1e-3))``. The average is kept in
    float32 or finer.

    Args:
        alpha: decay :math:`\alpha` of the average, in [0, 1).
        lamb: :math:`\lambda \ge 0`, how much of it is added.

    Reference: Lee et al., Grokfast: accelerated grokking by amplifying slow gradients, 2024,
    https://arxiv.org/abs/2405.20233.

    >>> import jax.numpy as jnp
    >>> transform = GrokFast(alpha=0.5)
    >>> state = transform.init(jnp.zeros(1))
    >>> for g in (1.0, 3.0):
    ...     u, state = transform.update(jnp.full(1, g), state)
    >>> u
    Array([7.], dtype=float32)
    """

    alpha: Decay = 0.98
    lamb: NonNegative = 2.0

    elementwise = True

    def init(self, params: Params) -> EmaState:
        return EmaState(jnp.zeros((), jnp.int32), tree.fine_zeros_like(params))

    def update(
        self, updates: Updates, state: EmaState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmaState]:
        # h = a h + (1 - a) g, from the first gradient on;  u = g + l h
        start = tree.where(state.count == 0, tree.cast_like(updates, state.ema), state.ema)
        h = tree.moment(self.alpha, start, updates)
        u = _louder(updates, self.lamb, h)
        return u, EmaState(safe_increment(state.count), tree.cast_like(h, state.ema))


class GrokFastMAState(NamedTuple):
    """The step count (int32), and the last gradients, the newest at ``(count - 1) % window``."""

    count: jax.Array  # type: ignore[assignment]
    window: Updates


@rule
class GrokFastMA(Transform):
    r"""Add to every gradient a multiple of the mean of the last few.

    .. math::
        u_t = g_t + \lambda\,\frac1w \sum_{i=0}^{w-1} g_{t-i}.

    It keeps :math:`w` gradients, where ``GrokFast`` keeps one average.

    Args:
        window_size: :math:`w \ge 1`, how many gradients.
        lamb: :math:`\lambda \ge 0`, how much of their mean is added.
        filter_type: ``"mean"``, or ``"sum"`` to leave out the division.
        warmup: whether to add nothing until there are :math:`w` gradients.

    Raises:
        ValueError: if the window is empty, or there is no such filter.

    Reference: Lee et al., Grokfast: accelerated grokking by amplifying slow gradients, 2024,
    https://arxiv.org/abs/2405.20233.
    """

    window_size: Static[int] = 100
    lamb: NonNegative = 5.0
    filter_type: Static[Literal["mean", "sum"]] = "mean"
    warmup: Static[bool] = True

    elementwise = True

    def __post_init__(self) -> None:
        if self.window_size < 1:
            raise ValueError(f"GrokFastMA: window_size must be at least 1, got {self.window_size}.")
        if self.filter_type not in ("mean", "sum"):
            raise ValueError(
                f"GrokFastMA: filter_type must be 'mean' or 'sum', got {self.filter_type!r}."
            )

    def init(self, params: Params) -> GrokFastMAState:
        def slots(p: Any) -> jax.Array:
            return jnp.zeros((self.window_size, *jnp.shape(p)), jnp.result_type(p))

        return GrokFastMAState(jnp.zeros((), jnp.int32), jax.tree.map(slots, params))

    def update(
        self, updates: Updates, state: GrokFastMAState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, GrokFastMAState]:
        place = state.count % self.window_size
        window = jax.tree.map(
            lambda w, g: w.at[place].set(jnp.asarray(g).astype(w.dtype)), state.window, updates
        )
        # u = g + l (g_t + ... + g_(t-w+1)) / w
        known = jnp.minimum(safe_increment(state.count), self.window_size)
        weight = 1 / known.astype(float) if self.filter_type == "mean" else jnp.ones((), float)
        if self.warmup:
            weight = jnp.where(known < self.window_size, 0, weight)
        total = jax.tree.map(lambda w: times(weight, jnp.sum(fine(w), axis=0)), window)
        u = _louder(updates, self.lamb, total)
        return u, GrokFastMAState(safe_increment(state.count), window)


def _louder(updates: Updates, factor: Any, slow: Updates) -> Updates:
    """``updates + factor * slow``, in the dtypes of the updates."""

    def leaf(g: Any, h: jax.Array) -> jax.Array:
        wide, h = widen(g, h)
        return (wide + times(factor, h)).astype(jnp.result_type(g))

    return jax.tree.map(leaf, updates, slow)
