"""Gradient descent that finds its step by the distance gone, or by bets."""

from typing import Any

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Positive, Schedule, Static, Transform
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.coin import ScaleByCocob
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.distance import ScaleByDog, ScaleByDowg, as_init_step
from ravine.transforms.scale import ScaleByLearningRate


@rule
class DoG(Optimizer):
    r"""Distance over gradients: gradient descent without a learning rate.

    .. math::
        \bar r_t = \max(\bar r_{t-1},\ \|\theta_{t-1} - \theta_0\|), \qquad
        G_t = G_{t-1} + \|g_t\|^2, \qquad
        \theta_t = \theta_{t-1} - \frac{\eta_t\,\bar r_t}{\sqrt{G_t + \epsilon}}\, g_t.

    The authors evaluate at an average of the parameters, which does better than the last ones.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; 1 by default.
        init_step: what fixes the first step, a pair. ``("distance", r)`` is
            :math:`\bar r_0 = r`; ``("heuristic", a)`` is :math:`\bar r_0 = a (1 +
            \|\theta_0\|)`, where 1e-6 is a good :math:`a`, or 1e-4 with batch normalization;
            ``("learning_rate", c)`` multiplies the first gradient by :math:`c`.
        eps: :math:`\epsilon \ge 0`, inside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule, of which
            :math:`\lambda \theta` is added to the gradients; ``None`` for none.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range or the first step is of no known kind;
            at update, without the parameters, or if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Ivgi, Hinder and Carmon, DoG is SGD's best friend: a parameter-free dynamic
    step size schedule, 2023, https://arxiv.org/abs/2302.12022.

    >>> import jax.numpy as jnp
    >>> optimizer = DoG(init_step=("distance", 0.5))
    >>> params = jnp.array([3.0, 4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.3, -0.4], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    init_step: Any = ("heuristic", 1e-6)
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule | None = None
    weight_decay_mask: Static[Mask] = None

    def __post_init__(self) -> None:
        as_init_step(self)

    def as_chain(self) -> Chain:
        step = ScaleByDog(self.init_step, self.eps), ScaleByLearningRate(self.learning_rate)
        return chain(*_decay(self), *step)


@rule
class DoWG(Optimizer):
    r"""Distance over weighted gradients: like DoG, but the later gradients count more.

    .. math::
        \bar r_t^2 = \max(\bar r_{t-1}^2,\ \|\theta_{t-1} - \theta_0\|^2), \quad
        v_t = v_{t-1} + \bar r_t^2 \|g_t\|^2, \quad
        \theta_t = \theta_{t-1} - \frac{\eta_t\,\bar r_t^2}{\sqrt{v_t} + \epsilon}\, g_t.

    Args:
        learning_rate: :math:`\eta \ge 0`, a number or a schedule; 1 by default.
        init_estim_sq_dist: :math:`\bar r_0^2 \ge 0`; :math:`\epsilon` by default.
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule, of which
            :math:`\lambda \theta` is added to the gradients; ``None`` for none.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Khaled, Mishchenko and Jin, DoWG unleashed: an efficient universal
    parameter-free gradient descent method, 2023, https://arxiv.org/abs/2305.16284.

    >>> import jax.numpy as jnp
    >>> optimizer = DoWG(init_estim_sq_dist=0.25, eps=0.0)
    >>> params = jnp.array([3.0, 4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.3, -0.4], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    init_estim_sq_dist: NonNegative | None = None
    eps: NonNegative = 1e-4
    weight_decay: NonNegative | Schedule | None = None
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        scale = ScaleByDowg(self.init_estim_sq_dist, self.eps)
        return chain(*_decay(self), scale, ScaleByLearningRate(self.learning_rate))


@rule
class COCOB(Optimizer):
    r"""Continuous coin betting: every coordinate bets on the sign of its next gradient.

    .. math::
        L_t &= \max(L_{t-1}, |g_t|), \qquad
        G_t = G_{t-1} + |g_t|, \qquad
        C_t = C_{t-1} - g_t, \\
        R_t &= \max(R_{t-1} - g_t (\theta_{t-1} - \theta_0),\ 0), \\
        \theta_t &= \theta_0 + \frac{C_t}{L_t \max(G_t + L_t,\ \alpha L_t)} (L_t + R_t),
        \qquad L_0 = \epsilon.

    Args:
        learning_rate: at least 0, a number or a schedule by which gradients are multiplied
            before all else; what is constant in it makes almost no difference.
        alpha: :math:`\alpha > 0`: the larger, the smaller the first bets.
        eps: :math:`\epsilon \ge 0`, where the largest gradient starts from.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule, of which
            :math:`\lambda \theta` is added to the gradients.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Orabona and Tommasi, Training deep networks without learning rates through
    coin betting, 2017, algorithm 2, https://arxiv.org/abs/1705.07795.

    >>> import jax.numpy as jnp
    >>> optimizer = COCOB()
    >>> params = jnp.array([3.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.01,  0.01], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    alpha: Positive = 100.0
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        rate = ScaleByLearningRate(self.learning_rate, flip_sign=False)
        return chain(*_decay(self), rate, ScaleByCocob(self.alpha, self.eps))


def _decay(o: DoG | DoWG | COCOB) -> tuple[Transform, ...]:
    """The weight decay that these optimizers start with, if there is any."""
    if o.weight_decay is None:
        return ()
    return (AddDecayedWeights(o.weight_decay, o.weight_decay_mask),)
