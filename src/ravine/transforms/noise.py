"""Gaussian noise on the gradients, fading with time."""

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, concrete, fine, safe_increment, safe_sqrt, times
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Seed, Transform, Updates
from ravine.transforms.draw import drawn_keys, first_key


class AddNoiseState(NamedTuple):
    """The step count (int32), and the random key from which the next noise is drawn."""

    count: jax.Array  # type: ignore[assignment]
    rng_key: jax.Array


@rule
class AddNoise(Transform):
    r"""Add Gaussian noise whose variance fades with time.

    .. math::
        u_t = g_t + \sigma_t z_t, \qquad \sigma_t^2 = \eta / t^\gamma, \quad z_t \sim N(0, 1),
        \quad t = 1, 2, \dots

    The noise follows from ``key`` alone. An extra argument ``key`` at update takes its
    place for that step, as a sweep does to give each lane noise of its own.

    Args:
        eta: variance :math:`\eta \ge 0` of the first noise.
        gamma: exponent :math:`\gamma \ge 0` by which it fades.
        key: an integer seed or a JAX random key; 0 by default.
        seed: another name for ``key``.

    Raises:
        ValueError: if both ``key`` and ``seed`` are given.

    Reference: Neelakantan et al., Adding gradient noise improves learning for very deep
    networks, 2015, https://arxiv.org/abs/1511.06807.

    >>> import jax.numpy as jnp
    >>> transform = AddNoise(eta=0.0, gamma=0.55, key=1)
    >>> transform
    AddNoise(eta=0.0, gamma=0.55, key=1)
    >>> transform.update(jnp.ones(2), transform.init(jnp.ones(2)))[0]
    Array([1., 1.], dtype=float32)
    """

    eta: NonNegative
    gamma: NonNegative
    key: Seed | None = None
    _: KW_ONLY
    seed: Seed | None = None

    def __post_init__(self) -> None:
        one_key(self)

    def init(self, params: Params) -> AddNoiseState:
        return AddNoiseState(jnp.zeros((), jnp.int32), first_key(self.key))

    def update(
        self, updates: Updates, state: AddNoiseState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, AddNoiseState]:
        t = safe_increment(state.count)
        # s^2 = eta / t^gamma
        fade = t.astype(float) ** jnp.asarray(concrete(self.gamma), float)
        sigma = safe_sqrt(at(self.eta, fade) / fade)
        sample_key, rng_key = drawn_keys(state.rng_key, t, extra)

        def leaf(g: Any, z: jax.Array) -> jax.Array:
            return (fine(g) + times(sigma, fine(z))).astype(jnp.result_type(g))

        # u = g + s z
        noise = tree.random_normal(sample_key, updates)
        return jax.tree.map(leaf, updates, noise), AddNoiseState(t, rng_key)


def one_key(owner: Any) -> None:
    """Let the field ``key`` of ``owner`` hold what was given as ``key`` or as ``seed``."""
    if owner.seed is None:
        return
    if owner.key is not None:
        raise ValueError(
            f"{type(owner).__name__}: key and seed are two names for one thing, and both were "
            "given. Give key only."
        )
    object.__setattr__(owner, "key", owner.seed)
    object.__setattr__(owner, "seed", None)
