"""Shampoo, with the step lengths of a method that is known to work."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.newton_schulz import Count
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.shampoo import Graft, RootMethod, ScaleByShampoo


@rule
class Shampoo(Optimizer):
    r"""Shampoo: gradients between inverse roots of what rows and columns have seen.

    .. math::
        L_t &= \beta_2 L_{t-1} + (1-\beta_2) G_t G_t^\top, &
        R_t &= \beta_2 R_{t-1} + (1-\beta_2) G_t^\top G_t, \\
        S_t &= \hat L_t^{-1/4} \hat M_t \hat R_t^{-1/4}, &
        \Theta_t &= \Theta_{t-1} - \eta_t \left( \|D_t\| \frac{S_t}{\|S_t\|}
            + \lambda\,\Theta_{t-1} \right),

    where :math:`\hat M` is the mean gradient and :math:`D` the step of the method that is
    grafted, Adam by default. What is no matrix, or too large a one, goes as with that method.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay of the mean gradient, in [0, 1); 0 for the gradient itself.
        b2: decay :math:`\beta_2` of the statistics, in [0, 1); ``None`` sums them, as in the
            first paper.
        eps: :math:`\epsilon \ge 0`, outside the root of second moments.
        matrix_eps: what is added to the diagonal of a statistic, relative to its largest row
            sum; at least 0.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        block_size: most rows and columns of a block; each has statistics of its own.
        max_precond_dim: longest side of a matrix that has statistics.
        precondition_frequency: after how many steps the roots are taken anew.
        graft: whose step length to take: ``"sgd"``, ``"adagrad"``, ``"rmsprop"``, ``"adam"``, or
            ``None`` for Shampoo's own.
        root_method: how roots are taken: ``"eigh"``, or ``"newton"`` for products alone.
        mu_dtype: dtype of the mean gradient; that of the parameters by default.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Gupta, Koren and Singer, Shampoo: preconditioned stochastic tensor optimization,
    2018, https://arxiv.org/abs/1802.09568; Anil et al., Scalable second order optimization for
    deep learning, 2020, https://arxiv.org/abs/2002.09018; Shi et al., A distributed
    data-parallel PyTorch implementation of the distributed Shampoo optimizer, 2023,
    https://arxiv.org/abs/2309.06497.

    >>> import jax.numpy as jnp
    >>> optimizer = Shampoo(learning_rate=0.1)
    >>> params = jnp.array([[3.0, 0.0], [0.0, -0.1]])
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> updates.round(3) + 0.0
    Array([[-0.1,  0. ],
           [ 0. ,  0.1]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay | None = 0.999
    eps: NonNegative = 1e-8
    matrix_eps: NonNegative = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    block_size: Count = 1024
    max_precond_dim: Count = 8192
    precondition_frequency: Count = 10
    graft: Graft = "adam"
    root_method: RootMethod = "eigh"
    mu_dtype: Static[DType] = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByShampoo(
                self.b1,
                self.b2,
                self.eps,
                self.matrix_eps,
                self.block_size,
                self.max_precond_dim,
                self.precondition_frequency,
                self.graft,
                self.root_method,
                self.mu_dtype,
                self.weight_dimension_numbers,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
