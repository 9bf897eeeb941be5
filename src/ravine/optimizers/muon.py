"""Muon: orthogonalized momentum for matrices, Adam for everything else."""

from dataclasses import KW_ONLY

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.adam import AdamW
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.mask import Partition
from ravine.transforms.matrices import DimensionNumbers, MatrixLabels
from ravine.transforms.muon import ScaleByMuon, ScaleByShape
from ravine.transforms.newton_schulz import STANDARD, Count, NSCoeffs, Preconditioning
from ravine.transforms.scale import ScaleByLearningRate


@rule
class Muon(Optimizer):
    r"""Muon: a matrix goes along the orthogonal factor of its momentum, all else as in AdamW.

    .. math::
        m_t &= \beta m_{t-1} + (1-\beta) g_t, \\
        \theta_t &= \theta_{t-1} - \eta_t \left( \sqrt{\max(1, n_\text{out} / n_\text{in})}\;
            \mathrm{NS}(\hat m_t) + \lambda\,\theta_{t-1} \right),

    where :math:`\mathrm{NS}` is the Newton-Schulz iteration, which brings all singular values
    near 1. Matrices of one shape, counting a tall one as its transpose, are orthogonalized in
    one batched call.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        ns_coeffs: coefficients of the iteration: three numbers for all iterations, a tuple of
            triples, one an iteration, or ``"standard"``, ``"dion"`` or ``"polar_express"``.
        ns_steps: number of iterations; a tuple of triples has its own.
        beta: decay :math:`\beta` of the momentum, in [0, 1).
        eps: :math:`\epsilon \ge 0`, added to the norm by which a matrix is divided, and Adam's.
        weight_decay: :math:`\lambda \ge 0` of the matrices, a number or a schedule.
        weight_decay_mask: which matrices decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        mu_dtype: dtype of the first moments; that of the parameters by default.
        nesterov: use Dozat's :math:`\hat m`, which looks one step ahead.
        adaptive: multiply by the inner product of :math:`\hat m` and its orthogonal factor.
        preconditioning: how a matrix is scaled before the iteration: ``"frobenius"``,
            ``"spectral"``, ``"aol"`` or ``"schatten"``.
        adam_b1: Adam's decay of the first moment, in [0, 1).
        adam_b2: Adam's decay of the second moment, in [0, 1).
        adam_eps_root: Adam's :math:`\bar\epsilon \ge 0`, inside the root.
        adam_weight_decay: weight decay of what is no matrix, a number or a schedule.
        adam_learning_rate: learning rate of what is no matrix; the same by default.
        muon_weight_dimension_numbers: which leaves are matrices, and by which axes: a tree of
            ``MuonDimensionNumbers``, ``None`` for Adam's leaves, or a function from the
            parameters to such a tree; leaves with two axes by default.
        consistent_rms: :math:`r \ge 0` for steps of this root mean square, multiplied by
            :math:`r \sqrt{\max(n_\text{out}, n_\text{in})}`; 0.2 suits Adam's learning rates.
        gram: iterate on the small product of a matrix and its transpose: the same result but
            for rounding, cheaper where a matrix is twice as wide as tall, or more.
        ns_dtype: dtype of the iteration, such as bfloat16; that of the leaf or float32 by
            default, whichever is finer.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit the parameters; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024,
    https://kellerjordan.github.io/posts/muon/; Liu et al., Muon is scalable for LLM training,
    2025, https://arxiv.org/abs/2502.16982.

    >>> import jax.numpy as jnp
    >>> optimizer = Muon(learning_rate=0.1, ns_coeffs="polar_express", ns_steps=8)
    >>> params = {"kernel": jnp.array([[3.0, 0.0], [0.0, -2.0]]), "bias": jnp.array([5.0])}
    >>> updates, state = optimizer.update(params, optimizer.init(params), params)
    >>> updates["kernel"].round(3) + 0.0
    Array([[-0.1,  0. ],
           [ 0. ,  0.1]], dtype=float32)
    >>> updates["bias"].round(3)
    Array([-0.1], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    ns_coeffs: NSCoeffs = STANDARD
    ns_steps: Count = 5
    beta: Decay = 0.95
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = True
    adaptive: Static[bool] = False
    preconditioning: Preconditioning = "frobenius"
    adam_b1: Decay = 0.9
    adam_b2: Decay = 0.999
    adam_eps_root: NonNegative = 0.0
    adam_weight_decay: NonNegative | Schedule = 0.0
    adam_learning_rate: NonNegative | Schedule | None = None
    muon_weight_dimension_numbers: Static[DimensionNumbers] = None
    consistent_rms: NonNegative | None = None
    gram: Static[bool] = False
    ns_dtype: Static[DType] = None

    def as_chain(self) -> Chain:
        spec = self.muon_weight_dimension_numbers
        muon = chain(
            ScaleByMuon(
                self.ns_coeffs,
                self.ns_steps,
                self.beta,
                self.eps,
                self.mu_dtype,
                nesterov=self.nesterov,
                adaptive=self.adaptive,
                preconditioning=self.preconditioning,
                weight_dimension_numbers=spec,
                gram=self.gram,
                ns_dtype=self.ns_dtype,
            ),
            ScaleByShape(spec, self.consistent_rms),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByLearningRate(self.learning_rate),
        )
        adam = AdamW(
            self.learning_rate if self.adam_learning_rate is None else self.adam_learning_rate,
            self.adam_b1,
            self.adam_b2,
            self.eps,
            self.adam_eps_root,
            self.mu_dtype,
            self.adam_weight_decay,
            nesterov=self.nesterov,
        )
        return chain(Partition({"muon": muon, "adam": adam}, MatrixLabels(spec)))
