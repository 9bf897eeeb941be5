"""How a state is stored between steps: in another dtype by name, or in eight bits."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core import tree
from ravine.core.paths import path_name
from ravine.core.rule import rule
from ravine.core.types import (
    Canonical,
    DType,
    Params,
    Standing,
    State,
    Static,
    Transform,
    Updates,
    as_dtype,
)


def _as_pairs(dtypes: Any) -> tuple[tuple[str, Any], ...]:
    """A dict from names to dtypes, made hashable."""
    pairs = dtypes.items() if isinstance(dtypes, Mapping) else dtypes
    return tuple((str(name), as_dtype(dtype)) for name, dtype in pairs)


@rule
class CastState(Transform):
    """Store fields of the inner state in dtypes of one's own choice, each by its name.

    The inner transform computes as finely as ever, because every transform here computes in
    float32 or finer and rounds to the dtype of the slot at the end. Beware of second
    moments in half precision: a mean with decay 0.999 does not move there.

    Args:
        inner: the transform or optimizer.
        dtypes: a dict from names of fields, wherever in the state they are, to dtypes:
            ``{"mu": "bfloat16"}``. Only real numbers are cast.

    Raises:
        ValueError: at init, if there is no field of a name.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.CastState(rv.Adam(1e-3), {"mu": "bfloat16"})
    >>> optimizer.init(jnp.ones(2)).scale_by_adam.mu
    Array([0, 0], dtype=bfloat16)
    """

    inner: Transform
    dtypes: Static[Annotated[Any, Canonical(_as_pairs)]]

    def init(self, params: Params) -> State:
        state = self.inner.init(params)
        found, structure = jax.tree_util.tree_flatten_with_path(state)
        names = {key for path, _ in found for key in path_name(path).split("/")}
        for name, _ in self.dtypes:
            # Under a mask that leaves nothing, no field holds an array.
            if name not in names and jax.tree.leaves(params):
                raise ValueError(
                    f"CastState: no field of the state is called {name!r}; there are "
                    f"{', '.join(sorted(names))}."
                )
        leaves = [_cast(x, self._dtype_of(path_name(path))) for path, x in found]
        return jax.tree.unflatten(structure, leaves)

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        updates, new = self.inner.update(updates, state, params, **extra)
        return updates, jax.tree.map(lambda a, b: _cast(a, jnp.result_type(b)), new, state)

    def eval_params(self, state: State, params: Params) -> Params:
        return self.inner.eval_params(state, params)

    def standing(self, state: State, here: Standing) -> Standing:
        return self.inner.standing(state, here)

    def _dtype_of(self, path: str) -> Any:
        keys = path.split("/")
        return next((dtype for name, dtype in self.dtypes if name in keys), None)


@rule
class Blocks:
    """An array of ``shape`` in eight bits an element, with a scale for each block.

    The sign of a scale says which of two code books its block uses.
    """

    codes: Any  # (N, block_size) uint8
    scales: Any  # (N,) float32, or float64 for a float64 array
    shape: Static[tuple[int, ...]]
    dtype: Static[DType]


class QuantizedStateState(NamedTuple):
    """The inner state, with ``Blocks`` in place of its large arrays."""

    inner_state: State


@rule
class QuantizedState(Transform):
    r"""Store the large arrays of the inner state in eight bits an element.

    .. math::
        x_i \approx s\, q_{c_i}, \qquad s = \max_{j \in \text{block}} |x_j|, \quad
        c_i = \arg\min_c |q_c - x_i / s|,

    with the dynamic code book :math:`q` of the paper, whose 256 values reach over seven
    orders of magnitude. A block without negative numbers, as in a second moment, has a book
    of its own with twice as many values; there a positive number is never rounded to 0,
    because a step divided by its root would be without bound. Between steps the state
    takes a quarter of the memory of float32; within a step the inner transform sees it
    in its own dtypes. It is for moments: what must be exact, such as master weights, an average
    or L-BFGS's pairs, belongs outside of it.

    Args:
        inner: the transform or optimizer.
        block_size: elements that share a scale; 2048 in the paper, 256 in later practice.
        min_size: smaller arrays stay as they are.

    Raises:
        ValueError: if ``block_size`` is not at least 1.

    Reference: Dettmers et al., 8-bit optimizers via block-wise quantization, 2021,
    https://arxiv.org/abs/2110.02861.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.QuantizedState(rv.Adam(1e-3))
    >>> state = optimizer.init(jnp.ones(10_000))
    >>> sum(x.nbytes for x in jax.tree.leaves(state)) / 20_000
    1.0406
    """

    inner: Transform
    block_size: Static[int] = 256
    min_size: Static[int] = 4096

    def __post_init__(self) -> None:
        if self.block_size < 1:
            raise ValueError(
                f"QuantizedState: block_size must be at least 1, got {self.block_size}."
            )

    def init(self, params: Params) -> QuantizedStateState:
        return self._packed(self.inner.init(params))

    def update(
        self,
        updates: Updates,
        state: QuantizedStateState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, QuantizedStateState]:
        updates, inner = self.inner.update(updates, unpacked(state.inner_state), params, **extra)
        return updates, self._packed(inner)

    def eval_params(self, state: QuantizedStateState, params: Params) -> Params:
        return self.inner.eval_params(unpacked(state.inner_state), params)

    def standing(self, state: QuantizedStateState, here: Standing) -> Standing:
        return self.inner.standing(unpacked(state.inner_state), here)

    def _packed(self, state: State) -> QuantizedStateState:
        def leaf(x: Any) -> Any:
            large = jnp.size(x) >= max(self.min_size, 1)
            real = jnp.issubdtype(jnp.result_type(x), jnp.floating)
            return quantized(x, self.block_size) if large and real else x

        return QuantizedStateState(jax.tree.map(leaf, state))


def quantized(x: jax.Array, block_size: int) -> Blocks:
    """``x`` in blocks of eight-bit codes."""
    wide = tree.widened(x)
    flat = jnp.pad(wide.ravel(), (0, -x.size % block_size)).reshape(-1, block_size)
    top = jnp.max(jnp.abs(flat), axis=1, keepdims=True)
    unit = flat / jnp.where(top == 0, 1, top)
    signed, unsigned = (
        jnp.searchsorted(jnp.asarray((book[1:] + book[:-1]) / 2, flat.dtype), unit)
        for book in (code_book(signed=True), code_book(signed=False))
    )
    # Not to 0: a step divided by the root of it would be without bound.
    unsigned = jnp.where(unit > 0, jnp.maximum(unsigned, 1), unsigned)
    negative = jnp.any(flat < 0, axis=1, keepdims=True)
    codes = jnp.where(negative, signed, unsigned).astype(jnp.uint8)
    scales = jnp.where(negative, -top, top)[:, 0]
    return Blocks(codes, scales, x.shape, x.dtype)


def unpacked(state: State) -> State:
    """The state with arrays in place of blocks."""

    def leaf(x: Any) -> Any:
        if not isinstance(x, Blocks):
            return x
        scales = x.scales[:, None]
        signed, unsigned = (
            jnp.asarray(code_book(signed=s), scales.dtype)[x.codes] for s in (True, False)
        )
        flat = jnp.abs(scales) * jnp.where(scales < 0, signed, unsigned)
        size = int(np.prod(x.shape))
        return flat.ravel()[:size].reshape(x.shape).astype(x.dtype)

    return jax.tree.map(leaf, state, is_leaf=lambda x: isinstance(x, Blocks))


@cache
def code_book(signed: bool) -> np.ndarray:
    """The 256 values of the dynamic data type, in rising order.

    For each power of ten from 1e-6 to 1 the interval from a tenth of it to itself is halved
    once more often than the one below; the values are the middles of its pieces.
    """
    values = [0.0, 1.0]
    for i in range(7):
        edges = np.linspace(0.1, 1.0, 2 ** (i if signed else i + 1) + 1)
        middles = 10.0 ** (i - 6) * (edges[1:] + edges[:-1]) / 2
        values += [*middles, *(-middles if signed else ())]
    return np.sort(np.asarray(values))


def _cast(x: Any, dtype: Any) -> Any:
    real = jnp.issubdtype(jnp.result_type(x), jnp.floating)
    return jnp.asarray(x).astype(dtype) if dtype is not None and real else x
