"""Steps of one length, in the direction of an interpolated momentum."""

from dataclasses import KW_ONLY
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import over, safe_increment, times
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Params, Static, Transform, Updates

MODES = ("hard", "smooth", "refined")


class ScaleByLionState(NamedTuple):
    """The step count (int32), and the mean of gradients."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates


@rule
class ScaleByLion(Transform):
    r"""Lion's direction: the sign of a mean that leans towards the last gradient.

    .. math::
        c_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad u_t = \mathrm{sign}(c_t), \qquad
        m_t = \beta_2 m_{t-1} + (1-\beta_2) g_t.

    The sign of a complex number is the number over its magnitude.

    Args:
        b1: weight :math:`\beta_1` of the mean in the direction, in [0, 1).
        b2: decay :math:`\beta_2` of the mean, in [0, 1).
        mu_dtype: dtype of the mean; that of the parameters by default.
        mode: ``"hard"`` for the sign; ``"smooth"`` for :math:`\tanh(\kappa c_t)`;
            ``"refined"`` for :math:`c_t` itself where its magnitude is below 1.
        smooth_beta: :math:`\kappa \ge 0`, how steep the smooth sign is.

    Raises:
        ValueError: if there is no such mode.

    Reference: Chen et al., Symbolic discovery of optimization algorithms, 2023,
    https://arxiv.org/abs/2302.06675.

    >>> import jax.numpy as jnp
    >>> g = jnp.array([4.0, 0.0, -0.5])
    >>> ScaleByLion().update(g, ScaleByLion().init(g))[0]
    Array([ 1.,  0., -1.], dtype=float32)
    """

    b1: Decay = 0.9
    b2: Decay = 0.99
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    mode: Static[Literal["hard", "smooth", "refined"]] = "hard"
    smooth_beta: NonNegative = 1.0

    elementwise = True

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(
                f"ScaleByLion: mode must be one of {', '.join(map(repr, MODES))}, got "
                f"{self.mode!r}."
            )

    def init(self, params: Params) -> ScaleByLionState:
        return ScaleByLionState(jnp.zeros((), jnp.int32), tree.zeros_like(params, self.mu_dtype))

    def update(
        self,
        updates: Updates,
        state: ScaleByLionState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByLionState]:
        def direction(c: jax.Array) -> jax.Array:
            if self.mode == "smooth":
                # |u| = tanh(k |c|)
                size = jnp.abs(c)
                return over(c, size) * jnp.tanh(times(self.smooth_beta, size)).astype(c.dtype)
            if self.mode == "refined":
                return jnp.where(jnp.abs(c) < 1, c, jnp.sign(c))
            return jnp.sign(c)

        # c = b1 m + (1 - b1) g;  u = sign(c);  m = b2 m + (1 - b2) g
        u = jax.tree.map(direction, tree.moment(self.b1, state.mu, updates))
        mu = tree.cast_like(tree.moment(self.b2, state.mu, updates), state.mu)
        return tree.cast_like(u, updates), ScaleByLionState(safe_increment(state.count), mu)
