"""First-order steps over an estimate of the Hessian's diagonal."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Period, Schedule, Static, Transform
from ravine.optimizers.base import Optimizer
from ravine.transforms.adahessian import ScaleByAdahessian
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.hessian import HutchinsonEstimatorDiagHessian
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.sophia import ScaleBySophia


@rule
class Sophia(Optimizer):
    r"""Sophia: momentum over an estimate of the Hessian's diagonal, clipped.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        u_t = \operatorname{clip}\!\Big(
        \frac{m_t / (1-\beta_1^t)}{\max(\gamma h_{t-1}, \epsilon)},\ -\rho, \rho\Big), \\
        \theta_t &= \theta_{t-1} - \eta_t (u_t + \lambda_t \theta_{t-1}), \\
        h_t &= \beta_2 h_{t-1} + (1-\beta_2)\, \hat h_t
        \quad\text{every } k \text{ steps, else}\quad h_t = h_{t-1}.

    By default :math:`\hat h` is Hutchinson's estimate, which is Sophia-H, and every ``update``
    needs the loss as a function of the parameters on the batch at hand:
    ``update(gradients, state, params, value_fn=loss)``. With
    ``hessian_diagonal_fn=GaussNewtonBartlettEstimator()`` it is Sophia-G, for classifiers and
    language models, and needs ``logits_fn=model`` instead, a function from the parameters to
    the logits on the batch. Optax calls the first ``obj_fn``. The state's ``win_rate`` is the
    share of elements left unclipped, which should stay between 0.1 and 0.5.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the mean gradient, in [0, 1).
        b2: decay :math:`\beta_2` of the mean Hessian diagonal, in [0, 1).
        eps: :math:`\epsilon \ge 0`, the smallest denominator.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.
        gamma: :math:`\gamma \ge 0`, by which the Hessian's diagonal is multiplied.
        clip_threshold: :math:`\rho \ge 0`; ``None`` for no clipping.
        update_interval: :math:`k`, at least 1. Under ``vmap`` the estimate is computed at
            every step, and used at every :math:`k`-th.
        hessian_diagonal_fn: the transform that makes gradients into the estimate.
        mu_dtype: dtype of the mean gradient; that of the parameters by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            without what the estimator needs.
        TypeError: if a field is of the wrong kind.

    Reference: Liu et al., Sophia: a scalable stochastic second-order optimizer for language
    model pre-training, 2023, https://arxiv.org/abs/2305.14342.

    >>> import jax, jax.numpy as jnp
    >>> def loss(x):
    ...     return jnp.sum(100 * x**2)
    >>> optimizer = Sophia(learning_rate=0.5, b1=0.0, b2=0.0, weight_decay=0.0)
    >>> params = jnp.array([0.25, -2.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     g = jax.grad(loss)(params)
    ...     updates, state = optimizer.update(g, state, params, value_fn=loss)
    >>> updates
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.965
    b2: Decay = 0.99
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 1e-4
    weight_decay_mask: Static[Mask] = None
    gamma: NonNegative = 0.01
    clip_threshold: NonNegative | None = 1.0
    update_interval: Period = 10
    hessian_diagonal_fn: Transform = HutchinsonEstimatorDiagHessian()
    mu_dtype: Static[DType] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleBySophia(
                self.b1,
                self.b2,
                self.eps,
                self.gamma,
                self.clip_threshold,
                self.update_interval,
                self.hessian_diagonal_fn,
                self.mu_dtype,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class AdaHessian(Optimizer):
    r"""AdaHessian: Adam with the Hessian's diagonal in place of the gradient's square.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1-\beta_1) g_t, &
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) D_t^2, \\
        u_t &= \frac{m_t / (1-\beta_1^t)}{(v_t / (1-\beta_2^t))^{\kappa/2} + \epsilon}, &
        \theta_t &= \theta_{t-1} - \eta_t (u_t + \lambda_t \theta_{t-1}),

    with :math:`D` Hutchinson's estimate of the Hessian's diagonal, averaged over the places of a
    convolution's kernel. Every ``update`` needs the loss as a function of the parameters on the
    batch at hand, ``update(gradients, state, params, value_fn=loss)``, and costs about two more
    gradients of it.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.
        hessian_power: :math:`\kappa \ge 0`; 1 is a Newton step, 0 is momentum alone.
        spatial_average: whether to average over the axes before the last two of a leaf.
        hessian_diagonal_fn: the transform that makes gradients into the estimate.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            without ``value_fn``.
        TypeError: if a field is of the wrong kind.

    Reference: Yao et al., ADAHESSIAN: an adaptive second order optimizer for machine learning,
    2020, https://arxiv.org/abs/2006.00719.

    >>> import jax, jax.numpy as jnp
    >>> def loss(x):
    ...     return jnp.sum(jnp.array([1.0, 100.0]) * x**2)
    >>> optimizer = AdaHessian(learning_rate=0.5)
    >>> params = jnp.array([4.0, -2.0])
    >>> g, state = jax.grad(loss)(params), optimizer.init(params)
    >>> optimizer.update(g, state, params, value_fn=loss)[0].round(4)
    Array([-2.,  1.], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    hessian_power: NonNegative = 1.0
    spatial_average: Static[bool] = True
    hessian_diagonal_fn: Transform = HutchinsonEstimatorDiagHessian()

    def as_chain(self) -> Chain:
        return chain(
            ScaleByAdahessian(
                self.b1,
                self.b2,
                self.eps,
                self.hessian_power,
                self.spatial_average,
                self.hessian_diagonal_fn,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
