"""MARS: variance reduction before the moments."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.lion import ScaleByLion
from ravine.transforms.mars import ReduceVariance
from ravine.transforms.scale import ScaleByLearningRate


@rule
class MARS(Optimizer):
    r"""AdamW on gradients that are corrected by their change: MARS-AdamW.

    .. math::
        c_t &= g_t + \gamma\,\frac{\beta_1}{1-\beta_1} (g_t - g_{t-1}), \qquad
        c_t \leftarrow c_t \min(1,\ 1 / \lVert c_t \rVert), \qquad g_0 = g_1, \\
        \theta_t &= \theta_{t-1} - \eta_t \left( \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}
            + \lambda\,\theta_{t-1} \right),

    with the moments of ``Adam``, taken of :math:`c_t`. Norms are taken leaf by leaf. This is
    the approximate form, which needs no second evaluation. The authors use it for matrices,
    and ``AdamW`` for the other leaves: ``Partition`` does that.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        gamma: strength :math:`\gamma \ge 0` of the correction; 0 leaves only the clipping.
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Yuan et al., MARS: unleashing the power of variance reduction for training
    large models, 2024, https://arxiv.org/abs/2411.10438.

    >>> import jax.numpy as jnp
    >>> optimizer = MARS(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.95
    b2: Decay = 0.99
    gamma: NonNegative = 0.025
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ReduceVariance(self.b1, self.gamma),
            ScaleByAdam(self.b1, self.b2, self.eps),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class MARSLion(Optimizer):
    r"""Sign descent on gradients that are corrected by their change: MARS-Lion.

    .. math::
        c_t &= g_t + \gamma\,\frac{\beta_1}{1-\beta_1} (g_t - g_{t-1}), \qquad
        c_t \leftarrow c_t \min(1,\ 1 / \lVert c_t \rVert), \qquad g_0 = g_1, \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) c_t, \qquad
        \theta_t = \theta_{t-1} - \eta_t (\mathrm{sign}(m_t) + \lambda\,\theta_{t-1}).

    Norms are taken leaf by leaf.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        gamma: strength :math:`\gamma \ge 0` of the correction; 0 leaves only the clipping.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Yuan et al., MARS: unleashing the power of variance reduction for training
    large models, 2024, https://arxiv.org/abs/2411.10438.

    >>> import jax.numpy as jnp
    >>> optimizer = MARSLion(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.95
    gamma: NonNegative = 0.025
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ReduceVariance(self.b1, self.gamma),
            ScaleByLion(self.b1, self.b1),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
