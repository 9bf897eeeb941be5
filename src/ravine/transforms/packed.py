"""Many small leaves joined into a few longer ones, for speed alone."""

import math
from collections.abc import Iterator
from itertools import count, groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ravine.core.numerics import astype, compute_dtype, dtype_of
from ravine.core.paths import Selection
from ravine.core.rule import rule
from ravine.core.types import Params, Standing, State, Static, Transform, Updates
from ravine.transforms.chain import Chain
from ravine.transforms.view import View


class Packs(NamedTuple):
    """A tree like the parameters, in which ``None`` stands for the leaves that are in a pack."""

    packs: tuple[jax.Array, ...]
    others: Any


class PackedState(NamedTuple):
    """The state of the chain of all parts, and the pack of every leaf (structure, no arrays)."""

    inner_state: State
    selection: Selection


@rule
class Packed(Transform):
    """Join small leaves into a few longer ones, for the parts of ``inner`` that allow it.

    The results are those of ``inner``; what changes is the time that an update takes when there are
    hundreds of small leaves, and most of it goes into handing arrays over. Between steps
    the moments of Adam, say, are kept joined, so that only gradients are joined in a step,
    and only updates are cut up. Parts that are not ``elementwise``, such as
    ``ClipByGlobalNorm`` or a masked ``AddDecayedWeights``, see the tree as it is.

    It is for one optimization: in the lanes of a sweep an array is large already, and joining
    costs more than it saves.

    Args:
        inner: the transform or optimizer.
        max_size: leaves of at most so many elements are joined; larger ones are never copied.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.Packed(rv.Adam(0.1))
    >>> params = {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(1)}
    >>> optimizer.init(params).inner_state.scale_by_adam.mu.packs
    (Array([0., 0., 0., 0., 0.], dtype=float32),)
    """

    inner: Transform
    max_size: Static[int] = 4096

    def init(self, params: Params) -> PackedState:
        select = packs_of(params, self.max_size)
        joined, parts = join(params, select), self.inner.parts()
        states = [part.init(joined if part.elementwise else params) for part in parts]
        return PackedState(Chain(parts).named(states), select)

    def update(
        self, updates: Updates, state: PackedState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, PackedState]:
        states: list[State] = []
        for run, before in self._runs(state):
            updates, after = run.update(updates, before, params, **extra)
            states += after.inner_state if isinstance(run, Joined) else after
        return updates, PackedState(type(state.inner_state)(*states), state.selection)

    def eval_params(self, state: PackedState, params: Params) -> Params:
        for run, inner in self._runs(state):
            params = run.eval_params(inner, params)
        return params

    def standing(self, state: PackedState, here: Standing) -> Standing:
        for run, inner in self._runs(state):
            here = run.standing(inner, here)
        return here

    def _runs(self, state: PackedState) -> Iterator[tuple[Transform, State]]:
        """The parts in order, those that see the packs together, each with its state."""
        pairs = zip(self.inner.parts(), state.inner_state, strict=True)
        for elementwise, run in groupby(pairs, key=lambda pair: pair[0].elementwise):
            parts, states = zip(*run, strict=True)
            inner = Chain(parts).named(states)
            # Without packs in the state, nothing is gained by joining the updates.
            held = jax.tree.leaves(states, is_leaf=lambda x: isinstance(x, Packs))
            if elementwise and any(isinstance(x, Packs) for x in held):
                yield Joined(Chain(parts)), PackedState(inner, state.selection)
            else:
                yield Chain(parts), inner


@rule
class Joined(View):
    """Let the inner transform see the packs."""

    inner: Transform

    def standing(self, state: PackedState, here: Standing) -> Standing:
        return here

    def _there(self, x: Any, state: PackedState) -> Packs:
        return join(x, state.selection)

    def _back(self, x: Packs, like: Any, state: PackedState) -> Any:
        return split(x, like, state.selection)


def packs_of(params: Params, max_size: int) -> Selection:
    """The number of the pack of every leaf; none for large and for empty leaves."""
    leaves = jax.tree.leaves(params)
    small = [i for i, x in enumerate(leaves) if 0 < jnp.size(x) <= max_size]
    # Leaves of one size stand together, so that most packs are alike.
    kinds = [(dtype_of(x).name, jnp.size(x)) for x in leaves]
    small.sort(key=lambda i: kinds[i])
    labels: list[int | None] = [None] * len(leaves)
    packs = count()
    for _, same in groupby(small, key=lambda i: kinds[i][0]):
        indices = list(same)
        # XLA compiles a kernel only once for all packs that are alike, but one for each place in
        # a pack: as many packs as places need the fewest of both.
        width = math.ceil(math.sqrt(len(indices)))
        for start in range(0, len(indices), width):
            members = indices[start : start + width]
            label = next(packs) if len(members) > 1 else None
            for i in members:
                labels[i] = label
    return Selection(tuple(labels))


def join(tree: Any, select: Selection) -> Packs:
    """The packs of ``tree``, and its other leaves as they are."""
    others = select.keep(None, tree)
    packs, leaves = [], jax.tree.leaves(tree)
    for members in _members(select):
        parts = [jnp.asarray(leaves[i]) for i in members]
        same = len({x.dtype for x in parts}) == 1
        common = parts[0].dtype if same else compute_dtype(*parts)
        packs.append(lax.concatenate([astype(x.ravel(), common) for x in parts], 0))
    return Packs(tuple(packs), others)


def split(joined: Packs, like: Any, select: Selection) -> Any:
    """The tree in the shapes and dtypes of ``like`` that was joined."""
    leaves, structure = jax.tree.flatten(select.merge({None: joined.others}, like))
    for pack, members in zip(joined.packs, _members(select), strict=True):
        pieces = lax.split(pack, [jnp.size(leaves[i]) for i in members])
        for i, piece in zip(members, pieces, strict=True):
            leaves[i] = astype(piece.reshape(jnp.shape(leaves[i])), dtype_of(leaves[i]))
    return jax.tree.unflatten(structure, leaves)


def _members(select: Selection) -> list[list[int]]:
    """The indices of the leaves in each pack."""
    packs: dict[int, list[int]] = {}
    for i, label in enumerate(select.labels):
        if label is not None:
            packs.setdefault(label, []).append(i)
    return [packs[label] for label in sorted(packs)]
