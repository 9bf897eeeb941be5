"""Adam without its two dangers: a division by little, and a moment that lags behind."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.atan2 import ScaleByAdamAtan2
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.stable import ScaleByStableAdam


@rule
class AdamAtan2(Optimizer):
    r"""AdamW with an arc tangent in place of the division, and so without an epsilon.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            a\,\mathrm{atan2}(\hat m_t,\ b \sqrt{\hat v_t}) + \lambda\,\theta_{t-1} \right),

    with the moments of ``Adam``. It makes the same steps for gradients of any scale.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        a: factor :math:`a \ge 0` of the angle; at 1.27 a constant gradient gives steps of
            length 1, as in ``Adam``.
        b: factor :math:`b \ge 0` of the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Everett et al., Scaling exponents across parameterizations and optimizers,
    2024, https://arxiv.org/abs/2407.05872.

    >>> import jax.numpy as jnp
    >>> optimizer = AdamAtan2(learning_rate=0.1, a=1.0)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.0785,  0.0785], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    a: NonNegative = 1.27
    b: NonNegative = 1.0
    mu_dtype: Static[DType] = None
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdamAtan2(self.b1, self.b2, self.a, self.b, self.mu_dtype),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class StableAdamW(Optimizer):
    r"""AdamW that steps less far where gradients have outgrown their second moment.

    .. math::
        \theta_t = \theta_{t-1} - \frac{\eta_t}{\max(1, r_t)} \left(
            \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} + \lambda\,\theta_{t-1} \right), \qquad
        r_t^2 = \mathrm{mean}\,\frac{|g_t|^2}{\max(\hat v_t, \epsilon^2)},

    with the moments of ``Adam``, the mean being taken leaf by leaf. It takes the place of
    clipping gradients.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Wortsman et al., Stable and low-precision training for large-scale
    vision-language models, 2023, https://arxiv.org/abs/2304.13013.

    >>> import jax.numpy as jnp
    >>> optimizer = StableAdamW(learning_rate=0.1, weight_decay=0.0)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.99
    eps: NonNegative = 1e-6
    weight_decay: NonNegative | Schedule = 1e-2
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        direction = ScaleByStableAdam(
            self.b1, self.b2, self.eps, self.weight_decay, self.weight_decay_mask
        )
        return chain(direction, ScaleByLearningRate(self.learning_rate))
