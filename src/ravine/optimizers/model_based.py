"""MoMo: gradient descent and Adam that never go beyond where a model of the loss ends."""

from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Real, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.model_based import ScaleByMomo, ScaleByMomoAdam


@rule
class MoMo(Optimizer):
    r"""Momentum with a model of the loss: never beyond where the loss reaches its lower bound.

    .. math::
        m_t &= \beta m_{t-1} + (1-\beta) g_t, \qquad
        \bar f_t = \beta \bar f_{t-1} + (1-\beta) f_t, \\
        \gamma_t &= \beta \gamma_{t-1} + (1-\beta) \langle g_t, \theta_{t-1} \rangle, \\
        \tau_t &= \min\Bigl(\alpha_t,\ \frac{\max\bigl((1 + \alpha_t \lambda)
            (\bar f_t - f_*^t - \gamma_t) + \langle m_t, \theta_{t-1} \rangle,\ 0\bigr)}
            {\|m_t\|^2}\Bigr), \\
        \theta_t &= \theta_{t-1} - \tau_t m_t
            - \frac{\alpha_t \lambda}{1 + \alpha_t \lambda} \theta_{t-1}.

    The update needs the loss :math:`f_t` as the extra argument ``value``.

    Args:
        learning_rate: :math:`\alpha \ge 0`, the largest step size, a number or a schedule.
        beta: decay :math:`\beta` of the means, in [0, 1).
        lower_bound: :math:`f_*`, which the loss cannot go below; 0 for most.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        adapt_lower_bound: estimate :math:`f_*^t`, starting from the lower bound.

    Raises:
        ValueError: if a number lies outside its range; at update, if the parameters or the
            value are not given.
        TypeError: if a field is of the wrong kind.

    Reference: Schaipp et al., MoMo: momentum models for adaptive learning rates, 2023,
    https://arxiv.org/abs/2305.07583.

    >>> import jax, jax.numpy as jnp
    >>> optimizer = MoMo()
    >>> params = jnp.array([3.0, -4.0])
    >>> value, g = jax.value_and_grad(lambda x: jnp.sum(x**2))(params)
    >>> optimizer.update(g, optimizer.init(params), params, value=value)[0]
    Array([-1.5,  2. ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    beta: Decay = 0.9
    lower_bound: Real = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    adapt_lower_bound: Static[bool] = False

    def as_chain(self) -> Chain:
        return chain(
            ScaleByMomo(
                self.learning_rate,
                self.beta,
                self.lower_bound,
                self.weight_decay,
                self.adapt_lower_bound,
            )
        )


@rule
class MoMoAdam(Optimizer):
    r"""Adam with a model of the loss: never beyond where the loss reaches its lower bound.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \quad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \quad
        D_t = \epsilon + \sqrt{v_t / (1-\beta_2^t)}, \\
        \bar f_t &= \beta_1 \bar f_{t-1} + (1-\beta_1) f_t, \quad
        \gamma_t = \beta_1 \gamma_{t-1} + (1-\beta_1) \langle g_t, \theta_{t-1} \rangle, \quad
        c_t = 1-\beta_1^t, \\
        \tau_t &= \min\Bigl(\frac{\alpha_t}{c_t},\ \frac{\max\bigl((1 + \alpha_t \lambda)
            (\bar f_t - c_t f_*^t - \gamma_t) + \langle m_t, \theta_{t-1} \rangle,\ 0\bigr)}
            {\langle m_t, m_t / D_t \rangle}\Bigr), \\
        \theta_t &= \theta_{t-1} - \tau_t \frac{m_t}{D_t}
            - \frac{\alpha_t \lambda}{1 + \alpha_t \lambda} \theta_{t-1}.

    The update needs the loss :math:`f_t` as the extra argument ``value``.

    Args:
        learning_rate: :math:`\alpha \ge 0`, the largest step size, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment and of the model, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`.
        lower_bound: :math:`f_*`, which the loss cannot go below; 0 for most.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        adapt_lower_bound: estimate :math:`f_*^t`, starting from the lower bound.

    Raises:
        ValueError: if a number lies outside its range; at update, if the parameters or the
            value are not given.
        TypeError: if a field is of the wrong kind.

    Reference: Schaipp et al., MoMo: momentum models for adaptive learning rates, 2023,
    https://arxiv.org/abs/2305.07583.

    >>> import jax, jax.numpy as jnp
    >>> optimizer = MoMoAdam(learning_rate=0.1)
    >>> params = jnp.array([3.0, -4.0])
    >>> value, g = jax.value_and_grad(lambda x: jnp.sum(x**2))(params)
    >>> optimizer.update(g, optimizer.init(params), params, value=value)[0]
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1e-2
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    lower_bound: Real = 0.0
    weight_decay: NonNegative | Schedule = 0.0
    adapt_lower_bound: Static[bool] = False

    def as_chain(self) -> Chain:
        return chain(
            ScaleByMomoAdam(
                self.learning_rate,
                self.b1,
                self.b2,
                self.eps,
                self.lower_bound,
                self.weight_decay,
                self.adapt_lower_bound,
            )
        )
