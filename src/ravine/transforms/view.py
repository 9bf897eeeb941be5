"""Show the inner transform the same numbers in another form: one vector, or real parts."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.numerics import compute_dtype
from ravine.core.paths import Selection
from ravine.core.rule import rule
from ravine.core.types import Params, Standing, State, Transform, Updates


class View(Transform):
    """A transform that shows ``inner`` every tree in another form.

    ``_there(x, state)`` is what it shows for ``x``, and ``_back(x, like, state)`` the tree like
    ``like`` for which it showed ``x``.
    """

    inner: Transform

    def _there(self, x: Any, state: Any) -> Any:
        raise NotImplementedError

    def _back(self, x: Any, like: Any, state: Any) -> Any:
        raise NotImplementedError

    def update(
        self, updates: Updates, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, Any]:
        there, back = partial(self._there, state=state), partial(self._back, state=state)
        new, inner = self.inner.update(
            there(updates),
            state.inner_state,
            None if params is None else there(params),
            **extra_view(there, back, updates, params, extra),
        )
        return back(new, updates), state._replace(inner_state=inner)

    def eval_params(self, state: Any, params: Params) -> Params:
        seen = self.inner.eval_params(state.inner_state, self._there(params, state))
        return self._back(seen, params, state)

    def standing(self, state: Any, here: Standing) -> Standing:
        names = ("params", "grads", "updates")
        seen = {name: self._there(getattr(here, name), state) for name in names}
        found = self.inner.standing(state.inner_state, here._replace(**seen))
        own = {name: self._back(getattr(found, name), getattr(here, name), state) for name in names}
        return found._replace(**own)


class FlattenState(NamedTuple):
    """The inner state, and the dtype by which each leaf is grouped (structure, no arrays)."""

    inner_state: State
    selection: Selection


@rule
class Flatten(View):
    """Let the inner transform work on one long vector instead of many small arrays.

    There is a vector for each dtype of the parameters. For transforms that treat every
    element alike (``ScaleByAdam``, ``Trace``, ``Clip``, ``ClipByGlobalNorm``, ...) the result
    is the same, with fewer and larger operations. A transform that looks at leaves, by their
    name, shape or norm, sees the vectors instead.

    Args:
        inner: the transform or optimizer.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.momentum import Trace
    >>> params = {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(1)}
    >>> Flatten(Trace(0.9)).init(params).inner_state
    TraceState(trace={'float32': Array([0., 0., 0., 0., 0.], dtype=float32)})
    """

    inner: Transform

    def init(self, params: Params) -> FlattenState:
        names = (jnp.result_type(p).name for p in jax.tree.leaves(params))
        select = Selection(tuple(names))
        return FlattenState(self.inner.init(_joined(params, select)), select)

    def _there(self, x: Any, state: FlattenState) -> Any:
        return _joined(x, state.selection)

    def _back(self, x: Any, like: Any, state: FlattenState) -> Any:
        return _split(x, like, state.selection)


class RealAndImaginary(NamedTuple):
    """The two parts of a complex array."""

    real: jax.Array
    imaginary: jax.Array


class SplitRealAndImaginaryState(NamedTuple):
    """The inner state, in which a pair of real arrays stands for each complex one."""

    inner_state: State


@rule
class SplitRealAndImaginary(View):
    """Let the inner transform see the real and the imaginary part of a complex leaf as two.

    Transforms here take a complex number by its magnitude: its parts share one second
    moment. Inside this wrapper each part has its own, as PyTorch does it.

    Args:
        inner: the transform or optimizer.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.clip import Clip
    >>> transform = SplitRealAndImaginary(Clip(1.0))
    >>> transform.update(jnp.array([3.0 + 0.5j]), transform.init(jnp.zeros(1)))[0]
    Array([1.+0.5j], dtype=complex64)
    """

    inner: Transform

    def init(self, params: Params) -> SplitRealAndImaginaryState:
        return SplitRealAndImaginaryState(self.inner.init(self._there(params, None)))

    def _there(self, x: Any, state: Any) -> Any:
        def leaf(x: Any) -> Any:
            return RealAndImaginary(jnp.real(x), jnp.imag(x)) if jnp.iscomplexobj(x) else x

        return jax.tree.map(leaf, x)

    def _back(self, x: Any, like: Any, state: Any) -> Any:
        def leaf(like: Any, x: Any) -> Any:
            return jax.lax.complex(*x) if isinstance(x, RealAndImaginary) else x

        return jax.tree.map(leaf, like, x)


def extra_view(
    there: Callable[[Any], Any],
    back: Callable[[Any, Any], Any],
    updates: Updates,
    params: Params | None,
    extra: dict[str, Any],
) -> dict[str, Any]:
    """The extra arguments as they are seen where ``there(updates)`` stands for the updates.

    Trees like the updates (``grad``) go there too, and functions of the parameters (``value_fn``
    and others whose names end so) become functions there.
    """
    structure: Any = jax.tree.structure(updates)
    shapes = [jnp.shape(u) for u in jax.tree.leaves(updates)]

    def seen(name: str, x: Any) -> Any:
        if name.endswith("_fn") and params is not None:
            return lambda p, *args, **kwargs: x(back(p, params), *args, **kwargs)
        # A bare scalar is a number, such as the value of the loss, before it is a tree.
        like = name == "grad" or not (jax.tree_util.treedef_is_leaf(structure) and shapes == [()])
        like = like and jax.tree.structure(x) == structure
        return there(x) if like and [jnp.shape(a) for a in jax.tree.leaves(x)] == shapes else x

    return {name: seen(name, x) for name, x in extra.items()}


def _joined(tree: Any, select: Selection) -> dict[str, jax.Array]:
    """One vector for each group of leaves, in a dtype that holds all of them."""
    groups: dict[str, list[jax.Array]] = {label: [] for label in sorted(set(select.labels))}
    for x, label in zip(jax.tree.leaves(tree), select.labels, strict=True):
        groups[label].append(jnp.ravel(jnp.asarray(x)))

    def vector(parts: list[jax.Array]) -> jax.Array:
        same = len({x.dtype for x in parts}) == 1
        common = parts[0].dtype if same else compute_dtype(*parts)
        return jnp.concatenate([x.astype(common) for x in parts])

    return {label: vector(parts) for label, parts in groups.items()}


def _split(vectors: dict[str, jax.Array], tree: Any, select: Selection) -> Any:
    """The vectors cut up again, in the shapes and dtypes of ``tree``."""
    leaves, structure = jax.tree.flatten(tree)
    starts = dict.fromkeys(vectors, 0)
    out = []
    for x, label in zip(leaves, select.labels, strict=True):
        end = starts[label] + jnp.size(x)
        piece = vectors[label][starts[label] : end]
        out.append(piece.reshape(jnp.shape(x)).astype(jnp.result_type(x)))
        starts[label] = end
    return jax.tree.unflatten(structure, out)
