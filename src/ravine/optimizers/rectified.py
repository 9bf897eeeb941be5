"""RAdam and NovoGrad: adaptive methods that need no warm-up."""

from dataclasses import KW_ONLY

from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.novograd import ScaleByNovograd
from ravine.transforms.rectified import ScaleByRadam
from ravine.transforms.scale import ScaleByLearningRate


@rule
class RAdam(Optimizer):
    r"""Rectified Adam: momentum at first, Adam once its second moment is worth something.

    .. math::
        \theta_t &= \theta_{t-1} - \eta_t \begin{cases}
            r_t\,\hat m_t / (\sqrt{\hat v_t + \bar\epsilon} + \epsilon) & \rho_t \ge \tau, \\
            \hat m_t & \rho_t < \tau,
        \end{cases} \\
        \rho_t &= \rho_\infty - \frac{2 t \beta_2^t}{1-\beta_2^t}, \quad
        \rho_\infty = \frac{2}{1-\beta_2} - 1, \quad
        r_t = \sqrt{\frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}},

    with the moments of ``Adam``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        threshold: :math:`\tau \ge 0`, from which on the second moment is used; at least 4,
            where the factor begins.
        nesterov: use Dozat's first moment, which looks one step ahead.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Liu et al., On the variance of the adaptive learning rate and beyond, 2019,
    https://arxiv.org/abs/1908.03265.

    >>> import jax.numpy as jnp
    >>> optimizer = RAdam(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.2], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    threshold: NonNegative = 5.0
    _: KW_ONLY
    nesterov: Static[bool] = False

    def as_chain(self) -> Chain:
        direction = ScaleByRadam(
            self.b1, self.b2, self.eps, self.eps_root, self.threshold, nesterov=self.nesterov
        )
        return chain(direction, ScaleByLearningRate(self.learning_rate))


@rule
class NovoGrad(Optimizer):
    r"""Momentum of gradients that are normalized leaf by leaf, with weight decay inside.

    .. math::
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) \lVert g_t \rVert^2, \quad
            v_1 = \lVert g_1 \rVert^2, \\
        m_t &= \beta_1 m_{t-1} + \frac{g_t}{\sqrt{v_t + \bar\epsilon} + \epsilon}
            + \lambda_t\,\theta_{t-1}, \qquad
        \theta_t = \theta_{t-1} - \eta_t m_t.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the sum of directions, in [0, 1).
        b2: decay :math:`\beta_2` of the squared norm, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Ginsburg et al., Stochastic gradient methods with layer-wise adaptive moments
    for training of deep networks, 2019, https://arxiv.org/abs/1905.11286.

    >>> import jax.numpy as jnp
    >>> optimizer = NovoGrad(learning_rate=0.1)
    >>> params = jnp.array([3.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.06,  0.08], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.25
    eps: NonNegative = 1e-6
    eps_root: NonNegative = 0.0
    weight_decay: NonNegative | Schedule = 0.0

    def as_chain(self) -> Chain:
        direction = ScaleByNovograd(self.b1, self.b2, self.eps, self.eps_root, self.weight_decay)
        return chain(direction, ScaleByLearningRate(self.learning_rate))
