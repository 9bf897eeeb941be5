"""Optimistic methods, for games and saddle points."""

from dataclasses import KW_ONLY

from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Real, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
from ravine.transforms.optimistic import ScaleByOptimisticGradient
from ravine.transforms.scale import ScaleByLearningRate


@rule
class OptimisticGradientDescent(Optimizer):
    r"""Gradient descent that takes the next gradient to change as the last one did.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            (\alpha + \beta)\,g_t - \beta\,g_{t-1} \right), \qquad g_0 = g_1.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        alpha: weight :math:`\alpha` of the gradient, a number or a schedule.
        beta: weight :math:`\beta` of its change, a number or a schedule.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Mokhtari, Ozdaglar and Pattathil, A unified analysis of extra-gradient and
    optimistic gradient methods for saddle point problems, 2019,
    https://arxiv.org/abs/1901.08511.

    >>> import jax.numpy as jnp
    >>> optimizer = OptimisticGradientDescent(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.1,  0.2], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    alpha: Real | Schedule = 1.0
    beta: Real | Schedule = 1.0

    def as_chain(self) -> Chain:
        return chain(
            ScaleByOptimisticGradient(self.alpha, self.beta),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class OptimisticAdam(Optimizer):
    r"""Adam whose direction is extrapolated by its last change.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t \left(
            (\alpha + \beta)\,u_t - \beta\,u_{t-1} \right), \qquad u_0 = u_1,

    where :math:`u_t` is Adam's direction, by default that of ``NAdam``. In games, such as
    adversarial training, it spirals inwards where Adam goes round in circles.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        alpha: weight :math:`\alpha` of the direction, a number or a schedule.
        beta: weight :math:`\beta` of its change, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        eps_root: :math:`\bar\epsilon \ge 0`, inside the root.
        mu_dtype: dtype of the first moment; that of the parameters by default.
        nesterov: use Dozat's first moment, which looks one step ahead.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Daskalakis et al., Training GANs with optimism, 2017,
    https://arxiv.org/abs/1711.00141.

    >>> import jax.numpy as jnp
    >>> optimizer = OptimisticAdam(learning_rate=0.1, nesterov=False)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    _: KW_ONLY
    alpha: Real | Schedule = 1.0
    beta: Real | Schedule = 1.0
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    eps_root: NonNegative = 0.0
    mu_dtype: Static[DType] = None
    nesterov: Static[bool] = True

    def as_chain(self) -> Chain:
        direction = ScaleByAdam(
            self.b1, self.b2, self.eps, self.eps_root, self.mu_dtype, nesterov=self.nesterov
        )
        return chain(
            direction,
            ScaleByOptimisticGradient(self.alpha, self.beta),
            ScaleByLearningRate(self.learning_rate),
        )
