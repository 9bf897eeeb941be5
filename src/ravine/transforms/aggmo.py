"""Several momenta at once."""

from typing import Any, NamedTuple

import jax

from ravine.core import tree
from ravine.core.numerics import times, widen
from ravine.core.rule import rule
from ravine.core.types import Decay, Params, Transform, Updates


class ScaleByAggMoState(NamedTuple):
    """One decayed sum of past updates for each decay."""

    traces: tuple[Updates, ...]


@rule
class ScaleByAggMo(Transform):
    r"""The mean of several momenta, fast ones and slow ones.

    .. math::
        m^{(i)}_t = \beta_i m^{(i)}_{t-1} + g_t, \qquad u_t = \frac1K \sum_{i=1}^K m^{(i)}_t.

    The fast ones damp the oscillations that slow ones alone would begin. The sums are kept
    in float32 or finer, since decays here are close to 1.

    Args:
        betas: the decays :math:`\beta_i`, a tuple of numbers in [0, 1).

    Raises:
        ValueError: if there is no decay, or one lies outside its range.
        TypeError: if they are no tuple of numbers.

    Reference: Lucas et al., Aggregated momentum: stability through passive damping, 2018,
    https://arxiv.org/abs/1804.00325.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByAggMo(betas=(0.0, 0.5))
    >>> state = transform.init(jnp.ones(1))
    >>> for _ in range(2):
    ...     u, state = transform.update(jnp.ones(1), state)
    >>> u
    Array([1.25], dtype=float32)
    """

    betas: tuple[Decay, ...] = (0.0, 0.9, 0.99)

    elementwise = True

    def __post_init__(self) -> None:
        check_decays(self)

    def init(self, params: Params) -> ScaleByAggMoState:
        return ScaleByAggMoState(tuple(tree.fine_zeros_like(params) for _ in self.betas))

    def update(
        self, updates: Updates, state: ScaleByAggMoState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByAggMoState]:
        def added(b: Any, m: jax.Array, g: Any) -> jax.Array:
            m, g = widen(m, g)
            return times(b, m) + g

        # m_i = b_i m_i + g;  u = (m_1 + ... + m_K) / K
        traces = tuple(
            jax.tree.map(lambda m, g, b=b: added(b, m, g), trace, updates)
            for b, trace in zip(self.betas, state.traces, strict=True)
        )
        u = jax.tree.map(lambda *m: times(1 / len(m), sum(m[1:], start=m[0])), *traces)
        return tree.cast_like(u, updates), tree.cast_like(ScaleByAggMoState(traces), state)


def check_decays(owner: Any) -> None:
    """Let the field ``betas`` of ``owner`` be a tuple of decays, or say what is wrong."""
    name, betas = type(owner).__name__, owner.betas
    if not isinstance(betas, tuple | list):
        raise TypeError(f"{name}: betas must be a tuple of numbers in [0, 1), got {betas!r}.")
    if not betas:
        raise ValueError(f"{name}: betas must hold one decay at least, got {betas!r}.")
    for b in betas:
        if isinstance(b, bool | str) or b is None:
            raise TypeError(f"{name}: betas must hold numbers, got {b!r}.")
        if isinstance(b, int | float) and not 0 <= b < 1:
            raise ValueError(f"{name}: betas must lie in [0, 1), got {b!r}.")
    plain = (float(b) if isinstance(b, int) else b for b in betas)
    object.__setattr__(owner, "betas", tuple(plain))
