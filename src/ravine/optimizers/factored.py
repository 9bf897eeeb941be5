"""Adaptive methods whose state is smaller than the parameters: rows and columns, not elements."""

import jax.numpy as jnp

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static, Steps, Transform
from ravine.optimizers.base import Optimizer
from ravine.transforms.came import ScaleByCame
from ravine.transforms.chain import Chain, chain
from ravine.transforms.clip import ClipByBlockRms
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.factored import ScaleByFactoredRms
from ravine.transforms.momentum import Ema
from ravine.transforms.scale import Scale, ScaleByLearningRate
from ravine.transforms.sm3 import ScaleBySm3
from ravine.transforms.trust_ratio import ScaleByParamBlockRms


@rule
class SM3(Optimizer):
    r"""SM3: Adagrad with a sum for every row and column instead of every element.

    .. math::
        s_t(i) &= \min_r S^r_{t-1}(i_r) + |g_t(i)|^2, \qquad
        S^r_t(j) = \max_{i:\, i_r = j} s_t(i), \\
        m_t &= \beta m_{t-1} + (1-\beta)\, g_t / \sqrt{s_t + 10^{-8}}, \qquad
        \theta_t = \theta_{t-1} - \eta_t m_t,

    where :math:`i_r` is the place of element :math:`i` along axis :math:`r`.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: decay :math:`\beta` of the momentum, in [0, 1).

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Anil et al., Memory-efficient adaptive optimization, 2019,
    https://arxiv.org/abs/1901.11150.

    >>> import jax.numpy as jnp
    >>> optimizer = SM3(learning_rate=0.5, momentum=0.0)
    >>> params = jnp.array([[2.0, -4.0], [0.0, 1.0]])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([[-0.5,  0.5], [-0. , -0.5]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    momentum: Decay = 0.9

    def as_chain(self) -> Chain:
        return chain(ScaleBySm3(self.momentum), ScaleByLearningRate(self.learning_rate))


@rule
class Adafactor(Optimizer):
    r"""Adafactor: Adam without momentum, with a second moment of rank one.

    .. math::
        U_t &= G_t / \sqrt{R_t C_t^\top / \mathrm{mean}(R_t)}, &
        \hat U_t &= U_t / \max(1, \mathrm{rms}(U_t) / d), \\
        \theta_t &= \theta_{t-1} - \eta_t \max(\mathrm{rms}(\theta_{t-1}), 10^{-3})\, \hat U_t
        - \lambda_t \theta_{t-1},

    with :math:`R` and :math:`C` the moving averages of the rows and of the columns of
    :math:`|G|^2 + \epsilon`, as ``ScaleByFactoredRms`` says. The weight decay is not multiplied
    by the learning rate.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule, relative to the parameters'
            size; ``None`` for 1.
        min_dim_size_to_factor: the smallest size of an axis that is factored.
        decay_rate: the averages' decay is :math:`1 - t^{-\rho}`, with this :math:`\rho \ge 0`.
        decay_offset: number of steps that do not count towards :math:`t`, at least 0.
        multiply_by_parameter_scale: whether steps are relative to the parameters' size.
        clipping_threshold: :math:`d \ge 0`; ``None`` for no clipping.
        momentum: decay of a mean of the steps, in [0, 1); ``None`` for none.
        dtype_momentum: dtype of that mean; ``None`` for that of the parameters.
        weight_decay_rate: :math:`\lambda \ge 0`, a number or a schedule; ``None`` for none.
        eps: :math:`\epsilon \ge 0`, added to every square.
        factored: whether to factor at all.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Shazeer and Stern, Adafactor: adaptive learning rates with sublinear memory
    cost, 2018, https://arxiv.org/abs/1804.04235.

    >>> import jax.numpy as jnp
    >>> optimizer = Adafactor(learning_rate=0.5)
    >>> params = jnp.array([4.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-2.,  2.], dtype=float32)
    """

    learning_rate: NonNegative | Schedule | None = None
    min_dim_size_to_factor: Static[int] = 128
    decay_rate: NonNegative = 0.8
    decay_offset: Steps = 0
    multiply_by_parameter_scale: Static[bool] = True
    clipping_threshold: NonNegative | None = 1.0
    momentum: Decay | None = None
    dtype_momentum: Static[DType] = jnp.float32
    weight_decay_rate: NonNegative | Schedule | None = None
    eps: NonNegative = 1e-30
    factored: Static[bool] = True
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        parts: list[Transform] = [
            ScaleByFactoredRms(
                self.factored,
                self.decay_rate,
                self.decay_offset,
                self.min_dim_size_to_factor,
                self.eps,
            )
        ]
        if self.clipping_threshold is not None:
            parts.append(ClipByBlockRms(self.clipping_threshold))
        if self.learning_rate is not None:
            parts.append(ScaleByLearningRate(self.learning_rate, flip_sign=False))
        if self.multiply_by_parameter_scale:
            parts.append(ScaleByParamBlockRms())
        if self.momentum is not None:
            parts.append(Ema(self.momentum, debias=False, accumulator_dtype=self.dtype_momentum))
        if self.weight_decay_rate is not None:
            parts.append(AddDecayedWeights(self.weight_decay_rate, self.weight_decay_mask))
        return chain(*parts, Scale(-1.0))


@rule
class CAME(Optimizer):
    r"""CAME: Adafactor with momentum, whose steps are short where they scatter about their mean.

    .. math::
        U_t &= G_t / \sqrt{V_t}, \qquad
        \hat U_t = U_t / \max(1, \mathrm{rms}(U_t) / d), \qquad
        M_t = \beta_1 M_{t-1} + (1-\beta_1) \hat U_t, \\
        \theta_t &= \theta_{t-1} - \eta_t (M_t / \sqrt{S_t} + \lambda_t \theta_{t-1}),

    with :math:`V` and :math:`S` the rank-one moving averages of :math:`|G|^2 + \epsilon` and of the
    residual :math:`|\hat U - M|^2 + \epsilon'`, as ``ScaleByCame`` says. Leaves with fewer than two
    axes take :math:`M` alone.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the momentum, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        b3: decay of the residual, in [0, 1).
        eps: :math:`\epsilon \ge 0`, added to every square of a gradient.
        eps_residual: :math:`\epsilon' \ge 0`, added to every squared residual.
        clipping_threshold: :math:`d \ge 0`.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Luo et al., CAME: confidence-guided adaptive memory efficient optimization, 2023,
    https://arxiv.org/abs/2307.02047.

    >>> import jax.numpy as jnp
    >>> optimizer = CAME(learning_rate=0.5, b1=0.0, b2=0.0)
    >>> params = jnp.array([4.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    b3: Decay = 0.9999
    eps: NonNegative = 1e-30
    eps_residual: NonNegative = 1e-16
    clipping_threshold: NonNegative = 1.0
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByCame(
                self.b1, self.b2, self.b3, self.eps, self.eps_residual, self.clipping_threshold
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
