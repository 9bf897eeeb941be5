"""AdaBound: from adaptive steps to gradient descent."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Positive, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.bound import ScaleByAdaBound
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights


@rule
class AdaBound(Optimizer):
    r"""Adam whose rate for every coordinate is kept between two bounds that meet in the end.

    .. math::
        \theta_t &= \theta_{t-1} - \mathrm{clip}\!\left(\frac{\eta_t}{1-\beta_1^t}
            \frac{\sqrt{1-\beta_2^t}}{\sqrt{v_t} + \epsilon},\ l_t,\ h_t \right) m_t, \\
        l_t &= \eta^*_t \left(1 - \frac{1}{\gamma t + 1}\right), \qquad
        h_t = \eta^*_t \left(1 + \frac{1}{\gamma t}\right),

    with the moments of ``Adam`` without their bias taken out. The final rate does not follow
    a schedule of the first one: give it one of its own.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        final_lr: :math:`\eta^* \ge 0`, at which the bounds meet, a number or a schedule.
        gamma: :math:`\gamma > 0`, how fast they do.
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: at least 0, a number or a schedule; times the parameters, it is added
            to the gradient.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.
        amsbound: divide by the largest second moment so far: the paper's AMSBound.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Luo et al., Adaptive gradient methods with dynamic bound of learning rate,
    2019, https://arxiv.org/abs/1902.09843.

    >>> import jax.numpy as jnp
    >>> optimizer = AdaBound(learning_rate=0.01)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.01,  0.01], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    final_lr: NonNegative | Schedule = 0.1
    gamma: Positive = 1e-3
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    amsbound: Static[bool] = False

    def as_chain(self) -> Chain:
        step = ScaleByAdaBound(
            self.learning_rate,
            self.b1,
            self.b2,
            self.final_lr,
            self.gamma,
            self.eps,
            self.amsbound,
        )
        return chain(AddDecayedWeights(self.weight_decay, self.weight_decay_mask), step)
