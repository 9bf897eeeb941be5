"""AdEMAMix: Adam with a memory of very old gradients."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.ademamix import ScaleByAdemamix, ScaleBySimplifiedAdemamix
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.scale import ScaleByLearningRate


@rule
class AdEMAMix(Optimizer):
    r"""AdamW with a second, slow mean of gradients beside the first.

    .. math::
        m_1 &\leftarrow \beta_1 m_1 + (1-\beta_1) g_t, &
        m_2 &\leftarrow \beta_3 m_2 + (1-\beta_3) g_t, \\
        v &\leftarrow \beta_2 v + (1-\beta_2) |g_t|^2, &
        \theta_t &= \theta_{t-1} - \eta_t \left( \frac{m_1 / (1-\beta_1^t) + \alpha\,m_2}
            {\sqrt{v / (1-\beta_2^t) + \bar\epsilon} + \epsilon} + \lambda\,\theta_{t-1} \right).

    The authors let both numbers of the slow mean grow over the first T steps, without which
    large ones may diverge: ``b3=schedules.HalfLifeWarmup(0.9, 0.9999, T)`` and
    ``alpha=schedules.Linear(0.0, 5.0, T)``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the fast mean, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        b3: decay :math:`\beta_3` of the slow mean, in [0, 1), a number or a schedule.
        alpha: weight :math:`\alpha \ge 0` of the slow mean, a number or a schedule.
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of both means; by default that of the parameters for the fast one, and
            float32 or finer for the slow one.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Pagliardini, Ablin and Grangier, The AdEMAMix optimizer: better, faster,
    older, 2024, https://arxiv.org/abs/2409.03137.

    >>> import jax.numpy as jnp
    >>> optimizer = AdEMAMix(learning_rate=0.1, b3=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.35,  0.35], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    b3: Decay | Schedule = 0.9999
    alpha: NonNegative | Schedule = 5.0
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        direction = ScaleByAdemamix(
            self.b1, self.b2, self.b3, self.alpha, self.eps, self.eps_root, self.mu_dtype
        )
        return chain(
            direction,
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class SimplifiedAdEMAMix(Optimizer):
    r"""AdEMAMix with one slow sum, and the last gradient in place of the fast mean.

    .. math::
        m_t &= \beta_1 m_{t-1} + g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \\
        \theta_t &= \theta_{t-1} - \eta_t \left( \frac{m_t + \alpha\,g_t}
            {\sqrt{v_t / (1-\beta_2^t) + \bar\epsilon} + \epsilon} + \lambda\,\theta_{t-1} \right).

    :math:`m` is a sum, not a mean: take a learning rate about :math:`1-\beta_1` times Adam's.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the sum, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        alpha: weight :math:`\alpha \ge 0` of the last gradient, a number or a schedule.
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Morwani et al., Connections between Schedule-Free optimizers, AdEMAMix, and
    accelerated SGD variants, 2025, https://arxiv.org/abs/2502.02431.

    >>> import jax.numpy as jnp
    >>> optimizer = SimplifiedAdEMAMix(learning_rate=0.01, alpha=2.0)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.03,  0.03], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.99
    b2: Decay = 0.95
    alpha: NonNegative | Schedule = 0.0
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleBySimplifiedAdemamix(self.b1, self.b2, self.alpha, self.eps, self.eps_root),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
