"""ADOPT: gradients are divided before they are averaged."""

from dataclasses import KW_ONLY

from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.adopt import ScaleByAdopt
from ravine.transforms.chain import Chain, chain
from ravine.transforms.scale import ScaleByLearningRate


@rule
class ADOPT(Optimizer):
    r"""Adam changed so that it converges whatever its second decay is.

    .. math::
        n_t = \mathrm{clip}\!\left(\frac{g_t}{\max(\sqrt{v_{t-1}}, \epsilon)}, \pm c_t\right),
        \qquad m_t = \beta_1 m_{t-1} + (1-\beta_1) n_t, \qquad
        \theta_t = \theta_{t-1} - \eta_t m_t, \\
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \qquad c_t = t^{1/4}.

    Steps count from 0, and step 0 moves nothing: it starts :math:`v_0 = |g_0|^2`.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        b1: decay :math:`\beta_1` of the mean, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, the least divisor.
        mu_dtype: dtype of the mean; that of the parameters by default.
        nesterov: take one more step of the mean with the same gradient.
        use_clipping: whether to clip at all.
        clip_value_fn: :math:`c_t`, a number or a schedule; :math:`t^{1/4}` by default.

    Raises:
        ValueError: if a number lies outside its range.
        TypeError: if a field is of the wrong kind.

    Reference: Taniguchi et al., ADOPT: modified Adam can converge with any beta2 with the
    optimal rate, 2024, https://arxiv.org/abs/2411.02853.

    >>> import jax.numpy as jnp
    >>> optimizer = ADOPT(learning_rate=0.1)
    >>> params = jnp.array([1.0, -2.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    >>> updates.round(4)
    Array([-0.01,  0.01], dtype=float32)
    """

    learning_rate: NonNegative | Schedule
    b1: Decay = 0.9
    b2: Decay = 0.9999
    eps: NonNegative = 1e-6
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = False
    use_clipping: Static[bool] = True
    clip_value_fn: NonNegative | Schedule | None = None

    def as_chain(self) -> Chain:
        direction = ScaleByAdopt(
            self.b1,
            self.b2,
            self.eps,
            self.mu_dtype,
            nesterov=self.nesterov,
            use_clipping=self.use_clipping,
            clip_value_fn=self.clip_value_fn,
        )
        return chain(direction, ScaleByLearningRate(self.learning_rate))
