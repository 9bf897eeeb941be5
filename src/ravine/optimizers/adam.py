"""Adam and its kin."""

from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
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
    >>> updates
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    nesterov: Static[bool] = False

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdam(self.b1, self.b2, self.eps, self.eps_root, self.mu_dtype, self.nesterov),
            ScaleByLearningRate(self.learning_rate),
        )
