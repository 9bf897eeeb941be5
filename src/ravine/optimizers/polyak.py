"""Gradient descent that reads its step size from the loss."""

from typing import Literal

from ravine.core.rule import rule
from ravine.core.types import NonNegative, Real, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.polyak import ScaleByPolyak, check_variant
from ravine.transforms.scale import ScaleByLearningRate


@rule
class PolyakSGD(Optimizer):
    r"""Gradient descent with Polyak's step size.

    .. math::
        \theta_t = \theta_{t-1} - s_t \min\!\Big(
        \frac{f(\theta_{t-1}) - f_{\min}}{\|g_t\|^2 + \epsilon},\ \eta_{\max}\Big)\, g_t.

    Each ``update`` needs the loss: ``update(gradients, state, params, value=loss)``.

    Args:
        max_learning_rate: the largest step size :math:`\eta_{\max} \ge 0`.
        scaling: :math:`s \ge 0`, a number or a schedule, by which every step is multiplied.
        f_min: a lower bound :math:`f_{\min}` of the loss, the nearer the better.
        eps: :math:`\epsilon \ge 0`, added to the squared norm.
        variant: "sps", or "sps+", which takes a loss below :math:`f_{\min}` as one at it.

    Raises:
        ValueError: if a number lies outside its range, or for another variant; at update,
            without ``value``.
        TypeError: if a field is of the wrong kind.

    Reference: Loizou et al., Stochastic Polyak step-size for SGD, 2020,
    https://arxiv.org/abs/2002.10542.

    >>> import jax.numpy as jnp
    >>> optimizer = PolyakSGD()
    >>> params = jnp.array([2.0, 4.0])
    >>> optimizer.update(params, optimizer.init(params), params, value=5.0)[0]
    Array([-0.5, -1. ], dtype=float32)
    """

    max_learning_rate: NonNegative = 1.0
    scaling: NonNegative | Schedule = 1.0
    f_min: Real = 0.0
    eps: NonNegative = 0.0
    variant: Static[Literal["sps", "sps+"]] = "sps"

    def __post_init__(self) -> None:
        check_variant(self)

    def as_chain(self) -> Chain:
        return chain(
            ScaleByPolyak(self.f_min, self.max_learning_rate, self.eps, self.variant),
            ScaleByLearningRate(self.scaling),
        )
