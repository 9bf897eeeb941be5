"""Momenta mixed: with the plain gradient, or with one another."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, Fraction, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.aggmo import ScaleByAggMo, check_decays
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.quasi import ScaleByQHAdam, ScaleByQHM
from ravine.transforms.scale import ScaleByLearningRate


@rule
class QHM(Optimizer):
    r"""Quasi-hyperbolic momentum: a step between the gradient and its moving average.

    .. math::
        m_t = \beta m_{t-1} + (1-\beta) g_t, \qquad
        \theta_t = \theta_{t-1} - \eta_t \left( (1-\nu)\,g_t + \nu\,m_t
            + \lambda\,\theta_{t-1} \right).

    The defaults are those that the paper advises. :math:`m` is a mean, not a sum as in
    ``SGD``: it takes a learning rate :math:`1 / (1-\beta)` times as large.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: decay :math:`\beta` of the average, in [0, 1).
        nu: share :math:`\nu` of the average, in [0, 1]: 0 for plain gradients, 1 for momentum.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Ma and Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2018,
    https://arxiv.org/abs/1810.06801.

    >>> import jax.numpy as jnp
    >>> optimizer = QHM(learning_rate=1.0, momentum=0.5, nu=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.75,  1.5 ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    momentum: Decay = 0.999
    nu: Fraction = 0.7
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByQHM(self.momentum, self.nu),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class QHAdam(Optimizer):
    r"""AdamW with quasi-hyperbolic terms in place of its moments.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left( \frac{(1-\nu_1)\,g_t + \nu_1 \hat m_t}
            {\sqrt{(1-\nu_2)\,|g_t|^2 + \nu_2 \hat v_t} + \epsilon}
            + \lambda\,\theta_{t-1} \right),

    with the moments of ``Adam``. The defaults are those that the paper advises.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        nu1: share :math:`\nu_1` of the first moment, in [0, 1]; 1 is ``Adam``.
        nu2: share :math:`\nu_2` of the second moment, in [0, 1]; 1 is ``Adam``.
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Ma and Yarats, Quasi-hyperbolic momentum and Adam for deep learning, 2018,
    https://arxiv.org/abs/1810.06801.

    >>> import jax.numpy as jnp
    >>> optimizer = QHAdam(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.995
    b2: Decay = 0.999
    nu1: Fraction = 0.7
    nu2: Fraction = 1.0
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByQHAdam(self.b1, self.b2, self.nu1, self.nu2, self.eps),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class AggMo(Optimizer):
    r"""Gradient descent with the mean of several momenta, fast ones and slow ones.

    .. math::
        m^{(i)}_t = \beta_i m^{(i)}_{t-1} + g_t, \qquad
        \theta_t = \theta_{t-1} - \eta_t \left( \frac1K \sum_{i=1}^K m^{(i)}_t
            + \lambda\,\theta_{t-1} \right).

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        betas: the decays :math:`\beta_i`, a tuple of numbers in [0, 1). Those of the paper are
            one minus powers of ten.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Lucas et al., Aggregated momentum: stability through passive damping, 2018,
    https://arxiv.org/abs/1804.00325.

    >>> import jax.numpy as jnp
    >>> optimizer = AggMo(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.2], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    betas: tuple[Decay, ...] = (0.0, 0.9, 0.99)
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def __post_init__(self) -> None:
        check_decays(self)

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAggMo(self.betas),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
