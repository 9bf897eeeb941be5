"""Steps of one length, or of a length of each parameter's own: only signs count."""

from ravine.core.rule import rule
from ravine.core.types import Decay, DType, Fraction, NonNegative, Positive, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.momentum import Ema
from ravine.transforms.rprop import ScaleByRprop
from ravine.transforms.scale import Scale, ScaleByLearningRate
from ravine.transforms.sign import ScaleBySign


@rule
class SignSGD(Optimizer):
    r"""Gradient descent by the signs of the gradient alone.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \operatorname{sign}(g_t).

    Every step has the same length, so that only a falling learning rate converges.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Bernstein et al., signSGD: compressed optimisation for non-convex problems,
    2018, https://arxiv.org/abs/1802.04434.

    >>> import jax.numpy as jnp
    >>> optimizer = SignSGD(learning_rate=0.5)
    >>> params = jnp.array([1.0, -20.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule

    def as_chain(self) -> Chain:
        return chain(ScaleBySign(), ScaleByLearningRate(self.learning_rate))


@rule
class Signum(Optimizer):
    r"""Gradient descent by the signs of the mean gradient.

    .. math::
        m_t = \beta m_{t-1} + (1-\beta) g_t, \qquad
        \theta_t = \theta_{t-1} - \eta_t \operatorname{sign}(m_t).

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        beta: decay :math:`\beta` of the mean, in [0, 1).
        accumulator_dtype: dtype of :math:`m`; that of the parameters by default.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Bernstein et al., signSGD: compressed optimisation for non-convex problems,
    2018, https://arxiv.org/abs/1802.04434; Zhao et al., Deconstructing what makes a good
    optimizer for language models, 2024, https://arxiv.org/abs/2407.07972.

    >>> import jax.numpy as jnp
    >>> optimizer = Signum(learning_rate=0.5, beta=0.75)
    >>> params, state = jnp.zeros(1), optimizer.init(jnp.zeros(1))
    >>> for g in (8.0, -1.0):
    ...     updates, state = optimizer.update(jnp.full(1, g), state, params)
    >>> updates
    Array([-0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    beta: Decay = 0.9
    accumulator_dtype: Static[DType] = None

    def as_chain(self) -> Chain:
        return chain(
            Ema(self.beta, debias=False, accumulator_dtype=self.accumulator_dtype),
            ScaleBySign(),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class Rprop(Optimizer):
    r"""Rprop: a step size for every parameter, which grows while its gradient keeps its sign.

    .. math::
        s_t &= \operatorname{sign}(g_t), \qquad
        \eta_t = \operatorname{clip}(c_t\, \eta_{t-1}, \eta_{\min}, \eta_{\max}), \qquad
        \theta_t = \theta_{t-1} - \eta_t s_t, \\
        c_t &= \eta_+ \text{ if } s_t s_{t-1} > 0, \quad
        \eta_- \text{ if } s_t s_{t-1} < 0, \quad 1 \text{ otherwise}.

    Where the sign has turned, the parameter rests for a step. It is for gradients of the
    whole data: noise turns signs, and shrinks every step. As in PyTorch, each gradient moves the
    parameters at once, while Optax's steps are a gradient late.

    Args:
        learning_rate: the first step size :math:`\eta_0 \ge 0`.
        eta_minus: factor :math:`\eta_-` in [0, 1] after the sign has turned.
        eta_plus: factor :math:`\eta_+ > 0` while it stays, at least 1.
        min_step_size: the smallest step size :math:`\eta_{\min} \ge 0`.
        max_step_size: the largest step size :math:`\eta_{\max} \ge 0`.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Riedmiller and Braun, A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm, 1993, https://doi.org/10.1109/ICNN.1993.298623.

    >>> import jax.numpy as jnp
    >>> optimizer = Rprop(learning_rate=0.5)
    >>> params = jnp.array([1.0, -20.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    >>> updates
    Array([-0.6,  0.6], dtype=float32)
    """

    learning_rate: NonNegative
    eta_minus: Fraction = 0.5
    eta_plus: Positive = 1.2
    min_step_size: NonNegative = 1e-6
    max_step_size: NonNegative = 50.0

    def as_chain(self) -> Chain:
        step = ScaleByRprop(
            self.learning_rate,
            self.eta_minus,
            self.eta_plus,
            self.min_step_size,
            self.max_step_size,
        )
        return chain(step, Scale(-1.0))
