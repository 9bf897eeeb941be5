"""PSGD-Kron: gradients whitened by a learned Kronecker product."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    DType,
    Fraction,
    NonNegative,
    Positive,
    Schedule,
    Seed,
    Static,
)
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.kron import KronProbability, SaveMode, ScaleByKron
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.newton_schulz import Count
from ravine.transforms.scale import ScaleByLearningRate


@rule
class Kron(Optimizer):
    r"""PSGD-Kron: momentum whitened by a Kronecker product of learned triangular factors.

    .. math::
        \Theta_t = \Theta_{t-1} - \eta_t \left(
            Q_L^\top Q_L\, \hat M_t\, Q_R^\top Q_R + \lambda\,\Theta_{t-1} \right),

    where :math:`Q_L` and :math:`Q_R` descend on the distance between the whitened momentum's
    covariance and the identity, measured along random directions.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; the authors' is 0.001.
        b1: decay of the momentum :math:`M`, in [0, 1).
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        preconditioner_update_probability: how often the factors learn, in [0, 1]: every
            :math:`1/p` steps; a number, or a schedule of the step counted from 1.
        max_size_triangular: longest side with a triangular factor; a longer one has a diagonal.
        min_ndim_triangular: 1 for triangular factors of vectors too.
        memory_save_mode: ``"one_diag"`` for a diagonal on the longest side, ``"all_diag"`` for
            diagonals on all.
        momentum_into_precond_update: learn from the momentum, not from the gradient.
        preconditioner_lr: the factors' own learning rate, at least 0.
        preconditioner_init_scale: the factors' product at the start, greater than 0.
        mu_dtype: dtype of the momentum; that of the parameters by default.
        precond_dtype: dtype of the factors; that of the parameters or float32 by default,
            whichever is finer.
        key: an integer seed or a JAX random key of the noise. An extra argument ``key`` at
            update takes its place for that step, which a sweep passes for each lane.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Pooladzandi and Li, Curvature-informed SGD via general purpose Lie-group
    preconditioners, 2024, https://arxiv.org/abs/2402.04553.

    >>> import jax.numpy as jnp
    >>> optimizer = Kron(learning_rate=0.1, preconditioner_update_probability=0.0)
    >>> params = jnp.array([1.0, -1.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.1,  0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    preconditioner_update_probability: Fraction | Schedule = KronProbability()
    max_size_triangular: Count = 8192
    min_ndim_triangular: Count = 2
    memory_save_mode: SaveMode = None
    momentum_into_precond_update: Static[bool] = True
    preconditioner_lr: NonNegative = 0.1
    preconditioner_init_scale: Positive = 1.0
    mu_dtype: Static[DType] = None
    precond_dtype: Static[DType] = None
    key: Seed | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByKron(
                self.b1,
                self.preconditioner_update_probability,
                self.max_size_triangular,
                self.min_ndim_triangular,
                self.memory_save_mode,
                self.momentum_into_precond_update,
                self.preconditioner_lr,
                self.preconditioner_init_scale,
                self.mu_dtype,
                self.precond_dtype,
                self.key,
                self.weight_dimension_numbers,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
