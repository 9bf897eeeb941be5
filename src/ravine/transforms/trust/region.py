"""A trust region: steps as long as a model of the loss deserves, one evaluation each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.errors import check_params, check_value
from ravine.core.flat import dot, ravel, unravel, vector_dtype
from ravine.core.numerics import at, hidden, over, safe_increment, settled
from ravine.core.rule import rule
from ravine.core.types import Params, Positive, Standing, Transform, Updates
from ravine.transforms.trust.model import Model, Proposal

PATIENCE = 4
"""So many trials in a row may bring nothing, where rounding hides what they bring."""


class TrustRegionState(NamedTuple):
    """The last accepted point, the trial from it, and how far to trust the model; P parameters."""

    # Points accepted so far, int32; 0 before the first evaluation.
    count: jax.Array  # type: ignore[assignment]
    point: jax.Array  # (P,)
    grad: jax.Array  # (P,)
    value: jax.Array
    trial: Proposal
    radius: jax.Array
    least: jax.Array  # the lowest value so far
    lowest: jax.Array  # the least that the model has promised since then
    idle: jax.Array  # trials in a row that brought nothing, int32
    stalled: jax.Array  # whether there is nothing more to be had; bool
    model: Any


@rule
class TrustRegion(Transform):
    r"""Step to the minimum of a model of the loss, within the radius where it is trusted.

    .. math::
        x_{k+1} = \begin{cases} x_k + p_k & \text{if } \rho_k \ge 10^{-4} \\ x_k & \text{else}
        \end{cases}, \qquad
        \rho_k = \frac{f(x_k) - f(x_k + p_k)}{m_k(0) - m_k(p_k)}, \qquad
        p_k = \operatorname*{arg\,min}_{\|p\| \le \Delta_k} m_k(p).

    Each call of ``update`` is told the value and the gradient at one point, the trial
    :math:`x_k + p_k`, judges it, and returns the move to the next. ``eval_params`` is the
    point that was last accepted. After a bad trial (:math:`\rho \le 1/4`) the radius becomes a
    tenth to a half of the step, after a good one (:math:`\rho \ge 3/4`) twice the step. A model
    that is known by its products with vectors is asked only where the loss has just been: after
    a refused trial the next is a shorter step the same way. Where the value changes only in the
    second half of its digits, which rounding may hide, the slopes at both ends tell its fall:
    :math:`-p_k^\top (g_k + g_{k+1}) / 2`. If the step becomes too short to change a digit, or
    four such trials in a row lower neither the value nor what the model promises, the parameters
    return to the last accepted point, stay there, and ``stalled`` is true in the state. It must
    be the last part of a chain.

    Args:
        model: ``HessianModel()``, ``ResidualModel()`` or ``ResidualProductModel()``.
        radius: the first radius, greater than 0, relative to the length of the parameters; itself
            a length where they are zero.

    Raises:
        TypeError: if ``model`` is none.
        ValueError: at update, without the parameters or what the model needs.

    Reference: Moré, The Levenberg-Marquardt algorithm: implementation and theory, 1978,
    https://doi.org/10.1007/BFb0067700; Conn, Gould and Toint, Trust-region methods, 2000,
    https://doi.org/10.1137/1.9780898719857; Nocedal and Yuan, Combining trust region and line
    search techniques, 1998, https://doi.org/10.1007/978-1-4613-3335-7_7.
    """

    model: Model
    radius: Positive = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.model, Model):
            raise TypeError(
                f"TrustRegion: model must be a model such as HessianModel(), got {self.model!r}."
            )

    def init(self, params: Params) -> TrustRegionState:
        x, zero = ravel(params), jnp.zeros((), vector_dtype(params))
        # As many buffers as leaves: donation takes no buffer twice.
        return tree.copy(
            TrustRegionState(
                count=jnp.zeros((), jnp.int32),
                point=x,
                grad=jnp.zeros_like(x),
                value=zero,
                trial=Proposal(jnp.zeros_like(x), zero, zero, zero, jnp.zeros((), bool)),
                radius=zero,
                least=zero,
                lowest=zero,
                idle=jnp.zeros((), jnp.int32),
                stalled=jnp.zeros((), bool),
                model=self.model.init(x),
            )
        )

    def update(
        self,
        updates: Updates,
        state: TrustRegionState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, TrustRegionState]:
        check_params("TrustRegion", params, updates)
        dtype = state.point.dtype
        x, g = ravel(params, dtype), ravel(updates, dtype)
        if not x.size:
            return updates, state
        f = check_value("TrustRegion", extra).astype(dtype)
        begun, last = state.count > 0, state.trial
        # rho
        finite = jnp.isfinite(f) & jnp.all(jnp.isfinite(g))
        fall = jnp.where(finite, state.value - f, -jnp.inf)
        change = jnp.maximum(jnp.abs(fall), last.predicted)
        unsure = begun & (change <= hidden(state.value))
        fall = jnp.where(unsure, -dot(state.grad + g, last.step) / 2, fall)
        rho = over(fall, last.predicted)
        accept = finite & (~begun | (rho >= 1e-4)) & ~state.stalled
        model, sound = self.model.look(state.model, x, accept, params, extra)
        accept = settled(accept & sound)
        rho = jnp.where(sound, rho, -jnp.inf)
        fall = jnp.where(sound, fall, -jnp.inf)

        length = self.model.length(model, x)
        first = at(self.radius, x) * jnp.where(length > 0, length, 1)
        # The minimum of the parabola through both values and the slope
        share = jnp.where(fall >= 0, 0.5, last.slope / (2 * (last.slope + fall)))
        # How long a step may be is a decision, and has no derivative.
        share = jax.lax.stop_gradient(jnp.clip(share, 0.1, 0.5))
        shorter = share * jnp.minimum(state.radius, 10 * last.length)
        longer = jnp.maximum(state.radius, 2 * last.length)
        radius = jnp.where(rho >= 0.75, longer, state.radius)
        radius = jnp.where(rho <= 0.25, shorter, radius)
        radius = jax.lax.stop_gradient(jnp.where(begun, radius, first))

        point, grad = jnp.where(accept, x, state.point), jnp.where(accept, g, state.grad)
        value = jnp.where(accept, f, state.value)
        if self.model.keeps:
            trial = self.model.propose(model, x, grad, radius, params, extra)
        else:
            # At x, so that what the loss has just worked out there is not worked out again.
            trial = self.model.propose(model, x, jnp.where(accept, g, 0), radius, params, extra)
            trial = tree.where(accept, trial, last.shortened(share))
            radius = jnp.where(accept, radius, jax.lax.stop_gradient(trial.length))
        trial = tree.where(jnp.all(jnp.isfinite(trial.step)), trial, _nowhere(trial))
        # Nor is there progress where neither the value nor what is promised is the lowest yet.
        lower = accept & (~unsure | (f < state.least))
        less = accept & (trial.predicted < 0.9 * state.lowest)
        least = jnp.where(lower, f, state.least)
        lowest = jnp.where(lower | less, trial.predicted, state.lowest)
        idle = jnp.where(lower | less, 0, state.idle + unsure.astype(jnp.int32))
        still = ~jnp.any(point + trial.step != point)
        stalled = state.stalled | still | (idle >= PATIENCE) | ~(begun | accept)
        target = jnp.where(stalled, point, point + trial.step)
        state = TrustRegionState(
            count=jnp.where(accept, safe_increment(state.count), state.count),
            point=point,
            grad=grad,
            value=value,
            trial=trial,
            radius=radius,
            least=least,
            lowest=lowest,
            idle=idle,
            stalled=stalled,
            model=model,
        )
        return unravel(target - x, updates), state

    def eval_params(self, state: TrustRegionState, params: Params) -> Params:
        return tree.where(state.count > 0, unravel(state.point, params), params)

    def standing(self, state: TrustRegionState, here: Standing) -> Standing:
        begun, dtype = state.count > 0, state.point.dtype
        x = jnp.where(begun, state.point, ravel(here.params, dtype))
        g = jnp.where(begun, state.grad, ravel(here.grads, dtype))
        step = jnp.where(state.stalled, 0, state.trial.step)
        return Standing(
            params=unravel(x, here.params),
            value=jnp.where(begun, state.value.astype(here.value.dtype), here.value),
            grads=unravel(g, here.grads),
            updates=unravel(step, here.updates),
            stalled=here.stalled | state.stalled,
        )


def _nowhere(like: Proposal) -> Proposal:
    """No step: what a model that is no number proposes."""
    return tree.zeros_like(like)
