"""Adam's kin that step further where gradients are as expected."""

from dataclasses import KW_ONLY

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.belief import ScaleByAcprop, ScaleByBelief
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.scale import ScaleByLearningRate


@rule
class AdaBelief(Optimizer):
    r"""Adam divided by how far gradients stray from their mean, not by how large they are.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        s_t &= \beta_2 s_{t-1} + (1-\beta_2) |g_t - m_t|^2 + \bar\epsilon, \\
        \theta_t &= \theta_{t-1} - \eta_t \left( \hat m_t / (\sqrt{\hat s_t} + \epsilon)
            + \lambda\,\theta_{t-1} \right), &
        \hat m_t &= m_t / (1-\beta_1^t), \quad \hat s_t = s_t / (1-\beta_2^t).

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the squared distance, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, added to the squared distance at every step.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule; ``None`` for none.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.
        nesterov: use Dozat's first moment, which looks one step ahead.

    Raises:
        ValueError: if a number lies outside its range; at update, if there is a weight decay
            and the parameters are not given or do not fit its mask.
        TypeError: if a field is of the wrong kind.

    Reference: Zhuang et al., AdaBelief optimizer: adapting stepsizes by the belief in
    observed gradients, 2020, https://arxiv.org/abs/2010.07468.

    >>> import jax.numpy as jnp
    >>> optimizer = AdaBelief(learning_rate=0.1, b1=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.2,  0.2], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-16
    eps_root: NonNegative = 1e-16
    weight_decay: NonNegative | Schedule | None = None
    weight_decay_mask: Static[Mask] = None
    _: KW_ONLY
    nesterov: Static[bool] = False

    def as_chain(self) -> Chain:
        direction = ScaleByBelief(self.b1, self.b2, self.eps, self.eps_root, nesterov=self.nesterov)
        step = ScaleByLearningRate(self.learning_rate)
        if self.weight_decay is None:
            return chain(direction, step)
        return chain(direction, AddDecayedWeights(self.weight_decay, self.weight_decay_mask), step)


@rule
class ACProp(Optimizer):
    r"""The gradient over a deviation from the mean that was known before it came.

    .. math::
        \theta_t &= \theta_{t-1} - \eta_t \left( g_t / (\sqrt{\hat s_{t-1}} + \epsilon)
            + \lambda\,\theta_{t-1} \right), \qquad
        \hat s_{t-1} = s_{t-1} / (1-\beta_2^{t-1}), \\
        s_t &= \beta_2 s_{t-1} + (1-\beta_2) |g_t - m_{t-1}|^2 + \bar\epsilon, \qquad
        m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t,

    and 1 in place of :math:`\hat s_0` at the first step.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the squared distance, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, added to the squared distance at every step.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Zhuang et al., Momentum centering and asynchronous update for adaptive
    gradient methods, 2021, https://arxiv.org/abs/2110.05454.

    >>> import jax.numpy as jnp
    >>> optimizer = ACProp(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    >>> updates.round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-16
    eps_root: NonNegative = 1e-16
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAcprop(self.b1, self.b2, self.eps, self.eps_root),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
