"""Sums of squares kept by row and by column, and not by element."""

from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    at,
    complement,
    compute_dtype,
    fine,
    real_dtype,
    safe_rsqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, Fraction, NonNegative, Params, Transform, Updates


class ScaleBySm3State(NamedTuple):
    """For each leaf a tuple of sums, one vector an axis (real, float32 or finer); the momentum."""

    sums: Updates
    mu: Updates


@rule
class ScaleBySm3(Transform):
    r"""SM3's direction: Adagrad with a sum for every row and column instead of every element.

    .. math::
        s_t(i) &= \min_r S^r_{t-1}(i_r) + |g_t(i)|^2, \qquad
        S^r_t(j) = \max_{i:\, i_r = j} s_t(i), \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, g_t / \sqrt{s_t + \epsilon}, \qquad u_t = m_t.

    Here :math:`i_r` is the place of element :math:`i` along axis :math:`r`, so a leaf of
    shape (n, m) has n + m sums. With :math:`\beta_2 < 1` the sum becomes the mean
    :math:`\beta_2 \min_r S^r + (1-\beta_2) |g|^2`.

    Args:
        b1: decay :math:`\beta_1` of the momentum, in [0, 1).
        b2: decay :math:`\beta_2` of the sums, in [0, 1]; at 1 they sum.
        eps: :math:`\epsilon \ge 0`, inside the root.

    Reference: Anil et al., Memory-efficient adaptive optimization, 2019,
    https://arxiv.org/abs/1901.11150.

    >>> import jax.numpy as jnp
    >>> transform = ScaleBySm3(b1=0.0)
    >>> g = jnp.array([[2.0, -4.0], [0.0, 1.0]])
    >>> u, state = transform.update(g, transform.init(g))
    >>> u
    Array([[ 1., -1.], [ 0.,  1.]], dtype=float32)
    >>> state.sums
    (Array([16.,  1.], dtype=float32), Array([ 4., 16.], dtype=float32))
    """

    b1: Decay = 0.9
    b2: Fraction = 1.0
    eps: NonNegative = 1e-8

    def init(self, params: Params) -> ScaleBySm3State:
        def sums(p: Any) -> tuple[jax.Array, ...]:
            dtype = real_dtype(compute_dtype(p))
            return tuple(jnp.zeros(n, dtype) for n in jnp.shape(p) or (1,))

        return ScaleBySm3State(jax.tree.map(sums, params), tree.zeros_like(params))

    def update(
        self, updates: Updates, state: ScaleBySm3State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleBySm3State]:
        def added(g: Any, sums: tuple[jax.Array, ...]) -> jax.Array:
            # s = min_r S^r + |g|^2, or the mean of the two
            shape = jnp.shape(g)
            least = reduce(jnp.minimum, (_along(S, r, shape) for r, S in enumerate(sums)))
            share = jnp.where(at(self.b2, least) == 1, 1, at(complement(self.b2), least))
            return share * abs_sq(fine(g)).astype(least.dtype) + times(self.b2, least)

        s = jax.tree.map(added, updates, state.sums)

        # m = b1 m + (1 - b1) g / sqrt(s + eps)
        def divided(g: Any, s: jax.Array) -> jax.Array:
            scale = jnp.where(s > 0, safe_rsqrt(s + at(self.eps, s)), 0)
            return times(scale, fine(g))

        mu = tree.moment(self.b1, state.mu, jax.tree.map(divided, updates, s))
        # S^r = max over the other axes of s
        sums = jax.tree.map(
            lambda s, sums: tuple(_largest(s, r).astype(a.dtype) for r, a in enumerate(sums)),
            s,
            state.sums,
        )
        return tree.cast_like(mu, updates), ScaleBySm3State(sums, tree.cast_like(mu, state.mu))


def _along(vector: jax.Array, axis: int, shape: tuple[int, ...]) -> jax.Array:
    """``vector`` laid along one axis of an array of this shape; a scalar has a vector of one."""
    if not shape:
        return vector.reshape(())
    sides = [n if i == axis else 1 for i, n in enumerate(shape)]
    return jnp.broadcast_to(vector.reshape(sides), shape)


def _largest(s: jax.Array, axis: int) -> jax.Array:
    """The maximum over all axes but one, of numbers that are at least 0."""
    others = tuple(i for i in range(s.ndim) if i != axis)
    return jnp.max(s, axis=others, initial=0).reshape(-1)
