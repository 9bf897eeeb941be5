"""Dion: orthonormal updates of low rank for matrices, Adam for everything else."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Seed, Static
from ravine.optimizers.adam import AdamW
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.dion import ScaleByDion
from ravine.transforms.mask import Partition
from ravine.transforms.matrices import DimensionNumbers, MatrixLabels
from ravine.transforms.newton_schulz import Count
from ravine.transforms.scale import ScaleByLearningRate


@rule
class Dion(Optimizer):
    r"""Dion: orthonormal updates of low rank; what they leave out comes with later steps.

    .. math::
        B_t &= M_{t-1} + G_t, \qquad P_t = \mathrm{qr}(B_t Q_{t-1}), \qquad
        R_t = B_t^\top P_t, \\
        M_t &= B_t - (1-\mu) P_t R_t^\top, \qquad
        Q_t = R_t / \text{its columns' lengths}, \\
        \Theta_t &= \Theta_{t-1} - \eta_t \left( \sqrt{n_\text{out} / n_\text{in}}\; P_t Q_t^\top
            + \lambda\,\Theta_{t-1} \right).

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        momentum: :math:`\mu` in [0, 1).
        rank: most columns of :math:`P`; a matrix's shorter side if that is less.
        eps: :math:`\epsilon \ge 0`, added to the lengths of columns, and Adam's.
        weight_decay: :math:`\lambda \ge 0` of the matrices, a number or a schedule.
        weight_decay_mask: which matrices decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        mu_dtype: dtype of the momentum; that of the parameters by default.
        key: an integer seed or a JAX random key of the first bases; 0 by default.
        adam_b1: Adam's decay of the first moment, in [0, 1).
        adam_b2: Adam's decay of the second moment, in [0, 1).
        adam_weight_decay: weight decay of what is no matrix, a number or a schedule.
        adam_learning_rate: learning rate of what is no matrix; the same by default.
        weight_dimension_numbers: which leaves are matrices, and by which axes, as in ``Muon``;
            leaves with two axes by default.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit the parameters; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Ahn et al., Dion: distributed orthonormalized updates, 2025,
    https://arxiv.org/abs/2504.05295.

    >>> import jax.numpy as jnp
    >>> optimizer = Dion(learning_rate=0.1, rank=1)
    >>> params = jnp.array([[3.0, 0.0], [0.0, -3.0]])
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> jnp.linalg.norm(updates).round(3)
    Array(0.1, dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    momentum: Decay = 0.95
    rank: Count = 128
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    mu_dtype: Static[DType] = None
    key: Seed | None = None
    adam_b1: Decay = 0.9
    adam_b2: Decay = 0.999
    adam_weight_decay: NonNegative | Schedule = 0.0
    adam_learning_rate: NonNegative | Schedule | None = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        spec = self.weight_dimension_numbers
        dion = chain(
            ScaleByDion(self.momentum, self.rank, self.eps, self.mu_dtype, self.key, spec),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
        adam = AdamW(
            self.learning_rate if self.adam_learning_rate is None else self.adam_learning_rate,
            self.adam_b1,
            self.adam_b2,
            self.eps,
            weight_decay=self.adam_weight_decay,
        )
        return chain(Partition({"dion": dion, "adam": adam}, MatrixLabels(spec, "dion")))
