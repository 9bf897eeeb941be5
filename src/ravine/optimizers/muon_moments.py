"""Muon with second moments: AdaMuon, by element, and NorMuon, by neuron."""

from dataclasses import KW_ONLY

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static, Transform
from ravine.optimizers.adam import AdamW
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.mask import Partition
from ravine.transforms.matrices import DimensionNumbers, MatrixLabels
from ravine.transforms.muon import ScaleByMuon, ScaleByShape
from ravine.transforms.muon_moments import ScaleByAdaMuon, ScaleByNorMuon
from ravine.transforms.newton_schulz import STANDARD, Count, NSCoeffs
from ravine.transforms.scale import ScaleByLearningRate


@rule
class AdaMuon(Optimizer):
    r"""AdaMuon: orthogonalized signs of momentum over the root second moment of each element.

    .. math::
        O_t = \mathrm{NS}(\mathrm{sign}(\hat M_t)), \quad
        V_t = \beta_2 V_{t-1} + (1-\beta_2)\, O_t \odot O_t, \quad
        D_t = O_t / (\sqrt{\hat V_t} + \epsilon), \\
        \Theta_t = \Theta_{t-1} - \eta_t \left( r\, D_t / \mathrm{rms}(D_t)
            + \lambda\,\Theta_{t-1} \right),

    where :math:`M` is the mean gradient. What is no matrix goes as in AdamW.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        ns_coeffs: coefficients of the iteration, as in ``Muon``.
        ns_steps: number of iterations; a tuple of triples has its own.
        beta: decay of the momentum, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment of each element, in [0, 1).
        eps: :math:`\epsilon \ge 0`, against division by zero, and Adam's.
        weight_decay: :math:`\lambda \ge 0` of the matrices, a number or a schedule.
        weight_decay_mask: which matrices decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        mu_dtype: dtype of the first moments; that of the parameters by default.
        nesterov: use Dozat's momentum, which looks one step ahead.
        consistent_rms: root mean square :math:`r \ge 0` of a matrix's step; 0.2 suits Adam's
            learning rates.
        adam_b1: Adam's decay of the first moment, in [0, 1).
        adam_b2: Adam's decay of the second moment, in [0, 1).
        adam_weight_decay: weight decay of what is no matrix, a number or a schedule.
        adam_learning_rate: learning rate of what is no matrix; the same by default.
        muon_weight_dimension_numbers: which leaves are matrices, and by which axes, as in
            ``Muon``; leaves with two axes by default.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit the parameters; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Si, Zhang and Shen, AdaMuon: adaptive Muon optimizer, 2025,
    https://arxiv.org/abs/2507.11005.

    >>> import jax.numpy as jnp
    >>> optimizer = AdaMuon(learning_rate=0.5)
    >>> params = jnp.array([[3.0, 2.0], [0.1, -2.0]])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(3)
    Array([[-0.1, -0.1],
           [-0.1,  0.1]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    ns_coeffs: NSCoeffs = STANDARD
    ns_steps: Count = 5
    beta: Decay = 0.95
    b2: Decay = 0.95
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = False
    consistent_rms: NonNegative = 0.2
    adam_b1: Decay = 0.9
    adam_b2: Decay = 0.999
    adam_weight_decay: NonNegative | Schedule = 0.0
    adam_learning_rate: NonNegative | Schedule | None = None
    muon_weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        return _beside_adam(
            self,
            ScaleByAdaMuon(self.b2, self.eps, self.consistent_rms),
            sign=True,
        )


@rule
class NorMuon(Optimizer):
    r"""NorMuon: orthogonalized momentum whose neurons all go equally far.

    .. math::
        O_t = \mathrm{NS}(\hat M_t), \quad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\, \mathrm{mean}_\text{in} |O_t|^2, \quad
        D_t = O_t / (\sqrt{v_t} + \epsilon), \\
        \Theta_t = \Theta_{t-1} - \eta_t \left( \sqrt{\max(1, n_\text{out} / n_\text{in})}\,
            \|O_t\| D_t / \|D_t\| + \lambda\,\Theta_{t-1} \right),

    where :math:`M` is the mean gradient. What is no matrix goes as in AdamW.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        ns_coeffs: coefficients of the iteration, as in ``Muon``.
        ns_steps: number of iterations; a tuple of triples has its own.
        beta: decay of the momentum, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment of each neuron, in [0, 1).
        eps: :math:`\epsilon \ge 0`, against division by zero, and Adam's.
        weight_decay: :math:`\lambda \ge 0` of the matrices, a number or a schedule.
        weight_decay_mask: which matrices decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.
        mu_dtype: dtype of the first moments; that of the parameters by default.
        nesterov: use Dozat's momentum, which looks one step ahead.
        consistent_rms: :math:`r \ge 0` for steps of this root mean square, as in ``Muon``; 0.2 is
            the paper's.
        adam_b1: Adam's decay of the first moment, in [0, 1).
        adam_b2: Adam's decay of the second moment, in [0, 1).
        adam_weight_decay: weight decay of what is no matrix, a number or a schedule.
        adam_learning_rate: learning rate of what is no matrix; the same by default.
        muon_weight_dimension_numbers: which leaves are matrices, and by which axes, as in
            ``Muon``; leaves with two axes by default.

    Raises:
        ValueError: if a number lies outside its range; at init, if the dimension numbers do not
            fit the parameters; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Li et al., NorMuon: making Muon more efficient and scalable, 2025,
    https://arxiv.org/abs/2510.05491.

    >>> import jax.numpy as jnp
    >>> optimizer = NorMuon(learning_rate=0.1, ns_coeffs="polar_express", ns_steps=8)
    >>> params = jnp.array([[3.0, 0.0], [0.0, -2.0]])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(3) + 0.0
    Array([[-0.1,  0. ],
           [ 0. ,  0.1]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    ns_coeffs: NSCoeffs = STANDARD
    ns_steps: Count = 5
    beta: Decay = 0.95
    b2: Decay = 0.95
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = True
    consistent_rms: NonNegative | None = None
    adam_b1: Decay = 0.9
    adam_b2: Decay = 0.999
    adam_weight_decay: NonNegative | Schedule = 0.0
    adam_learning_rate: NonNegative | Schedule | None = None
    muon_weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        return _beside_adam(
            self,
            ScaleByNorMuon(self.b2, self.eps, self.muon_weight_dimension_numbers),
            ScaleByShape(self.muon_weight_dimension_numbers, self.consistent_rms),
        )


def _beside_adam(o: AdaMuon | NorMuon, *parts: Transform, sign: bool = False) -> Chain:
    """Orthogonalized momentum and these parts for the matrices, AdamW for the other leaves."""
    spec = o.muon_weight_dimension_numbers
    muon = chain(
        ScaleByMuon(
            o.ns_coeffs,
            o.ns_steps,
            o.beta,
            o.eps,
            o.mu_dtype,
            nesterov=o.nesterov,
            weight_dimension_numbers=spec,
            sign=sign,
        ),
        *parts,
        AddDecayedWeights(o.weight_decay, o.weight_decay_mask),
        ScaleByLearningRate(o.learning_rate),
    )
    adam = AdamW(
        o.learning_rate if o.adam_learning_rate is None else o.adam_learning_rate,
        o.adam_b1,
        o.adam_b2,
        o.eps,
        mu_dtype=o.mu_dtype,
        weight_decay=o.adam_weight_decay,
        nesterov=o.nesterov,
    )
    return chain(Partition({"muon": muon, "adam": adam}, MatrixLabels(spec)))
