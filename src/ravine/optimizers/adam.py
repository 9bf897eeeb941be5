"""Adam and its kin."""

from dataclasses import KW_ONLY

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.scale import ScaleByLearningRate


@rule
class Adam(Optimizer):
    r"""Adam: each coordinate's step is its mean gradient over its root mean square gradient.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \\
        \theta_t &= \theta_{t-1} - \eta_t\,\hat m_t / (\sqrt{\hat v_t + \bar\epsilon} + \epsilon), &
        \hat m_t &= m_t / (1-\beta_1^t), \quad \hat v_t = v_t / (1-\beta_2^t).

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        nesterov: use Dozat's first moment, which looks one step ahead.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization, 2014,
    https://arxiv.org/abs/1412.6980.

    >>> import jax.numpy as jnp
    >>> optimizer = Adam(learning_rate=0.1)
    >>> optimizer
    Adam(learning_rate=0.1, b1=0.9, b2=0.999, eps=1e-08)
    >>> params = jnp.array([1.0, -2.0])
    >>> state = optimizer.init(params)
    >>> updates, state = optimizer.update(params, state, params)
    >>> updates.round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = False

    def as_chain(self) -> Chain:
        return chain(_scale_by_adam(self), ScaleByLearningRate(self.learning_rate))


@rule
class NAdam(Optimizer):
    r"""Adam with Nesterov momentum, in Dozat's simple form.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t\,
            \frac{\beta_1 \frac{m_t}{1-\beta_1^{t+1}} + (1-\beta_1) \frac{g_t}{1-\beta_1^t}}
                 {\sqrt{\hat v_t + \bar\epsilon} + \epsilon},

    with the moments and the arguments of ``Adam``; it is ``Adam(..., nesterov=True)``. The
    schedule of :math:`\beta_1` that the paper and PyTorch add is left out.

    Reference: Dozat, Incorporating Nesterov momentum into Adam, 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.

    >>> NAdam(0.1).as_chain() == Adam(0.1, nesterov=True).as_chain()
    True
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = True

    def as_chain(self) -> Chain:
        return chain(_scale_by_adam(self), ScaleByLearningRate(self.learning_rate))


@rule
class AdamW(Optimizer):
    r"""Adam with decoupled weight decay: the decay bypasses the moments.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            \frac{\hat m_t}{\sqrt{\hat v_t + \bar\epsilon} + \epsilon}
            + \lambda\,\theta_{t-1} \right),

    with the moments of ``Adam``. The decay per step is :math:`\eta_t \lambda`.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs
            (``"*kernel"``), a function from the parameters to a tree of bools, or such a
            tree; all by default.
        nesterov: use Dozat's first moment, as ``NAdam`` does.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Loshchilov and Hutter, Decoupled weight decay regularization, 2017,
    https://arxiv.org/abs/1711.05101.

    >>> import jax.numpy as jnp
    >>> optimizer = AdamW(learning_rate=0.1, weight_decay=0.01, weight_decay_mask="*kernel")
    >>> params = {"bias": jnp.ones(1), "kernel": jnp.ones(2)}
    >>> zeros = {"bias": jnp.zeros(1), "kernel": jnp.zeros(2)}
    >>> updates, state = optimizer.update(zeros, optimizer.init(params), params)
    >>> updates["kernel"]
    Array([-0.001, -0.001], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    weight_decay: NonNegative | Schedule = 1e-4
    weight_decay_mask: Static[Mask] = None
    _: KW_ONLY
    nesterov: Static[bool] = False

    def as_chain(self) -> Chain:
        return chain(
            _scale_by_adam(self),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class NAdamW(Optimizer):
    r"""NAdam with decoupled weight decay.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            \frac{\beta_1 \frac{m_t}{1-\beta_1^{t+1}} + (1-\beta_1) \frac{g_t}{1-\beta_1^t}}
                 {\sqrt{\hat v_t + \bar\epsilon} + \epsilon} + \lambda\,\theta_{t-1} \right),

    with the moments of ``Adam``; it is ``AdamW(..., nesterov=True)``.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.
        nesterov: use Dozat's first moment; without it this is ``AdamW``.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Dozat, Incorporating Nesterov momentum into Adam, 2016,
    https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ; Loshchilov and Hutter, Decoupled
    weight decay regularization, 2017, https://arxiv.org/abs/1711.05101.

    >>> NAdamW(0.1).as_chain() == AdamW(0.1, nesterov=True).as_chain()
    True
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    weight_decay: NonNegative | Schedule = 1e-4
    weight_decay_mask: Static[Mask] = None
    _: KW_ONLY
    nesterov: Static[bool] = True

    def as_chain(self) -> Chain:
        return chain(
            _scale_by_adam(self),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


def _scale_by_adam(o: Adam | NAdam | AdamW | NAdamW) -> ScaleByAdam:
    """The direction that these optimizers share."""
    return ScaleByAdam(o.b1, o.b2, o.eps, o.eps_root, o.mu_dtype, nesterov=o.nesterov)
