"""Small steps of parameters in half precision: kept, drawn by lot, or carried over.

Next to a bfloat16 parameter of 1 a step of 0.001 is lost in rounding, and so are all steps
after it. Each transform here hands the gradients to its inner optimizer in float32, and
returns the update that ``apply_updates`` turns into the parameter that it wants. That update
is exact while it is no larger than the parameter; what a larger one loses in the dtype of the
gradients is made up for at the next step. So these must be last in a chain.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.errors import check_params
from ravine.core.numerics import as_key, by_part, real_dtype, safe_increment, widen
from ravine.core.rule import rule
from ravine.core.types import Params, Seed, State, Transform, Updates
from ravine.transforms.draw import first_key
from ravine.transforms.view import extra_view
from ravine.transforms.wrapper import Wrapper


class MasterWeightsState(NamedTuple):
    """The parameters in float32 or finer, and the inner state, which is that of the master."""

    master: Params
    inner_state: State


@rule
class MasterWeights(Wrapper):
    r"""Optimize a float32 copy of the parameters, which themselves are that copy, rounded.

    .. math::
        \Theta_t = \Theta_{t-1} + \mathrm{inner}(g_t), \qquad
        \theta_t = \mathrm{round}(\Theta_t).

    The inner state is float32 too. Parameters that are float32 or finer gain nothing.

    Args:
        inner: the optimizer.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Micikevicius et al., Mixed precision training, 2017,
    https://arxiv.org/abs/1710.03740.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.MasterWeights(rv.SGD(1e-3))
    >>> params = jnp.ones(1, jnp.bfloat16)
    >>> state = optimizer.init(params)
    >>> for _ in range(10):
    ...     updates, state = optimizer.update(jnp.ones_like(params), state, params)
    ...     params = rv.apply_updates(params, updates)
    >>> print(params, state.master)
    [0.988281] [0.99]
    """

    inner: Transform

    def init(self, params: Params) -> MasterWeightsState:
        master = tree.copy(tree.widened(params))
        return MasterWeightsState(master, self.inner.init(master))

    def update(
        self,
        updates: Updates,
        state: MasterWeightsState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, MasterWeightsState]:
        check_params("MasterWeights", params, updates)
        u, inner = _update_fine(self.inner, updates, state.inner_state, params, state.master, extra)
        master = apply_updates(state.master, u)
        rounded = tree.cast_like(master, params)
        return _step(params, rounded, updates), MasterWeightsState(master, inner)


class StochasticRoundingState(NamedTuple):
    """The step count (int32), the random key from which the next bits come, and the inner state."""

    count: jax.Array  # type: ignore[assignment]
    rng_key: jax.Array
    inner_state: State


@rule
class StochasticRounding(Wrapper):
    r"""Round the new parameters up or down by lot, so that they are right on average.

    .. math::
        \theta_t = \begin{cases}
            \lceil x \rceil & \text{with probability }
                (x - \lfloor x \rfloor) / (\lceil x \rceil - \lfloor x \rfloor) \\
            \lfloor x \rfloor & \text{otherwise}
        \end{cases}, \qquad x = \theta_{t-1} + \mathrm{inner}(g_t),

    with the neighbours of :math:`x` in the dtype of the parameters. It costs no memory.
    Parameters that are float32 or finer are rounded to nearest.

    Args:
        inner: the optimizer.
        key: an integer seed or a JAX random key. An extra argument ``key`` at update takes
            its place for that step, which a sweep passes for each lane.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Zamirai et al., Revisiting bfloat16 training, 2020,
    https://arxiv.org/abs/2010.06192.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.StochasticRounding(rv.SGD(1e-3), key=0)
    >>> params = jnp.ones(10_000, jnp.bfloat16)
    >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
    >>> new = rv.apply_updates(params, updates)
    >>> print(new.min(), new.max(), new.mean(dtype=float).round(4))
    0.996094 1 0.999
    """

    inner: Transform
    key: Seed = 0

    def init(self, params: Params) -> StochasticRoundingState:
        zero = jnp.zeros((), jnp.int32)
        return StochasticRoundingState(zero, first_key(self.key), self.inner.init(params))

    def update(
        self,
        updates: Updates,
        state: StochasticRoundingState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, StochasticRoundingState]:
        check_params("StochasticRounding", params, updates)
        count = safe_increment(state.count)
        key = state.rng_key if extra.get("key") is None else as_key(extra["key"])
        # Folded twice, so that noise drawn from the same key has nothing to do with these bits.
        key = jax.random.fold_in(jax.random.fold_in(key, count), 1)
        u, inner = _update_fine(self.inner, updates, state.inner_state, params, params, extra)
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(key, max(len(leaves), 1))
        new = [
            _drawn(k, jnp.add(*widen(p, x)), jnp.result_type(p))
            for k, p, x in zip(keys, leaves, jax.tree.leaves(u), strict=False)
        ]
        updates = _step(params, jax.tree.unflatten(structure, new), updates)
        return updates, StochasticRoundingState(count, state.rng_key, inner)


class KahanState(NamedTuple):
    """What rounding has cost the parameters so far, in their dtype, and the inner state."""

    compensation: Params
    inner_state: State


@rule
class Kahan(Wrapper):
    r"""Remember what rounding takes from each step, and add it to the next one.

    .. math::
        \theta_t = \mathrm{round}(\theta_{t-1} + y_t), \qquad
        y_t = \mathrm{inner}(g_t) + c_{t-1}, \quad c_t = y_t - (\theta_t - \theta_{t-1}).

    The compensation :math:`c` has the dtype of the parameters: with it two bfloat16 numbers
    stand for one of twice the digits, at two thirds of the memory of master weights. It is of
    use to float32 parameters as well.

    Args:
        inner: the optimizer.

    Raises:
        ValueError: at update, if the parameters are not given.

    Reference: Kahan, Further remarks on reducing truncation errors, 1965,
    https://doi.org/10.1145/363707.363723; Zamirai et al., Revisiting bfloat16 training, 2020,
    https://arxiv.org/abs/2010.06192.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.Kahan(rv.SGD(1e-3))
    >>> params = jnp.ones(1, jnp.bfloat16)
    >>> state = optimizer.init(params)
    >>> for _ in range(10):
    ...     updates, state = optimizer.update(jnp.ones_like(params), state, params)
    ...     params = rv.apply_updates(params, updates)
    >>> print(params, params.astype(float) + state.compensation.astype(float))
    [0.988281] [0.9900055]
    """

    inner: Transform

    def init(self, params: Params) -> KahanState:
        return KahanState(tree.zeros_like(params), self.inner.init(params))

    def update(
        self, updates: Updates, state: KahanState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, KahanState]:
        check_params("Kahan", params, updates)
        u, inner = _update_fine(self.inner, updates, state.inner_state, params, params, extra)
        # y = u + c;  theta = round(theta + y);  c = y - (theta - theta_old)
        y = tree.add(u, state.compensation)
        step = _step(params, apply_updates(params, y), updates)
        # As apply_updates will do it, with what the dtype of the gradients leaves of the step.
        done = jax.tree.map(_difference, apply_updates(params, step), params)
        return step, KahanState(tree.cast_like(tree.sub(y, done), params), inner)


def _update_fine(
    inner: Transform, updates: Updates, state: State, params: Any, at: Any, extra: dict[str, Any]
) -> tuple[Updates, State]:
    """The updates that ``inner`` makes at ``at`` of the gradients in float32 or finer."""

    def back(x: Any, like: Any) -> Any:
        return tree.cast_like(x, like)

    extra = extra_view(tree.widened, back, updates, params, extra)
    u, after = inner.update(tree.widened(updates), state, at, **extra)
    # Optax's moments would take the dtype of the gradients.
    return tree.widened(u), tree.cast_like(after, state)


def _difference(a: Any, b: Any) -> jax.Array:
    a, b = widen(a, b)
    return a - b


def _step(old: Params, new: Params, updates: Updates) -> Updates:
    """The updates that lead from ``old`` to ``new``, in the dtypes of ``updates``."""
    return tree.cast_like(jax.tree.map(_difference, new, old), updates)


def _drawn(key: jax.Array, x: jax.Array, dtype: Any) -> jax.Array:
    """``x`` rounded to one of its two neighbours in ``dtype``, by lot."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        keys = iter(jax.random.split(key))
        part = real_dtype(dtype)
        return by_part(lambda y: _drawn(next(keys), y, part), x).astype(dtype)
    near = x.astype(dtype)
    error = x - near.astype(x.dtype)
    # No derivative is defined for a neighbour, nor wanted.
    still = jax.lax.stop_gradient(near)
    end = jnp.where(error > 0, jnp.inf, -jnp.inf).astype(dtype)
    other = jnp.nextafter(still, end)
    gap = jnp.abs(other.astype(x.dtype) - still.astype(x.dtype))
    lot = jax.random.uniform(key, x.shape, x.dtype)
    return jnp.where(lot * gap < jnp.abs(error), other, near)
