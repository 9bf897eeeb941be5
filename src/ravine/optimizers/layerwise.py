"""Steps that each leaf takes in proportion to the size of its parameters."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.mask import Masked
from ravine.transforms.momentum import Trace
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.shrink import ShrinkAfterStep
from ravine.transforms.trust_ratio import ScaleByTrustRatio


@rule
class LARS(Optimizer):
    r"""LARS: gradient descent with momentum, each leaf's step in proportion to its size.

    .. math::
        g'_t &= g_t + \lambda_t \theta_{t-1}, \qquad
        u_t = \tau\, \frac{\|\theta_{t-1}\|}{\|g'_t\| + \epsilon}\, g'_t, \\
        m_t &= \mu m_{t-1} - \eta_t u_t, \qquad \theta_t = \theta_{t-1} + m_t,

    the norms being those of the leaf.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.
        trust_coefficient: :math:`\tau \ge 0`.
        eps: :math:`\epsilon \ge 0`, added to the gradient's norm.
        trust_ratio_mask: which leaves are brought to their size, in the same forms; the
            others, often biases, take plain steps.
        momentum: decay :math:`\mu` of the sum of steps, in [0, 1).
        nesterov: look one step ahead.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: You, Gitman and Ginsburg, Large batch training of convolutional networks,
    2017, https://arxiv.org/abs/1708.03888.

    >>> import jax.numpy as jnp
    >>> optimizer = LARS(learning_rate=0.5, trust_coefficient=0.5)
    >>> params, g = jnp.array([6.0, 8.0]), jnp.array([0.0, 0.1])
    >>> optimizer.update(g, optimizer.init(params), params)[0]
    Array([ 0. , -2.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = True
    trust_coefficient: NonNegative = 0.001
    eps: NonNegative = 0.0
    trust_ratio_mask: Static[Mask] = True
    momentum: Decay = 0.9
    nesterov: Static[bool] = False

    def as_chain(self) -> Chain:
        trust = ScaleByTrustRatio(trust_coefficient=self.trust_coefficient, eps=self.eps)
        return chain(
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            Masked(trust, self.trust_ratio_mask),
            ScaleByLearningRate(self.learning_rate),
            Trace(self.momentum, self.nesterov),
        )


@rule
class LAMB(Optimizer):
    r"""LAMB: Adam, each leaf's step brought to the size of its parameters.

    .. math::
        u_t = \frac{\hat m_t}{\sqrt{\hat v_t + \bar\epsilon} + \epsilon}
        + \lambda_t \theta_{t-1}, \qquad
        \theta_t = \theta_{t-1} - \eta_t \frac{\|\theta_{t-1}\|}{\|u_t\|}\, u_t,

    with :math:`\hat m` and :math:`\hat v` as in Adam, and the norms of the leaf.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: You et al., Large batch optimization for deep learning: training BERT in 76
    minutes, 2019, https://arxiv.org/abs/1904.00962.

    >>> import jax.numpy as jnp
    >>> optimizer = LAMB(learning_rate=0.5)
    >>> params, g = jnp.array([3.0, -3.0]), jnp.array([0.1, 20.0])
    >>> optimizer.update(g, optimizer.init(params), params)[0].round(4)
    Array([-1.5, -1.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-6
    eps_root: NonNegative = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdam(self.b1, self.b2, self.eps, self.eps_root),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByTrustRatio(),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class Fromage(Optimizer):
    r"""Fromage: steps in proportion to each leaf's size, and no growth of the leaf from them.

    .. math::
        \theta_t = \frac{1}{\sqrt{1 + \eta_t^2}}
        \Big(\theta_{t-1} - \eta_t \frac{\|\theta_{t-1}\|}{\|g_t\|}\, g_t\Big),

    the norms being those of the leaf.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        min_norm: the smallest norm that is reckoned with, at least 0.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Bernstein et al., On the distance between two neural networks and the stability
    of learning, 2020, https://arxiv.org/abs/2002.03432.

    >>> import jax.numpy as jnp
    >>> optimizer = Fromage(learning_rate=0.75)
    >>> params, g = jnp.array([3.0, 4.0]), jnp.array([0.0, 0.1])
    >>> optimizer.update(g, optimizer.init(params), params)[0]
    Array([-0.6, -3.8], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    min_norm: NonNegative = 1e-6

    def as_chain(self) -> Chain:
        return chain(
            ScaleByTrustRatio(self.min_norm),
            ScaleByLearningRate(self.learning_rate),
            ShrinkAfterStep(self.learning_rate),
        )
