"""Leave out of a step what only makes parameters longer."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params
from ravine.core.numerics import abs_sq, at, by_part, over, safe_increment, safe_sqrt, widen
from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import (
    Fraction,
    NonNegative,
    Params,
    Schedule,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.decay import add_decayed
from ravine.transforms.scale import value_at
from ravine.transforms.wrapper import Wrapper


class RemoveRadialState(NamedTuple):
    """The step count (int32), and the inner transform's state."""

    count: jax.Array  # type: ignore[assignment]
    inner_state: State


@rule
class RemoveRadial(Wrapper):
    r"""Take from updates their part along the parameters, where these are scale-invariant.

    .. math::
        u \leftarrow u - \frac{\langle \theta, u \rangle}{\lVert \theta \rVert^2}\,\theta
        \quad\text{if}\quad \max |\cos(\theta, g)| < \delta / \sqrt n,
        \qquad u \leftarrow u + \lambda \rho\,\theta.

    Before a normalization the length of a weight has no effect, so its gradient is
    orthogonal to it; momentum makes it longer nonetheless, and steps ever smaller. Leaves of
    two axes or more are looked at by channel, of :math:`n` numbers each, and then as a whole;
    where either is orthogonal to its gradient in all channels, the part is taken away and
    the decay multiplied by :math:`\rho`. Elsewhere :math:`\rho = 1`.

    Args:
        inner: the transform whose updates these are.
        delta: :math:`\delta \ge 0`, how close to orthogonal is orthogonal.
        wd_ratio: :math:`\rho` in [0, 1], what is left of the decay of scale-invariant leaves.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``; all by default.
        channel_axis: the axis along which the channels lie: the last, or 0 in PyTorch.
        eps: at least 0, added to norms.

    Raises:
        ValueError: at update, if the parameters are not given, or the mask does not fit them.

    Reference: Heo et al., AdamP: slowing down the slowdown for momentum optimizers on
    scale-invariant weights, 2020, https://arxiv.org/abs/2006.08217.
    """

    inner: Transform
    delta: NonNegative = 0.1
    wd_ratio: Fraction = 0.1
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    channel_axis: Static[int] = -1
    eps: NonNegative = 1e-8

    def init(self, params: Params) -> RemoveRadialState:
        return RemoveRadialState(jnp.zeros((), jnp.int32), self.inner.init(params))

    def update(
        self,
        updates: Updates,
        state: RemoveRadialState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, RemoveRadialState]:
        check_params("RemoveRadial", params, updates)
        new, inner = self.inner.update(updates, state.inner_state, params, **extra)
        structure: Any = jax.tree.structure(updates)
        triples = zip(*map(jax.tree.leaves, (new, updates, params)), strict=True)
        parts = [self._tangent(u, g, p) for u, g, p in triples]
        u, decaying = (jax.tree.unflatten(structure, [part[i] for part in parts]) for i in (0, 1))
        # u = u + lambda rho theta
        decay = value_at(self.weight_decay, state.count)
        u = add_decayed(u, decay, decaying, self.weight_decay_mask)
        return tree.cast_like(u, updates), RemoveRadialState(safe_increment(state.count), inner)

    def _tangent(self, u: Any, g: Any, p: Any) -> tuple[jax.Array, jax.Array]:
        """The update without its part along ``p``, and ``rho p``, if ``p`` is scale-invariant."""
        u, g, p = widen(u, g, p)
        if p.ndim < 2:
            return u, p
        everywhere = tuple(range(p.ndim))
        channel = tuple(i for i in everywhere if i != self.channel_axis % p.ndim)
        by_channel, first = self._seen(u, g, p, channel)
        as_a_whole, second = self._seen(u, g, p, everywhere)
        new = jnp.where(first, by_channel, jnp.where(second, as_a_whole, u))
        rho = jnp.where(first | second, at(self.wd_ratio, p), 1)
        return new, by_part(lambda part: rho * part, p)

    def _seen(
        self, u: jax.Array, g: jax.Array, p: jax.Array, axes: tuple[int, ...]
    ) -> tuple[jax.Array, jax.Array]:
        """The update without its part along ``p``, and whether ``p`` is scale-invariant."""
        eps = at(self.eps, p)
        # max |cos(theta, g)| < delta / sqrt(n)
        length, n = _norm(p, axes), math.prod(p.shape[i] for i in axes)
        cosine = over(jnp.abs(_inner(p, g, axes)), jnp.maximum(length * _norm(g, axes), eps))
        invariant = jnp.max(cosine, initial=0) < at(self.delta, p) / math.sqrt(max(n, 1))
        # u = u - <theta, u> theta / |theta|^2
        unit = over(p, length + eps)
        radial = _inner(unit, u, axes)
        return u - by_part(lambda part: radial * part, unit), invariant


def _inner(x: jax.Array, y: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The real inner product over ``axes``, which stay, with length 1."""
    return jnp.sum((jnp.conj(x) * y).real, axis=axes, keepdims=True)


def _norm(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The Euclidean norm over ``axes``, which stay, with length 1."""
    return safe_sqrt(jnp.sum(abs_sq(x), axis=axes, keepdims=True))
