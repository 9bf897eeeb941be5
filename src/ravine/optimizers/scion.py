"""Scion: steps to the edge of a norm's ball, layer by layer."""

from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.matrices import DimensionNumbers
from ravine.transforms.momentum import Ema
from ravine.transforms.newton_schulz import STANDARD, Count, NSCoeffs
from ravine.transforms.scale import ScaleByLearningRate
from ravine.transforms.scion import Norm, ScaleByLmo


@rule
class Scion(Optimizer):
    r"""Scion: conditional gradient steps towards the edge of a norm's ball.

    .. math::
        m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        \theta_t = (1 - \eta_t)\,\theta_{t-1} - \eta_t\, s\,
            \arg\max_{\|x\| \le 1} \langle x, m_t \rangle,

    or, unconstrained, without the factor :math:`1 - \eta_t`, which keeps every layer in its ball
    of radius :math:`s`. For a norm of its own for each layer, give ``Partition`` a ``Scion`` each.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay of the momentum, in [0, 1); the authors' momentum is one minus it.
        norm: the norm of matrices: ``"spectral"``, ``"sign"`` for last layers, ``"colnorm"`` for
            first ones and embeddings, ``"rownorm"``; vectors have their root mean square.
        scale: radius :math:`s \ge 0` of the ball.
        unconstrained: do not pull the parameters into the ball.
        eps: :math:`\epsilon \ge 0`, added to a norm that divides.
        ns_coeffs: coefficients of the Newton-Schulz iteration, as in ``Muon``.
        ns_steps: number of its iterations.
        mu_dtype: dtype of the momentum; that of the parameters by default.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters.
        TypeError: if a field is of the wrong kind.

    Reference: Pethick et al., Training deep learning models with norm-constrained LMOs, 2025,
    https://arxiv.org/abs/2502.07529.

    >>> import jax.numpy as jnp
    >>> optimizer = Scion(learning_rate=0.1, norm="sign", unconstrained=True)
    >>> params = jnp.array([[3.0, -4.0], [0.1, 0.0]])
    >>> optimizer.update(params, optimizer.init(params), params)[0] + 0.0
    Array([[-0.05,  0.05],
           [-0.05,  0.  ]], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    norm: Norm = "spectral"
    scale: NonNegative = 1.0
    unconstrained: Static[bool] = False
    eps: NonNegative = 1e-8
    ns_coeffs: NSCoeffs = STANDARD
    ns_steps: Count = 5
    mu_dtype: Static[DType] = None
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def as_chain(self) -> Chain:
        farthest = ScaleByLmo(
            self.norm,
            self.scale,
            self.eps,
            self.ns_coeffs,
            self.ns_steps,
            self.weight_dimension_numbers,
        )
        return chain(
            Ema(self.b1, debias=False, accumulator_dtype=self.mu_dtype),
            farthest,
            *([] if self.unconstrained else [AddDecayedWeights(1.0)]),
            ScaleByLearningRate(self.learning_rate),
        )
