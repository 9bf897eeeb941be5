"""SOAP: Adam in Shampoo's eigenbasis."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.newton_schulz import Count
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.soap import ScaleBySoap


@rule
class SOAP(Optimizer):
    r"""SOAP: Adam in the eigenbasis of what a matrix's rows and columns have seen.

    .. math::
        L_t &= \beta_3 L_{t-1} + (1-\beta_3) G_t G_t^\top, \qquad
        R_t = \beta_3 R_{t-1} + (1-\beta_3) G_t^\top G_t, \\
        \Theta_t &= \Theta_{t-1} - \eta_t \left( Q_L\, \mathrm{Adam}(Q_L^\top G_t Q_R)\, Q_R^\top
            + \lambda\,\Theta_{t-1} \right),

    where :math:`Q_L` and :math:`Q_R` follow the eigenvectors of :math:`L` and :math:`R` by a step
    of the power iteration every few steps. Vectors go as in AdamW.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; the authors' is 0.003.
        b1: decay of the mean gradient, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        shampoo_beta: decay :math:`\beta_3` of the statistics, in [0, 1); ``b2`` by default.
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        precondition_frequency: after how many steps the bases are turned.
        max_precond_dim: longest side that has a basis; a longer one keeps its own axes.
        precondition_1d: whether vectors have a basis too.
        normalize_grads: divide every leaf's direction by its root mean square.
        correct_bias: divide the moments by :math:`1-\beta^t`.
        skip_first: leave matrices where they are in the first step, as the authors do, so that
            no basis is used on the gradient that it came from.
        mu_dtype: dtype of the mean gradient; that of the parameters by default.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Vyas et al., SOAP: improving and stabilizing Shampoo using Adam, 2024,
    https://arxiv.org/abs/2409.11321.

    >>> import jax.numpy as jnp
    >>> optimizer = SOAP(learning_rate=0.1, weight_decay=0.0)
    >>> params = jnp.array([[3.0, 0.0], [0.0, -0.1]])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    >>> updates.round(3) + 0.0
    Array([[-0.1,  0. ],
           [ 0. ,  0.1]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.95
    b2: Decay = 0.95
    shampoo_beta: Decay | None = None
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.01
    weight_decay_mask: Static[Mask] = None
    precondition_frequency: Count = 10
    max_precond_dim: Count = 10_000
    precondition_1d: Static[bool] = False
    normalize_grads: Static[bool] = False
    correct_bias: Static[bool] = True
    skip_first: Static[bool] = True
    mu_dtype: Static[DType] = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleBySoap(
                self.b1,
                self.b2,
                self.shampoo_beta,
                self.eps,
                self.precondition_frequency,
                self.max_precond_dim,
                self.precondition_1d,
                self.normalize_grads,
                self.correct_bias,
                self.skip_first,
                self.mu_dtype,
                self.weight_dimension_numbers,
            ),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
