"""Gradient descent, with and without momentum and noise."""

from dataclasses import KW_ONLY

from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Seed, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.momentum import Trace
from ravine.transforms.noise import AddNoise, one_key
from ravine.transforms.scale import ScaleByLearningRate


@rule
class SGD(Optimizer):
    r"""Gradient descent, stochastic or not, with momentum if wanted.

    .. math::
        m_t = g_t + \mu m_{t-1}, \qquad
        \theta_t = \theta_{t-1} - \eta_t m_t, \quad\text{or, with Nesterov,}\quad
        \theta_t = \theta_{t-1} - \eta_t (g_t + \mu m_t).

    ``SGD(learning_rate)`` is plain gradient descent: it is stochastic if the gradients are.
    Without momentum there is no :math:`m` in the state.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: :math:`\mu` in [0, 1); ``None`` for none.
        nesterov: look one step ahead; it needs a momentum.
        accumulator_dtype: dtype of :math:`m`; that of the parameters by default.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Robbins and Monro, A stochastic approximation method, 1951; Polyak, Some
    methods of speeding up the convergence of iteration methods, 1964; Sutskever et al.,
    2013, https://proceedings.mlr.press/v28/sutskever13.html.

    >>> import jax.numpy as jnp
    >>> optimizer = SGD(learning_rate=0.5, momentum=0.5)
    >>> optimizer
    SGD(learning_rate=0.5, momentum=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    >>> updates
    Array([-0.75,  1.5 ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    momentum: Decay | None = None
    nesterov: Static[bool] = False
    accumulator_dtype: Static[DType] = None

    def as_chain(self) -> Chain:
        step = ScaleByLearningRate(self.learning_rate)
        if self.momentum is None:
            return chain(step)
        return chain(Trace(self.momentum, self.nesterov, self.accumulator_dtype), step)


@rule
class NoisySGD(Optimizer):
    r"""Gradient descent with Gaussian noise that fades with time.

    .. math::
        \theta_t = \theta_{t-1} - \eta_t (g_t + \sigma_t z_t), \qquad
        \sigma_t^2 = \eta / t^\gamma, \quad z_t \sim N(0, 1),

    where :math:`\eta_t` is the learning rate and :math:`\eta` the noise's first variance.

    Args:
        learning_rate: at least 0, a number or a schedule.
        eta: variance :math:`\eta \ge 0` of the first noise.
        gamma: exponent :math:`\gamma \ge 0` by which it fades.
        key: an integer seed or a JAX random key; 0 by default. An extra argument ``key``
            at update takes its place for that step, which a sweep passes for each lane.
        seed: another name for ``key``.

    Raises:
        ValueError: if a number lies outside its range, or both key and seed are given.
        TypeError: if a field is of the wrong kind.

    Reference: Neelakantan et al., Adding gradient noise improves learning for very deep
    networks, 2015, https://arxiv.org/abs/1511.06807.

    >>> import jax.numpy as jnp
    >>> optimizer = NoisySGD(learning_rate=0.5, eta=0.0, key=7)
    >>> optimizer
    NoisySGD(learning_rate=0.5, eta=0.0, gamma=0.55, key=7)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.5,  1. ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    eta: NonNegative = 0.01
    gamma: NonNegative = 0.55
    key: Seed | None = None
    _: KW_ONLY
    seed: Seed | None = None

    def __post_init__(self) -> None:
        one_key(self)

    def as_chain(self) -> Chain:
        return chain(
            AddNoise(self.eta, self.gamma, self.key),
            ScaleByLearningRate(self.learning_rate),
        )
