"""Sharpness-aware minimization: the gradient of a worse point near by."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.errors import check_params
from ravine.core.numerics import at, fine, over, times
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, State, Transform, Updates
from ravine.transforms.wrapper import Wrapper


class SAMState(NamedTuple):
    """The inner state."""

    inner_state: State


@rule
class SAM(Wrapper):
    r"""Sharpness-aware minimization: step with the gradient at the worst point near by.

    .. math::
        \epsilon_t = \rho\, g_t / \|g_t\|, \qquad
        u_t = \mathrm{inner}\bigl(\nabla f(\theta_{t-1} + \epsilon_t)\bigr), \quad
        g_t = \nabla f(\theta_{t-1}).

    It takes a second gradient at each update, and needs the extra argument ``value_fn``, the
    loss as a function of the parameters; ``minimize`` and ``sweep`` pass it. The norm is over
    all leaves.

    Args:
        inner: the optimizer that steps.
        rho: radius :math:`\rho \ge 0` of the neighbourhood.

    Raises:
        ValueError: at update, without the parameters or ``value_fn``.

    Reference: Foret et al., Sharpness-aware minimization for efficiently improving
    generalization, 2020, https://arxiv.org/abs/2010.01412.

    >>> import jax, jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.SAM(rv.SGD(0.5), rho=1.0)
    >>> loss = lambda p: jnp.sum(p**2)
    >>> params = jnp.array([3.0, 4.0])
    >>> state, g = optimizer.init(params), jax.grad(loss)(params)
    >>> optimizer.update(g, state, params, value_fn=loss)[0]
    Array([-3.6, -4.8], dtype=float32)
    """

    inner: Transform
    rho: NonNegative = 0.05

    def init(self, params: Params) -> SAMState:
        return SAMState(self.inner.init(params))

    def update(
        self, updates: Updates, state: SAMState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, SAMState]:
        # e = rho g / |g|
        norm = tree.norm(updates)
        e = jax.tree.map(lambda g: times(self.rho, over(fine(g), norm)), updates)
        u, inner = _update_at(self, e, updates, state.inner_state, params, extra)
        return u, SAMState(inner)


@rule
class ASAM(Wrapper):
    r"""Adaptive sharpness-aware minimization: a neighbourhood that scales with the weights.

    .. math::
        T = |\theta_{t-1}| + \eta, \qquad
        \epsilon_t = \rho\, T^2 g_t / \|T g_t\|, \qquad
        u_t = \mathrm{inner}\bigl(\nabla f(\theta_{t-1} + \epsilon_t)\bigr),

    element by element, so that scaling the weights of one layer up and those of the next down
    changes nothing. It takes a second gradient at each update, and needs the extra argument
    ``value_fn``, the loss as a function of the parameters. The authors' code lets :math:`T = 1`
    for biases; here all leaves are alike.

    Args:
        inner: the optimizer that steps.
        rho: radius :math:`\rho \ge 0` of the neighbourhood.
        eta: :math:`\eta \ge 0`, which keeps weights of zero from standing still.

    Raises:
        ValueError: at update, without the parameters or ``value_fn``.

    Reference: Kwon et al., ASAM: adaptive sharpness-aware minimization for scale-invariant
    learning of deep neural networks, 2021, https://arxiv.org/abs/2102.11600.

    >>> import jax, jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.ASAM(rv.SGD(0.5), rho=1.0, eta=0.0)
    >>> loss = lambda p: jnp.sum(p**2)
    >>> params = jnp.array([1.0])
    >>> state, g = optimizer.init(params), jax.grad(loss)(params)
    >>> optimizer.update(g, state, params, value_fn=loss)[0]
    Array([-2.], dtype=float32)
    """

    inner: Transform
    rho: NonNegative = 0.5
    eta: NonNegative = 0.01

    def init(self, params: Params) -> SAMState:
        return SAMState(self.inner.init(params))

    def update(
        self, updates: Updates, state: SAMState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, SAMState]:
        check_params("ASAM", params, updates)

        # T = |theta| + eta;  e = rho T (T g) / |T g|
        t = jax.tree.map(lambda p: jnp.abs(fine(p)), params)
        t = jax.tree.map(lambda x: x + at(self.eta, x), t)
        tg = jax.tree.map(lambda t, g: times(t, fine(g)), t, updates)
        norm = tree.norm(tg)
        e = jax.tree.map(lambda t, x: times(self.rho, times(t, over(x, norm))), t, tg)
        u, inner = _update_at(self, e, updates, state.inner_state, params, extra)
        return u, SAMState(inner)


def _update_at(
    owner: SAM | ASAM,
    e: Updates,
    updates: Updates,
    state: State,
    params: Params | None,
    extra: dict[str, Any],
) -> tuple[Updates, State]:
    """What the inner optimizer makes of the gradient at ``params + e``."""
    name = type(owner).__name__
    check_params(name, params, updates)
    value_fn = extra.get("value_fn")
    if value_fn is None:
        raise ValueError(
            f"{name} needs the loss as a function of the parameters: call "
            "update(gradients, state, params, value_fn=loss)."
        )
    # For complex parameters JAX gives the conjugate of the direction of steepest ascent.
    g = jax.tree.map(jnp.conj, jax.grad(value_fn)(apply_updates(params, e)))
    g = tree.cast_like(g, updates)
    return owner.inner.update(g, state, params, **{**extra, "grad": g})
