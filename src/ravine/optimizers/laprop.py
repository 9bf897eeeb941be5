"""LaProp: gradients are divided before they are averaged."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.laprop import ScaleByLaprop
from ravine.transforms.scale import ScaleByLearningRate


@rule
class LaProp(Optimizer):
    r"""Adam with the division inside the mean, so that the two decays can be chosen freely.

    .. math::
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \qquad
        m_t = \beta_1 m_{t-1} + (1-\beta_1)
            \frac{g_t}{\sqrt{v_t / (1-\beta_2^t)} + \epsilon}, \\
        \theta_t &= \theta_{t-1} - \eta_t \left( \frac{m_t}{1-\beta_1^t}
            + \lambda\,\theta_{t-1} \right).

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Ziyin, Wang and Ueda, LaProp: separating momentum and adaptivity in Adam,
    2020, https://arxiv.org/abs/2002.04839.

    >>> import jax.numpy as jnp
    >>> optimizer = LaProp(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-15
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByLaprop(self.b1, self.b2, self.eps),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
