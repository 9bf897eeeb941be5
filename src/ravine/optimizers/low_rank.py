"""Adaptive methods whose state lives in a subspace of low rank."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Period, Schedule, Seed, Static, Transform
from ravine.optimizers.base import Optimizer
from ravine.transforms.apollo import ScaleByApollo
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.galore import ScaleByGalore, check_rank
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.scale import ScaleByLearningRate


@rule
class GaLore(Optimizer):
    r"""GaLore: Adam on gradients that are projected to a few directions.

    .. math::
        R_t = P^\top G_t, \qquad
        \Theta_t = \Theta_{t-1}
        - \eta_t (\alpha P\, \mathrm{Adam}(R_t) + \lambda_t \Theta_{t-1}),

    with :math:`P` the first :math:`r` singular vectors of the longer side of the gradient, taken
    anew every so many steps. A matrix of shape (m, n), m at least n, has 2 n r moments and a basis
    of m r numbers instead of 2 m n moments. Leaves that are no matrices go to Adam as they are.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        rank: :math:`r`, at least 1; smaller matrices keep their own rank.
        update_proj_gap: number of steps between new bases, at least 1. Under ``vmap`` a basis is
            computed at every step.
        scale: :math:`\alpha \ge 0`, for what was projected.
        base_optimizer: the inner transform, Adam's direction by default. It sees projected
            gradients and no parameters, so it can hold no weight decay.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.
        weight_dimension_numbers: how leaves are matrices: ``GaLoreDimensionNumbers``, a tree of
            them, or a function from the parameters to one; leaves with two axes by default.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Zhao et al., GaLore: memory-efficient LLM training by gradient low-rank
    projection, 2024, https://arxiv.org/abs/2403.03507.

    >>> import jax.numpy as jnp
    >>> optimizer = GaLore(learning_rate=0.5, rank=1)
    >>> params = jnp.array([[3.0, 3.0], [-4.0, -4.0]])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(3)
    Array([[-0.3, -0.3], [ 0.4,  0.4]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    rank: Static[int] = 128
    update_proj_gap: Period = 200
    scale: NonNegative = 1.0
    base_optimizer: Transform | None = None
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def __post_init__(self) -> None:
        check_rank(self)

    def as_chain(self) -> Chain:
        return chain(
            ScaleByGalore(
                self.rank,
                self.update_proj_gap,
                self.scale,
                self.base_optimizer,
                self.weight_dimension_numbers,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class APOLLO(Optimizer):
    r"""APOLLO: gradient descent with Adam's step size for each channel of a matrix.

    .. math::
        R_t = P G_t, \qquad
        s_j = \frac{\|\mathrm{Adam}(R_t)_{\cdot j}\|}{\|R_{t,\cdot j}\|}, \qquad
        \Theta_t = \Theta_{t-1}
        - \eta_t (\sqrt\alpha\, G_t \operatorname{diag}(s) + \lambda_t \Theta_{t-1}),

    with :math:`P` a random matrix that takes the shorter side of :math:`G` to :math:`r`. The
    moments are those of :math:`R` alone, and nothing of :math:`P` is kept but a key. The norm of
    a matrix's update may grow by a hundredth in a step, as in Fira; see ``ScaleByApollo``. Leaves
    that are no matrices go to Adam as they are.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        rank: :math:`r`, at least 1; at most the shorter side counts.
        update_proj_gap: number of steps between new projections, at least 1.
        scale: :math:`\alpha \ge 0`.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.
        key: an integer seed or a JAX random key; 0 by default.
        weight_dimension_numbers: how leaves are matrices: ``GaLoreDimensionNumbers``, a tree of
            them, or a function from the parameters to one; leaves with two axes by default.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Zhu et al., APOLLO: SGD-like memory, AdamW-level performance, 2024,
    https://arxiv.org/abs/2412.05270.

    >>> import jax.numpy as jnp
    >>> optimizer = APOLLO(learning_rate=0.5, rank=1)
    >>> params = jnp.array([[3.0, 4.0], [-6.0, -8.0]])
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> (updates[0] / updates[1]).round(3)
    Array([-1., -1.], dtype=float32)
    >>> state.scale_by_apollo.mu.shape
    (1, 2, 1)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-6
    rank: Static[int] = 256
    update_proj_gap: Period = 200
    scale: NonNegative = 1.0
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    key: Seed | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def __post_init__(self) -> None:
        check_rank(self)

    def as_chain(self) -> Chain:
        return chain(
            ScaleByApollo(
                self.b1,
                self.b2,
                self.eps,
                self.rank,
                self.update_proj_gap,
                self.scale,
                key=self.key,
                weight_dimension_numbers=self.weight_dimension_numbers,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )


@rule
class APOLLOMini(Optimizer):
    r"""APOLLO-Mini: gradient descent with one of Adam's step sizes for each matrix.

    .. math::
        r_t = p^\top G_t, \qquad s = \frac{\|\mathrm{Adam}(r_t)\|}{\|r_t\|}, \qquad
        \Theta_t = \Theta_{t-1} - \eta_t (\sqrt\alpha\, s\, G_t + \lambda_t \Theta_{t-1}),

    with :math:`p` a random vector: APOLLO of rank 1, with one factor a matrix, and a state of two
    numbers for each place of its longer side.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        update_proj_gap: number of steps between new projections, at least 1.
        scale: :math:`\alpha \ge 0`, which makes up for the rank.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay, as in ``AddDecayedWeights``.
        key: an integer seed or a JAX random key; 0 by default.
        weight_dimension_numbers: how leaves are matrices: ``GaLoreDimensionNumbers``, a tree of
            them, or a function from the parameters to one; leaves with two axes by default.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Zhu et al., APOLLO: SGD-like memory, AdamW-level performance, 2024,
    https://arxiv.org/abs/2412.05270.

    >>> import jax.numpy as jnp
    >>> optimizer = APOLLOMini(learning_rate=0.5)
    >>> params = jnp.array([[3.0, 4.0], [-6.0, -8.0]])
    >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
    >>> updates / updates[0, 0]
    Array([[ 1.      ,  1.333333], [-2.      , -2.666667]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-6
    update_proj_gap: Period = 200
    scale: NonNegative = 128.0
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    key: Seed | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByApollo(
                self.b1,
                self.b2,
                self.eps,
                1,
                self.update_proj_gap,
                self.scale,
                "tensor",
                key=self.key,
                weight_dimension_numbers=self.weight_dimension_numbers,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
