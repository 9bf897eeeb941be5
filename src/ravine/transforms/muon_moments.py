"""Second moments of orthogonalized momentum: by element, or by neuron."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    at,
    bias_correction,
    compute_dtype,
    fine,
    lerp,
    over,
    real_dtype,
    safe_increment,
    safe_sqrt,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.matrices import DimensionNumbers, matrices_of, row_axes


class ScaleByAdaMuonState(NamedTuple):
    """The step count (int32), and the second moment of every element."""

    count: jax.Array  # type: ignore[assignment]
    nu: Updates


@rule
class ScaleByAdaMuon(Transform):
    r"""Divide by the root second moment of every element, and give each leaf one length.

    .. math::
        v_t = \beta_2 v_{t-1} + (1-\beta_2) |o_t|^2, \qquad
        d_t = o_t / (\sqrt{\hat v_t} + \epsilon), \qquad
        u_t = r\, d_t / \mathrm{rms}(d_t),

    where :math:`o` is the orthogonalized sign of the momentum, from ``ScaleByMuon``.

    Args:
        b2: decay :math:`\beta_2` in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        consistent_rms: root mean square :math:`r \ge 0` of every leaf's step.

    Reference: Si, Zhang and Shen, AdaMuon: adaptive Muon optimizer, 2025,
    https://arxiv.org/abs/2507.11005.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByAdaMuon()
    >>> o = jnp.array([0.5, -2.0])
    >>> transform.update(o, transform.init(o))[0]
    Array([ 0.2, -0.2], dtype=float32)
    """

    b2: Decay = 0.95
    eps: NonNegative = 1e-8
    consistent_rms: NonNegative = 0.2

    def init(self, params: Params) -> ScaleByAdaMuonState:
        return ScaleByAdaMuonState(jnp.zeros((), jnp.int32), tree.accumulators(params))

    def update(
        self,
        updates: Updates,
        state: ScaleByAdaMuonState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdaMuonState]:
        t = safe_increment(state.count)
        # v = b2 v + (1 - b2) |o|^2
        nu = tree.second_moment(self.b2, state.nu, updates)
        c = bias_correction(self.b2, t)

        def leaf(o: Any, v: jax.Array) -> jax.Array:
            # d = o / (sqrt(v^) + eps);  u = r d / rms(d)
            d = over(fine(o), safe_sqrt(over(v, c)) + at(self.eps, v))
            rms = tree.norm(d) / max(d.size, 1) ** 0.5
            return times(self.consistent_rms, over(d, rms)).astype(jnp.result_type(o))

        u = jax.tree.map(leaf, updates, nu)
        return u, ScaleByAdaMuonState(t, tree.cast_like(nu, state.nu))


class ScaleByNorMuonState(NamedTuple):
    """The second moment of every neuron: like a leaf, with the axes of its rows of length 1."""

    nu: Updates


@rule
class ScaleByNorMuon(Transform):
    r"""Divide by the root second moment of every neuron, and keep each leaf's length.

    .. math::
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\, \mathrm{mean}_\text{in} |o_t|^2, \qquad
        d_t = o_t / (\sqrt{v_t} + \epsilon), \qquad
        u_t = \|o_t\|\, d_t / \|d_t\|,

    where :math:`o` is the orthogonalized momentum, from ``ScaleByMuon``, and the mean is over
    what comes into a neuron, an output of the matrix.

    Args:
        b2: decay :math:`\beta_2` in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        weight_dimension_numbers: which axes make a matrix, as in ``ScaleByMuon``.

    Reference: Li et al., NorMuon: making Muon more efficient and scalable, 2025,
    https://arxiv.org/abs/2510.05491.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByNorMuon()
    >>> o = jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> transform.update(o, transform.init(o))[0].round(3)
    Array([[3.536, 0.   ],
           [0.   , 3.536]], dtype=float32)
    """

    b2: Decay = 0.95
    eps: NonNegative = 1e-10
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def init(self, params: Params) -> ScaleByNorMuonState:
        def slot(axes: tuple[int, ...], p: Any) -> jax.Array:
            shape = [1 if i in axes else n for i, n in enumerate(jnp.shape(p))]
            return jnp.zeros(shape, real_dtype(compute_dtype(p)))

        return ScaleByNorMuonState(self._map(slot, params))

    def update(
        self,
        updates: Updates,
        state: ScaleByNorMuonState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByNorMuonState]:
        def second(axes: tuple[int, ...], o: Any, v: jax.Array) -> jax.Array:
            # v = b2 v + (1 - b2) mean |o|^2
            squares = abs_sq(fine(o))
            count = max(squares.size // max(v.size, 1), 1)
            mean = jnp.sum(squares, axis=axes, keepdims=True) / count
            return lerp(self.b2, v, mean.astype(v.dtype))

        def leaf(o: Any, v: jax.Array) -> jax.Array:
            # d = o / (sqrt(v) + eps);  u = |o| d / |d|
            wide = fine(o)
            root = jnp.broadcast_to(safe_sqrt(v) + at(self.eps, v), wide.shape)
            d = over(wide, root)
            return times(over(tree.norm(wide), tree.norm(d)), d).astype(jnp.result_type(o))

        nu = self._map(second, updates, state.nu)
        return jax.tree.map(leaf, updates, nu), ScaleByNorMuonState(nu)

    def _map(self, f: Any, updates: Updates, *rest: Updates) -> Updates:
        """``f(axes of the rows, leaf, ...)`` of every leaf."""
        dims = matrices_of("ScaleByNorMuon", self.weight_dimension_numbers, updates)
        leaves, structure = jax.tree.flatten(updates)
        columns = [jax.tree.leaves(x) for x in rest]
        axes = [row_axes(d, jnp.ndim(x)) for d, x in zip(dims, leaves, strict=True)]
        new = [f(*row) for row in zip(axes, leaves, *columns, strict=True)]
        return jax.tree.unflatten(structure, new)
