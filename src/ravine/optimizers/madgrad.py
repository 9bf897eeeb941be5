"""MADGRAD: dual averaging with momentum."""

from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.madgrad import ScaleByMadgrad


@rule
class MADGRAD(Optimizer):
    r"""Adaptive dual averaging: every point follows from the start and the sum of gradients.

    .. math::
        \lambda_t &= (\eta_t + \epsilon) \sqrt t, \qquad
        s_t = s_{t-1} + \lambda_t g_t, \qquad v_t = v_{t-1} + \lambda_t |g_t|^2, \\
        z_t &= \theta_0 - s_t / (\sqrt[3]{v_t} + \epsilon), \qquad
        \theta_t = \mu\,\theta_{t-1} + (1-\mu)\,z_t,

    where :math:`g_t` has the weight decay added. A change to the parameters from outside is
    forgotten in time, as the start is not changed with them.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: :math:`\mu` in [0, 1): how much of the last point is kept.
        weight_decay: at least 0, a number or a schedule; times the parameters, it is added
            to the gradient. The authors advise a small one, or none.
        eps: :math:`\epsilon \ge 0`, added to the cube root and to the learning rate.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio and Jelassi, Adaptivity without compromise: a momentumized, adaptive,
    dual averaged gradient method for stochastic optimization, 2021,
    https://arxiv.org/abs/2101.11075.

    >>> import jax.numpy as jnp
    >>> optimizer = MADGRAD(learning_rate=0.125, momentum=0.0, eps=0.0)
    >>> params = jnp.array([1.0, -8.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.25,  0.5 ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    momentum: Decay = 0.9
    weight_decay: NonNegative | Schedule = 0.0
    eps: NonNegative = 1e-6

    def as_chain(self) -> Chain:
        return chain(
            AddDecayedWeights(self.weight_decay),
            ScaleByMadgrad(self.learning_rate, self.momentum, self.eps),
        )
