"""Lion: every coordinate steps equally far."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.lion import ScaleByLion
from ravine.transforms.scale import ScaleByLearningRate


@rule
class Lion(Optimizer):
    r"""Sign descent with a momentum that leans towards the last gradient, and weight decay.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            \mathrm{sign}(\beta_1 m_{t-1} + (1-\beta_1) g_t) + \lambda\,\theta_{t-1} \right),
        \qquad m_t = \beta_2 m_{t-1} + (1-\beta_2) g_t.

    It keeps one moment where Adam keeps two. Every step has the same length, so it takes a
    learning rate some ten times smaller than Adam's, and a decay as much larger.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: weight :math:`\beta_1` of the mean in the direction, in [0, 1).
        b2: decay :math:`\beta_2` of the mean, in [0, 1).
        mu_dtype: dtype of the mean; that of the parameters by default.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Chen et al., Symbolic discovery of optimization algorithms, 2023,
    https://arxiv.org/abs/2302.06675.

    >>> import jax.numpy as jnp
    >>> optimizer = Lion(learning_rate=0.1, weight_decay=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.15,  0.2 ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.99
    mu_dtype: Static[DType] = None
    weight_decay: NonNegative | Schedule = 1e-3
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByLion(self.b1, self.b2, self.mu_dtype),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
