"""Adam with a maximum: of its second moments, or in their place."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdamax, ScaleByAmsgrad
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.scale import ScaleByLearningRate


@rule
class AMSGrad(Optimizer):
    r"""Adam divided by the largest second moment so far, so that no step grows again.

    .. math::
        \tilde v_t = \max(\tilde v_{t-1}, \hat v_t), \qquad
        \theta_t = \theta_{t-1}
            - \eta_t\,\hat m_t / (\sqrt{\tilde v_t + \bar\epsilon} + \epsilon),

    with the moments of ``Adam``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        bias_correction_mu: divide the first moment by :math:`1-\beta_1^t`.
        bias_correction_nu: divide the second moment by :math:`1-\beta_2^t`; the paper
            corrects neither.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Reddi, Kale and Kumar, On the convergence of Adam and beyond, 2018,
    https://arxiv.org/abs/1904.09237.

    >>> import jax.numpy as jnp
    >>> optimizer = AMSGrad(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    bias_correction_mu: Static[bool] = True
    bias_correction_nu: Static[bool] = True

    def as_chain(self) -> Chain:
        direction = ScaleByAmsgrad(
            self.b1,
            self.b2,
            self.eps,
            self.eps_root,
            self.mu_dtype,
            self.bias_correction_mu,
            self.bias_correction_nu,
        )
        return chain(direction, ScaleByLearningRate(self.learning_rate))


@rule
class Adamax(Optimizer):
    r"""Adam with a decayed maximum of magnitudes in place of the root mean square.

    .. math::
        m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \quad
        v_t = \max(\beta_2 v_{t-1}, |g_t| + \epsilon), \quad
        \theta_t = \theta_{t-1} - \eta_t \frac{m_t}{(1-\beta_1^t)\, v_t}.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the maximum, in [0, 1).
        eps: :math:`\epsilon \ge 0`, added to every magnitude.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Kingma and Ba, Adam, 2014, section 7, https://arxiv.org/abs/1412.6980.

    >>> import jax.numpy as jnp
    >>> optimizer = Adamax(learning_rate=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdamax(self.b1, self.b2, self.eps), ScaleByLearningRate(self.learning_rate)
        )


@rule
class AdamaxW(Optimizer):
    r"""Adamax with decoupled weight decay.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            \frac{m_t}{(1-\beta_1^t)\, v_t} + \lambda\,\theta_{t-1} \right),

    with the moments of ``Adamax``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the maximum, in [0, 1).
        eps: :math:`\epsilon \ge 0`, added to every magnitude.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Kingma and Ba, Adam, 2014, section 7, https://arxiv.org/abs/1412.6980;
    Loshchilov and Hutter, Decoupled weight decay regularization, 2017,
    https://arxiv.org/abs/1711.05101.

    >>> import jax.numpy as jnp
    >>> optimizer = AdamaxW(learning_rate=0.5, weight_decay=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.75,  1.  ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 1e-4
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdamax(self.b1, self.b2, self.eps),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
