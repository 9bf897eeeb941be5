"""Averaged gradient descent."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Schedule, Static, Steps
from ravine.optimizers.base import Optimizer
from ravine.transforms.asgd import ScaleByASGD
from ravine.transforms.average import SWA
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights


@rule
class ASGD(Optimizer):
    r"""Gradient descent with a falling rate, to be evaluated at the mean of its late points.

    .. math::
        \theta_t &= \theta_{t-1} - \eta_{t-1} (g_t + \lambda\,\theta_{t-1}), \qquad
        \eta_t = \frac{\eta}{(1 + \lambda\,\eta\,t)^\alpha}, \\
        \bar\theta_t &= \bar\theta_{t-1} + (\theta_t - \bar\theta_{t-1}) / n
        \quad\text{from}\quad t = t_0\ \text{on}, \qquad n = 1, 2, \dots

    ``eval_params(state, params)`` returns :math:`\bar\theta_t`, and before :math:`t_0` the
    parameters. PyTorch's :math:`t_0` is smaller by 2.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule.
        lambd: decay :math:`\lambda \ge 0`, which also sets how fast the rate falls.
        alpha: exponent :math:`\alpha \ge 0`, with which it falls.
        t0: :math:`t_0`, the first step whose point is averaged; the first step of all is 1.
        weight_decay: at least 0, a number or a schedule; times the parameters, it is added
            to the gradient.
        weight_decay_mask: which leaves decay, in any of the forms that ``AdamW`` takes; all by
            default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Polyak and Juditsky, Acceleration of stochastic approximation by averaging,
    1992, https://doi.org/10.1137/0330046.

    >>> import jax.numpy as jnp
    >>> from ravine.core.apply import apply_updates
    >>> optimizer = ASGD(learning_rate=0.5, lambd=0.0, t0=1)
    >>> params = jnp.array([8.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)
    ...     params = apply_updates(params, updates)
    >>> print(params, optimizer.eval_params(state, params))
    [2.] [3.]
    """

    learning_rate: NonNegative | Schedule
    lambd: NonNegative = 1e-4
    alpha: NonNegative = 0.75
    t0: Steps = 1_000_000
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
            ScaleByASGD(self.learning_rate, self.lambd, self.alpha),
            SWA(self.t0),
        )
