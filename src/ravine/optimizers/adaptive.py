"""Optimizers that scale each coordinate by the size of its gradients: Adagrad and its heirs."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Positive, Schedule, Static, Transform
from ravine.optimizers.base import Optimizer
from ravine.transforms.adagrad import ScaleByAdadelta, ScaleByRss
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.momentum import Trace
from ravine.transforms.rms import ScaleByRms, ScaleByStddev
from ravine.transforms.scale import ScaleByLearningRate


@rule
class Adagrad(Optimizer):
    r"""Adagrad: each coordinate's step shrinks with all the squares that it has seen.

    .. math::
        s_t = s_{t-1} + |g_t|^2, \qquad
        \theta_t = \theta_{t-1} - \eta_t\, g_t / \sqrt{s_t + \epsilon}.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        initial_accumulator_value: :math:`s_0 \ge 0`.
        eps: :math:`\epsilon \ge 0`, inside the root.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning
    and stochastic optimization, 2011, https://jmlr.org/papers/v12/duchi11a.html.

    >>> import jax.numpy as jnp
    >>> optimizer = Adagrad(learning_rate=0.5, initial_accumulator_value=0.0, eps=0.0)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    initial_accumulator_value: NonNegative = 0.1
    eps: NonNegative = 1e-7

    def as_chain(self) -> Chain:
        return chain(
            ScaleByRss(self.initial_accumulator_value, self.eps),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class Adadelta(Optimizer):
    r"""Adadelta: steps on the scale of the steps before them, without a rate to choose.

    .. math::
        e_t &= \rho e_{t-1} + (1-\rho) |g_t|^2, &
        u_t &= \frac{\sqrt{x_{t-1} + \epsilon}}{\sqrt{e_t + \epsilon}}\, g_t, \\
        x_t &= \rho x_{t-1} + (1-\rho) |u_t|^2, &
        \theta_t &= \theta_{t-1} - \eta_t u_t,

    where :math:`g_t` is the gradient plus :math:`\lambda \theta_{t-1}`. The paper has no
    :math:`\eta`, which is a learning rate of 1, the default here as in PyTorch. Optax's
    default, ``None``, leaves out the factor together with its minus, and so climbs.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        rho: decay :math:`\rho` of both means of squares, in [0, 1).
        eps: :math:`\epsilon > 0`, in both roots; it sets the size of the first steps.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule; it enters the means.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Zeiler, Adadelta: an adaptive learning rate method, 2012,
    https://arxiv.org/abs/1212.5701.

    >>> import jax.numpy as jnp
    >>> optimizer = Adadelta(rho=0.75, eps=1.0)
    >>> params = jnp.array([2.0, 0.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-1.4142, -0.    ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    rho: Decay = 0.9
    eps: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByAdadelta(self.rho, self.eps),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class RMSProp(Optimizer):
    r"""RMSProp: gradients over their running root mean square.

    .. math::
        v_t = \beta v_{t-1} + (1-\beta) |g_t|^2, \qquad
        \theta_t = \theta_{t-1} - \eta_t\, g_t / \sqrt{v_t + \epsilon}.

    ``centered`` divides by the standard deviation :math:`\sqrt{v_t - |\bar g_t|^2 + \epsilon}`
    instead, with :math:`\bar g` the running mean of gradients. A momentum sums the steps
    after the learning rate, so that a schedule does not act on the steps before it.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        decay: :math:`\beta` in [0, 1).
        eps: :math:`\epsilon \ge 0`.
        initial_scale: :math:`v_0 \ge 0`.
        eps_in_sqrt: whether :math:`\epsilon` stands inside the root; PyTorch has it outside.
        centered: divide by the standard deviation.
        momentum: decay of the sum of steps, in [0, 1); ``None`` for none.
        nesterov: look one step ahead; it needs a momentum.
        bias_correction: divide the running means by :math:`1-\beta^t`.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Hinton, Neural networks for machine learning, lecture 6, 2012; Graves,
    Generating sequences with recurrent neural networks, 2013, https://arxiv.org/abs/1308.0850.

    >>> import jax.numpy as jnp
    >>> optimizer = RMSProp(learning_rate=0.5, decay=0.75)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-1.,  1.], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    decay: Decay = 0.9
    eps: NonNegative = 1e-8
    initial_scale: NonNegative = 0.0
    eps_in_sqrt: Static[bool] = True
    centered: Static[bool] = False
    momentum: Decay | None = None
    nesterov: Static[bool] = False
    bias_correction: Static[bool] = False

    def as_chain(self) -> Chain:
        normalize = ScaleByStddev if self.centered else ScaleByRms
        parts: list[Transform] = [
            normalize(
                self.decay, self.eps, self.initial_scale, self.eps_in_sqrt, self.bias_correction
            ),
            ScaleByLearningRate(self.learning_rate),
        ]
        if self.momentum is not None:
            parts.append(Trace(self.momentum, self.nesterov))
        return chain(*parts)
