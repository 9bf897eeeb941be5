"""Optimizers whose learning rate needs no schedule, since the answer is an average."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.numerics import safe_increment, safe_sqrt, scalar
from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, DType, NonNegative, Schedule, Static, Steps, Transform
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.decay import AddDecayedWeights
from ravine.transforms.rectified import effective_length
from ravine.transforms.rms import ScaleByRms
from ravine.transforms.scale import ScaleByLearningRate, value_at
from ravine.transforms.schedule_free import ScheduleFree, Share


@rule
class ScheduleFreeSGD(Optimizer):
    r"""Schedule-free gradient descent.

    .. math::
        z_{t+1} &= z_t - \gamma_t (g_t + \lambda y_t), \qquad
        x_{t+1} = (1 - c_{t+1})\,x_t + c_{t+1} z_{t+1}, \\
        y_{t+1} &= \beta_1 x_{t+1} + (1-\beta_1) z_{t+1}, \qquad
        c_{t+1} = \gamma_t^p / \textstyle\sum_{i \le t} \gamma_i^p.

    The parameters are :math:`y`, where gradients are taken; ``eval_params(state, params)``
    returns :math:`x`, the point to evaluate and to keep. As in the authors' code, the warm-up
    starts with :math:`\gamma / W` (in Optax with 0), and the weights in the average see the
    learning rate of the same step (in Optax of the next).

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule, which needs no decay.
        warmup_steps: :math:`W \ge 1`, in which the learning rate rises linearly:
            :math:`\gamma_t = \gamma \min((t + 1) / W,\ 1)`; ``None`` for no warm-up.
        b1: :math:`\beta_1` in (0, 1], in place of momentum.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule; ``None`` for none.
        weight_lr_power: :math:`p \ge 0`.
        state_dtype: dtype of :math:`z`; that of the parameters, but float32 at least, by
            default.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio et al., The road less scheduled, 2024,
    https://arxiv.org/abs/2405.15682.

    >>> import jax.numpy as jnp
    >>> optimizer = ScheduleFreeSGD(learning_rate=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.5,  1. ], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    warmup_steps: Steps | None = None
    b1: Share = 0.9
    weight_decay: NonNegative | Schedule | None = None
    weight_lr_power: NonNegative = 2.0
    state_dtype: Static[DType] = None
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        rate = _warmed_up(self)
        if self.weight_decay is None:
            return _schedule_free(self, rate)
        decay = AddDecayedWeights(self.weight_decay, self.weight_decay_mask)
        return _schedule_free(self, rate, decay)


@rule
class ScheduleFreeAdamW(Optimizer):
    r"""Schedule-free AdamW.

    .. math::
        v_t &= \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \qquad
        z_{t+1} = z_t - \gamma_t \Bigl(
            \frac{g_t}{\sqrt{v_t / (1-\beta_2^{t+1})} + \epsilon} + \lambda y_t \Bigr), \\
        x_{t+1} &= (1 - c_{t+1})\,x_t + c_{t+1} z_{t+1}, \qquad
        y_{t+1} = \beta_1 x_{t+1} + (1-\beta_1) z_{t+1}, \\
        c_{t+1} &= w_t / \textstyle\sum_{i \le t} w_i, \qquad w_t = (\max_{i \le t} \gamma_i)^p.

    The parameters are :math:`y`, where gradients are taken; ``eval_params(state, params)``
    returns :math:`x`, the point to evaluate and to keep. As in the authors' code, the warm-up
    starts with :math:`\gamma / W` (in Optax with 0), and the weights in the average see the
    learning rate of the same step (in Optax of the next).

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule, which needs no decay.
        warmup_steps: :math:`W \ge 1`, in which the learning rate rises linearly:
            :math:`\gamma_t = \gamma \min((t + 1) / W,\ 1)`; ``None`` for no warm-up.
        b1: :math:`\beta_1` in (0, 1], in place of momentum.
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_lr_power: :math:`p \ge 0`.
        state_dtype: dtype of :math:`z`; that of the parameters, but float32 at least, by
            default.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio et al., The road less scheduled, 2024,
    https://arxiv.org/abs/2405.15682.

    >>> import jax.numpy as jnp
    >>> optimizer = ScheduleFreeAdamW(learning_rate=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 0.0025
    warmup_steps: Steps | None = None
    b1: Share = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_lr_power: NonNegative = 2.0
    state_dtype: Static[DType] = None
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return _schedule_free(
            self,
            _warmed_up(self),
            ScaleByRms(self.b2, self.eps, eps_in_sqrt=False, bias_correction=True),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
        )


@rule
class ScheduleFreeRAdam(Optimizer):
    r"""Schedule-free RAdam, which warms up by itself.

    It is ``ScheduleFreeAdamW`` with :math:`\gamma_t = \gamma r_t`, where :math:`r_t` and
    :math:`\rho_t` are those of ``RAdam``:

    .. math::
        r_t = \sqrt{\frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}}
        \quad \text{for } \rho_t > 4.

    In the first steps, with :math:`\rho_t \le 4`, it stays where it is, and for ever if
    :math:`\beta_2 \le 0.6`.

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule, which needs no decay.
        b1: :math:`\beta_1` in (0, 1], in place of momentum.
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_lr_power: :math:`p \ge 0`.
        state_dtype: dtype of :math:`z`; that of the parameters, but float32 at least, by
            default.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio et al., The road less scheduled, 2024,
    https://arxiv.org/abs/2405.15682, whose code has this form; Liu et al., On the variance of
    the adaptive learning rate and beyond, 2019, https://arxiv.org/abs/1908.03265.

    >>> import jax.numpy as jnp
    >>> optimizer = ScheduleFreeRAdam(learning_rate=0.5, b2=0.9)
    >>> params = jnp.array([1.0, -2.0])
    >>> state, moved = optimizer.init(params), []
    >>> for _ in range(7):
    ...     updates, state = optimizer.update(params, state, params)
    ...     moved.append(bool(updates.any()))
    >>> moved
    [False, False, False, False, True, True, True]
    """

    learning_rate: NonNegative | Schedule = 0.0025
    b1: Share = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    weight_decay: NonNegative | Schedule = 0.0
    weight_lr_power: NonNegative = 2.0
    state_dtype: Static[DType] = None
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return _schedule_free(
            self,
            _Rectified(self.learning_rate, self.b2),
            ScaleByRms(self.b2, self.eps, eps_in_sqrt=False, bias_correction=True),
            AddDecayedWeights(self.weight_decay, self.weight_decay_mask),
        )


@rule
class _WarmedUp(Schedule):
    """A rate that rises linearly, and is there after so many steps: never 0, as in the code."""

    rate: NonNegative | Schedule
    warmup_steps: Steps

    def __call__(self, count: Any) -> jax.Array:
        share = (scalar(count) + 1) / jnp.maximum(scalar(self.warmup_steps), 1)
        return value_at(self.rate, count) * jnp.minimum(share, 1)


@rule
class _Rectified(Schedule):
    """A rate times RAdam's factor, which is 0 as long as that is not defined."""

    rate: NonNegative | Schedule
    b2: Decay

    def __call__(self, count: Any) -> jax.Array:
        rho, limit = effective_length(self.b2, safe_increment(jnp.asarray(count)))
        r_sq = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
        return value_at(self.rate, count) * jnp.where(rho > 4, safe_sqrt(r_sq), 0)


def _warmed_up(o: ScheduleFreeSGD | ScheduleFreeAdamW) -> Any:
    """The learning rate, with a warm-up if one is wanted."""
    rate, steps = o.learning_rate, o.warmup_steps
    return rate if steps is None else _WarmedUp(rate, steps)


def _schedule_free(
    o: ScheduleFreeSGD | ScheduleFreeAdamW | ScheduleFreeRAdam,
    rate: NonNegative | Schedule,
    *direction: Transform,
) -> Chain:
    """The schedule-free form of descent along a direction."""
    base = chain(*direction, ScaleByLearningRate(rate))
    return chain(ScheduleFree(base, rate, o.b1, o.weight_lr_power, o.state_dtype))
