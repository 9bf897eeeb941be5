"""D-Adaptation of gradient descent, Lion and Adan: that of Adam is in ``prodigy``."""

from ravine.core.paths import Mask
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Positive, Schedule, Static
from ravine.optimizers.base import Optimizer
from ravine.transforms.chain import Chain, chain
from ravine.transforms.dadapt import ScaleByDadaptLion
from ravine.transforms.dadapt_adan import ScaleByDadaptAdan
from ravine.transforms.dadapt_sgd import ScaleByDadaptSgd
from ravine.transforms.decay import AddDecayedWeights


@rule
class DAdaptSGD(Optimizer):
    r"""Gradient descent that finds its learning rate by D-Adaptation.

    .. math::
        \eta_t &= d_t \gamma_t / \|g_1\|, \qquad
        r_t = r_{t-1} + \eta_t \langle g_t, s_{t-1} \rangle, \qquad
        s_t = s_{t-1} + \eta_t g_t, \\
        d_{t+1} &= \max(d_t,\ 2 r_t / \|s_t\|), \qquad
        \theta_t = \mu \theta_{t-1} + (1-\mu) (\theta_0 - s_t).

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule whose largest value is 1.
        momentum: :math:`\mu` in [0, 1), which averages the steps.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule, of which
            :math:`\lambda \theta` is added to the gradients; ``None`` for none.
        estim_lr0: :math:`d_0 > 0`, the first estimate, which must be too small.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733.

    >>> import jax.numpy as jnp
    >>> optimizer = DAdaptSGD(momentum=0.0, estim_lr0=0.5)
    >>> params = jnp.array([3.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.3,  0.4], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    momentum: Decay = 0.9
    weight_decay: NonNegative | Schedule | None = None
    estim_lr0: Positive = 1e-6
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        step = ScaleByDadaptSgd(self.learning_rate, self.momentum, self.estim_lr0)
        if self.weight_decay is None:
            return chain(step)
        return chain(AddDecayedWeights(self.weight_decay, self.weight_decay_mask), step)


@rule
class DAdaptLion(Optimizer):
    r"""Lion that finds its learning rate by D-Adaptation.

    .. math::
        \eta_t &= d_t \gamma_t, \qquad \beta = \sqrt{\beta_2}, \qquad
        c_t = \operatorname{sign}(\beta_1 m_{t-1} + (1-\beta_1) g_t), \\
        m_t &= \beta_2 m_{t-1} + (1-\beta_2)\, \eta_t g_t, \\
        r_t &= \beta r_{t-1} + (1-\beta)\, \eta_t \langle c_t, s_{t-1} \rangle, \qquad
        s_t = \beta s_{t-1} + (1-\beta)\, \eta_t c_t, \\
        d_{t+1} &= \max\Bigl(d_t,\ \frac{r_t}{(1-\beta) \|s_t\|_1}\Bigr), \qquad
        \theta_t = \theta_{t-1} - \eta_t (c_t + \lambda \theta_{t-1}).

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule whose largest value is 1.
        b1: :math:`\beta_1`, the share of the moment in the sign, in [0, 1).
        b2: decay :math:`\beta_2` of the moment, in [0, 1).
        estim_lr0: :math:`d_0 > 0`, the first estimate, which must be too small.
        weight_decay: :math:`\lambda \ge 0`, a number or a schedule.
        weight_decay_mask: which leaves decay: a glob over paths or a tuple of globs, a
            function from the parameters to a tree of bools, or such a tree; all by default.

    Raises:
        ValueError: if a number lies outside its range; at update, without the parameters, or
            if the mask does not fit them.
        TypeError: if a field is of the wrong kind.

    Reference: Defazio and Mishchenko, Learning-rate-free learning by D-Adaptation, 2023,
    https://arxiv.org/abs/2301.07733; the form for Lion is of the authors' code.

    >>> import jax.numpy as jnp
    >>> optimizer = DAdaptLion(estim_lr0=0.5)
    >>> params = jnp.array([1.0, -2.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0]
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    b1: Decay = 0.9
    b2: Decay = 0.99
    estim_lr0: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.0
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByDadaptLion(
                self.learning_rate,
                self.b1,
                self.b2,
                self.estim_lr0,
                self.weight_decay,
                self.weight_decay_mask,
            )
        )


@rule
class DAdaptAdan(Optimizer):
    r"""Adan that finds its learning rate by D-Adaptation.

    .. math::
        \eta_t &= d_t \gamma_t, \qquad \Delta_t = g_t - g_{t-1}, \qquad \Delta_1 = 0, \\
        m_t &= \beta_1 m_{t-1} + (1-\beta_1)\, \eta_t g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\, \eta_t \Delta_t, \\
        n_t &= \beta_3 n_{t-1} + (1-\beta_3) |g_t + \beta_2 \Delta_t|^2, \qquad
        D_t = \sqrt{n_t} + \epsilon, \\
        s_t &= \beta_3 s_{t-1} + (1-\beta_3)\, \eta_t g_t, \qquad
        q_t = \beta_3 q_{t-1} + (1-\beta_3)\, \eta_t^2 \langle g_t, g_t / D_t \rangle, \\
        d_{t+1} &= \max\Bigl(d_t,\ \frac{\langle s_t, s_t / D_t \rangle / (1-\beta_3) - q_t}
            {\|s_t\|_1}\Bigr), \qquad
        \theta_t = \frac{\theta_{t-1} - (m_t + \beta_2 v_t) / D_t}{1 + \eta_t \lambda}.

    Args:
        learning_rate: :math:`\gamma \ge 0`, a number or a schedule whose largest value is 1.
        b1: decay :math:`\beta_1` of the gradients, in [0, 1).
        b2: decay :math:`\beta_2` of their differences, in [0, 1).
        b3: decay :math:`\beta_3` of the squares and of the estimate, in [0, 1).
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
    https://arxiv.org/abs/2301.07733, whose code has the form for Adan; Xie et al., Adan:
    adaptive Nesterov momentum algorithm, 2022, https://arxiv.org/abs/2208.06677.

    >>> import jax.numpy as jnp
    >>> optimizer = DAdaptAdan(estim_lr0=0.5, b1=0.5, b3=0.75, weight_decay=0.0)
    >>> params = jnp.array([3.0, -4.0])
    >>> optimizer.update(params, optimizer.init(params), params)[0].round(4)
    Array([-0.5,  0.5], dtype=float32)
    """

    learning_rate: NonNegative | Schedule = 1.0
    b1: Decay = 0.98
    b2: Decay = 0.92
    b3: Decay = 0.99
    eps: NonNegative = 1e-8
    estim_lr0: Positive = 1e-6
    weight_decay: NonNegative | Schedule = 0.02
    weight_decay_mask: Static[Mask] = None

    def as_chain(self) -> Chain:
        return chain(
            ScaleByDadaptAdan(
                self.learning_rate,
                self.b1,
                self.b2,
                self.b3,
                self.eps,
                self.estim_lr0,
                self.weight_decay,
                self.weight_decay_mask,
            )
        )
