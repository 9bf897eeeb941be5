"""Adam whose learning rate is an estimate of the distance to the solution."""

from typing import Any

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Positive, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.dadapt import ScaleByDadaptAdam
from ravine.transforms.prodigy import ScaleByProdigy


@rule
class Prodigy(Optimizer):
    r"""AdamW that finds its learning rate: D-Adaptation with faster growth.

    .. math::
        \eta_t &= d_t \gamma_t \sqrt{1-\beta_2^t} / (1-\beta_1^t), \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, d_t g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\, d_t^2 |g_t|^2, \\
        r_t &= \beta_3 r_{t-1}
            + \tfrac{d_t}{d_0} \eta_t \langle g_t, \theta_0 - \theta_{t-1} \rangle, \qquad
        s_t = \beta_3 s_{t-1} + \tfrac{d_t}{d_0} \eta_t g_t, \\
        d_{t+1} &= \max(d_t,\ c\, r_t / \|s_t\|_1), \qquad
        \theta_t = \theta_{t-1} - \eta_t \Bigl( \frac{m_t}{\sqrt{v_t} + d_{t+1} \epsilon}
            + \lambda \theta_{t-1} \Bigr).

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule whose largest value is 1.
        betas: the decays :math:`\beta_1, \beta_2` of the moments, each in [0, 1).
        beta3: decay :math:`\beta_3` of the estimate, in [0, 1); :math:`\sqrt{\beta_2}` by
            default.
        eps: :math:`\epsilon \ge 0`.
        estim_lr0: :math:`d_0 > 0`, the first estimate, which must be too small.
        estim_lr_coef: :math:`c > 0`, by which estimates are multiplied.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        safeguard_warmup: leave :math:`\gamma_t` out of :math:`s_t`, for long warm-ups.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Mishchenko and Defazio, Prodigy: an expeditiously adaptive parameter-free
    learner, 2023, https://arxiv.org/abs/2306.06101.

    >>> import jax.numpy as jnp
    >>> optimizer = Prodigy(estim_lr0=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    betas: tuple[Any, Any] = (0.9, 0.999)
    beta3: Decay | None = None
    eps: NonNegative = 1e-8
    estim_lr0: Positive = 1e-6
    estim_lr_coef: Positive = 1.0
    weight_decay: NonNegative | Schedule = 0.0
    safeguard_warmup: Static[bool] = False
    weight_decay_mask: Static[Mask] = None

    def __post_init__(self) -> None:
        _check_betas(self)

    def as_chain(self) -> Chain:
        return chain(
            ScaleByProdigy(
                self.learning_rate,
                *self.betas,
                self.beta3,
                self.eps,
                self.estim_lr0,
                self.estim_lr_coef,
                self.weight_decay,
                self.weight_decay_mask,
                self.safeguard_warmup,
            )
        )


@rule
class DAdaptAdamW(Optimizer):
    r"""AdamW that finds its learning rate by D-Adaptation.

    .. math::
        \eta_t &= d_t \gamma_t \sqrt{1-\beta_2^t} / (1-\beta_1^t), \qquad
        \beta = \sqrt{\beta_2}, \\
        r_t &= \beta r_{t-1} + (1-\beta)\, \eta_t
            \Bigl\langle g_t, \frac{s_{t-1}}{\sqrt{v_{t-1}} + \epsilon} \Bigr\rangle, \qquad
        s_t = \beta s_{t-1} + (1-\beta)\, \eta_t g_t, \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, \eta_t g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |g_t|^2, \\
        d_{t+1} &= \max\Bigl(d_t,\ \frac{r_t}{(1-\beta) \|s_t\|_1}\Bigr), \qquad
        \theta_t = \theta_{t-1} - \frac{m_t}{\sqrt{v_t} + \epsilon}
            - \eta_t \lambda \theta_{t-1}.

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule whose largest value is 1.
        betas: the decays :math:`\beta_1, \beta_2` of the moments, each in [0, 1).
        eps: :math:`\epsilon \ge 0`.
        estim_lr0: :math:`d_0 > 0`, the first estimate, which must be too small.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733.

    >>> import jax.numpy as jnp
    >>> optimizer = DAdaptAdamW(estim_lr0=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    betas: tuple[Any, Any] = (0.9, 0.999)
    eps: NonNegative = 1e-8
    estim_lr0: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def __post_init__(self) -> None:
        _check_betas(self)

    def as_chain(self) -> Chain:
        return chain(
            ScaleByDadaptAdam(
                self.learning_rate,
                *self.betas,
                self.eps,
                self.estim_lr0,
                self.weight_decay,
                self.weight_decay_mask,
            )
        )


@rule
class _Betas:
    """Two decays, checked."""

    b1: Decay
    b2: Decay


def _check_betas(owner: Prodigy | DAdaptAdamW) -> None:
    """Keep the field ``betas`` as a pair of decays, or say what is wrong with it."""
    try:
        pair = _Betas(*owner.betas)
    except (TypeError, ValueError) as error:
        words = str(error).removeprefix("_Betas: ")
        raise type(error)(
            f"{type(owner).__name__}: betas must be a pair of decays such as (0.9, 0.999), got "
            f"{owner.betas!r}: {words}"
        ) from None
    object.__setattr__(owner, "betas", (pair.b1, pair.b2))
