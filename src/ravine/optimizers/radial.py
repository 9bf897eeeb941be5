"""Momentum methods that do not make scale-invariant weights longer."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, Fraction, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
from ravine.transforms.momentum import Trace
from ravine.transforms.radial import RemoveRadial
from ravine.transforms.scale import ScaleByLearningRate


@rule
class AdamP(Optimizer):
    r"""AdamW that takes out of its steps what would only make scale-invariant weights longer.

    .. math::
        u_t &= \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}, \qquad
        u_t \leftarrow u_t - \frac{\langle \theta, u_t \rangle}{\lVert \theta \rVert^2}\,\theta
        \quad\text{if}\quad \max |\cos(\theta, g_t)| < \delta / \sqrt n, \\
        \theta_t &= \theta_{t-1} - \eta_t (u_t + \lambda \rho\,\theta_{t-1}),

    with the moments of ``Adam``. Leaves of two axes or more are looked at by channel, of
    :math:`n` numbers each, and then as a whole. :math:`\rho = 1` where nothing is taken out.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.
        delta: :math:`\delta \ge 0`, how close to orthogonal is orthogonal.
        wd_ratio: :math:`\rho` in [0, 1], what is left of the decay of scale-invariant leaves.
        nesterov: use Dozat's first moment, which looks one step ahead; the authors' own form
            differs from it in the first steps.
        channel_axis: the axis along which the channels lie: the last, or 0 in PyTorch.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Heo et al., AdamP: slowing down the slowdown for momentum optimizers on
    scale-invariant weights, 2020, https://arxiv.org/abs/2006.08217.

    >>> import jax.numpy as jnp
    >>> optimizer = AdamP(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    delta: NonNegative = 0.1
    wd_ratio: Fraction = 0.1
    nesterov: Static[bool] = False
    channel_axis: Static[int] = -1

    def as_chain(self) -> Chain:
        direction = RemoveRadial(
            ScaleByAdam(self.b1, self.b2, self.eps, nesterov=self.nesterov),
            self.delta,
            self.wd_ratio,
            self.weight_decay,
            self.weight_decay_mask,
            self.channel_axis,
            self.eps,
        )
        return chain(direction, ScaleByLearningRate(self.learning_rate))


@rule
class SGDP(Optimizer):
    r"""Gradient descent with momentum that does not make scale-invariant weights longer.

    .. math::
        u_t &= g_t + \mu u_{t-1}, \qquad
        u_t \leftarrow u_t - \frac{\langle \theta, u_t \rangle}{\lVert \theta \rVert^2}\,\theta
        \quad\text{if}\quad \max |\cos(\theta, g_t)| < \delta / \sqrt n, \\
        \theta_t &= \theta_{t-1} - \eta_t (u_t + \lambda \rho\,\theta_{t-1}),

    as in ``AdamP``; what is taken out stays in the momentum. The authors' decay is
    :math:`\lambda / (1-\mu)`.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: :math:`\mu` in [0, 1].
        nesterov: look one step ahead.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.
        delta: :math:`\delta \ge 0`, how close to orthogonal is orthogonal.
        wd_ratio: :math:`\rho` in [0, 1], what is left of the decay of scale-invariant leaves.
        channel_axis: the axis along which the channels lie: the last, or 0 in PyTorch.
        eps: at least 0, added to norms.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Heo et al., AdamP: slowing down the slowdown for momentum optimizers on
    scale-invariant weights, 2020, https://arxiv.org/abs/2006.08217.

    >>> import jax.numpy as jnp
    >>> optimizer = SGDP(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.1,  0.2], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    momentum: Fraction = 0.0
    nesterov: Static[bool] = False
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    delta: NonNegative = 0.1
    wd_ratio: Fraction = 0.1
    channel_axis: Static[int] = -1
    eps: NonNegative = 1e-8

    def as_chain(self) -> Chain:
        direction = RemoveRadial(
            Trace(self.momentum, self.nesterov),
            self.delta,
            self.wd_ratio,
            self.weight_decay,
            self.weight_decay_mask,
            self.channel_axis,
            self.eps,
        )
        return chain(direction, ScaleByLearningRate(self.learning_rate))
