"""Gradient descent that hides every single example."""

from dataclasses import KW_ONLY
from typing import Any

from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    NonNegative,
    Params,
    Schedule,
    Seed,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.momentum import Trace
from ravine.transforms.noise import one_key
from ravine.transforms.privacy import DifferentiallyPrivateAggregate
from ravine.transforms.scale import ScaleByLearningRate


@rule
class DPSGD(Optimizer):
    r"""Differentially private gradient descent: each example's gradient is clipped, then noise.

    .. math::
        \tilde g_t &= \tfrac1B \Big(\textstyle\sum_b g_{t,b} \min(1, c / \|g_{t,b}\|)
        + \sigma c\, z_t\Big), \qquad z_t \sim N(0, 1), \\
        m_t &= \tilde g_t + \mu m_{t-1}, \qquad \theta_t = \theta_{t-1} - \eta_t m_t.

    Its ``update`` takes the gradients of single examples, with an axis of examples before all
    others: ``jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        l2_norm_clip: the largest norm :math:`c \ge 0` of one example's whole gradient.
        noise_multiplier: :math:`\sigma \ge 0`.
        key: an integer seed or a JAX random key; 0 by default. An extra argument ``key``
            at update takes its place for that step.
        momentum: :math:`\mu` in [0, 1); ``None`` for none.
        nesterov: look one step ahead; it needs a momentum.
        seed: another name for ``key``.

    Raises:
        ValueError: if a number lies outside its range, or both key and seed are given; at
            update, if the gradients are not those of single examples.
        TypeError: if a field is of the wrong kind.

    Reference: Abadi et al., Deep learning with differential privacy, 2016,
    https://arxiv.org/abs/1607.00133.

    >>> import jax.numpy as jnp
    >>> optimizer = DPSGD(learning_rate=0.5, l2_norm_clip=1.0, noise_multiplier=0.0)
    >>> params = jnp.zeros(2)
    >>> gradients = jnp.array([[3.0, 4.0], [0.5, 0.0]])
    >>> optimizer.update(gradients, optimizer.init(params), params)[0]
    Array([-0.275, -0.2  ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    l2_norm_clip: NonNegative
    noise_multiplier: NonNegative
    key: Seed | None = None
    momentum: Decay | None = None
    nesterov: Static[bool] = False
    _: KW_ONLY
    seed: Seed | None = None

    def __post_init__(self) -> None:
        one_key(self)

    def as_chain(self) -> Chain:
        parts: list[Transform] = [
            DifferentiallyPrivateAggregate(self.l2_norm_clip, self.noise_multiplier, self.key)
        ]
        if self.momentum is not None:
            parts.append(Trace(self.momentum, self.nesterov))
        return chain(*parts, ScaleByLearningRate(self.learning_rate))

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        # The gradients have an axis that the parameters have not, so the two are not compared.
        return self.as_chain().update(updates, state, params, **extra)
