"""Adan and Yogi: second moments of another make."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adan import ScaleByAdan
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.yogi import ScaleByYogi


@rule
class Adan(Optimizer):
    r"""Adaptive Nesterov momentum: means of gradients, of their differences, and of a square.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) (g_t - g_{t-1}), \\
        n_t &= \beta_3 n_{t-1} + (1-\beta_3) |g_t + (1-\beta_2) (g_t - g_{t-1})|^2, \\
        \theta_t &= \theta_{t-1} - \eta_t \left(
            \frac{\hat m_t + (1-\beta_2) \hat v_t}{\sqrt{\hat n_t + \bar\epsilon} + \epsilon}
            + \lambda\,\theta_{t-1} \right),

    each moment divided by :math:`1-\beta^t`. These :math:`\beta` are Adam's, one minus those
    of the paper.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the mean of gradients, in [0, 1).
        b2: decay :math:`\beta_2` of the mean of differences, in [0, 1).
        b3: decay :math:`\beta_3` of the mean of squares, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Xie et al., Adan: adaptive Nesterov momentum algorithm for faster optimizing
    deep models, 2022, https://arxiv.org/abs/2208.06677.

    >>> import jax.numpy as jnp
    >>> optimizer = Adan(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.98
    b2: Decay = 0.92
    b3: Decay = 0.99
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdan(self.b1, self.b2, self.b3, self.eps, self.eps_root),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class Yogi(Optimizer):
    r"""Adam whose second moment moves by additions, so that no step grows suddenly.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        v_t = v_{t-1} - (1-\beta_2)\, \mathrm{sign}(v_{t-1} - |g_t|^2)\, |g_t|^2, \\
        \theta_t &= \theta_{t-1} - \eta_t\,\hat m_t / (\sqrt{\hat v_t} + \epsilon).

    Both moments start from :math:`10^{-6}`.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Zaheer et al., Adaptive methods for nonconvex optimization, 2018,
    https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization.

    >>> import jax.numpy as jnp
    >>> optimizer = Yogi(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(3)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-3

    def as_chain(self) -> Chain:
        return chain(
            ScaleByYogi(self.b1, self.b2, self.eps), ScaleByLearningRate(self.learning_rate)
        )
