"""Transforms for some of the leaves: masked, frozen, or a different one for each label."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.paths import Labels, Mask, Selection, resolve, resolve_labels
from ravine.core.rule import rule
from ravine.core.types import Params, Standing, State, Static, Transform, Updates
from ravine.transforms.view import View, extra_view


class MaskedState(NamedTuple):
    """The inner transform's state, and the leaves that it is for (structure, no arrays)."""

    inner_state: State
    selection: Selection


@rule
class Masked(View):
    """Transform the leaves in the mask, and let the others pass unchanged.

    It is for a part of a chain. As a whole optimizer it would add raw gradients to the
    parameters outside the mask: to keep those fixed, write ``Frozen``.

    Args:
        inner: the transform; it sees ``None`` in place of the leaves outside the mask.
        mask: which leaves: a glob over paths or a tuple of globs (``"*bias"``), a function
            from the parameters to a tree of bools, or such a tree, also a prefix. It is
            read once, at init, and must be hashable or a tree.

    Raises:
        ValueError: at init, if the mask does not fit the parameters.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> params = {"kernel": jnp.ones(2), "bias": jnp.ones(1)}
    >>> transform = Masked(Scale(2.0), mask="*bias")
    >>> transform.update(params, transform.init(params))[0]
    {'bias': Array([2.], dtype=float32), 'kernel': Array([1., 1.], dtype=float32)}
    """

    inner: Transform
    mask: Static[Mask]

    def init(self, params: Params) -> MaskedState:
        selection = resolve(self.mask, params)
        return MaskedState(self.inner.init(selection.keep(True, params)), selection)

    def _there(self, x: Any, state: MaskedState) -> Any:
        return state.selection.keep(True, x)

    def _back(self, x: Any, like: Any, state: MaskedState) -> Any:
        return state.selection.merge({True: x}, like)


@rule
class Frozen(View):
    """Keep the leaves in the mask where they are, and optimize the others.

    A frozen leaf has no state, and its update is zero, whatever its gradient.

    Args:
        inner: the optimizer of the other leaves; it sees ``None`` for the frozen ones.
        mask: which leaves are frozen, in any of the forms that ``Masked`` takes.

    Raises:
        ValueError: at init, if the mask does not fit the parameters.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> params = {"encoder": {"w": jnp.ones(2)}, "head": {"w": jnp.ones(1)}}
    >>> transform = Frozen(Scale(-0.5), mask="encoder/*")
    >>> transform.update(params, transform.init(params))[0]
    {'encoder': {'w': Array([0., 0.], dtype=float32)}, 'head': {'w': Array([-0.5], dtype=float32)}}
    """

    inner: Transform
    mask: Static[Mask]

    def init(self, params: Params) -> MaskedState:
        selection = resolve(self.mask, params)
        return MaskedState(self.inner.init(selection.keep(False, params)), selection)

    def update(
        self, updates: Updates, state: MaskedState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, MaskedState]:
        new, state = super().update(updates, state, params, **extra)
        return self._still(new, state), state

    def standing(self, state: MaskedState, here: Standing) -> Standing:
        at = super().standing(state, here)
        return at._replace(
            grads=self._still(at.grads, state), updates=self._still(at.updates, state)
        )

    def _still(self, x: Any, state: MaskedState) -> Any:
        """``x`` with zeros for the frozen leaves."""
        return self._back(self._there(x, state), jax.tree.map(jnp.zeros_like, x), state)

    def _there(self, x: Any, state: MaskedState) -> Any:
        return state.selection.keep(False, x)

    def _back(self, x: Any, like: Any, state: MaskedState) -> Any:
        return state.selection.merge({False: x}, like)


class PartitionState(NamedTuple):
    """A state a label, and the label of every leaf (structure, no arrays)."""

    inner_states: dict[Any, State]
    selection: Selection


@rule
class Partition(Transform):
    """A transform for every label, and a label for every leaf.

    Args:
        transforms: a dict from labels to transforms.
        param_labels: the leaves' labels: a dict from globs over paths to labels, tried in
            order (``{"*bias": "slow", "*": "fast"}``), a function from the parameters to
            a tree of labels, or such a tree, also a prefix. It is read once, at init. A dict
            counts as one of globs if a key in it holds ``*``, ``?``, ``[`` or a slash.

    Raises:
        TypeError: if ``transforms`` is no dict of transforms.
        ValueError: at init, if the labels do not fit the parameters, or a label has no
            transform.

    >>> import jax.numpy as jnp
    >>> from ravine.transforms.scale import Scale
    >>> params = {"kernel": jnp.ones(2), "bias": jnp.ones(1)}
    >>> parts = {"slow": Scale(-0.5), "fast": Scale(-2.0)}
    >>> transform = Partition(parts, {"*bias": "slow", "*": "fast"})
    >>> transform.update(params, transform.init(params))[0]
    {'bias': Array([-0.5], dtype=float32), 'kernel': Array([-2., -2.], dtype=float32)}
    """

    transforms: dict[Any, Transform]
    param_labels: Static[Labels]

    def __post_init__(self) -> None:
        if not isinstance(self.transforms, Mapping):
            raise TypeError(
                "Partition: transforms must be a dict from labels to transforms, got "
                f"{type(self.transforms).__name__}."
            )
        for label, transform in self.transforms.items():
            if not isinstance(transform, Transform):
                raise TypeError(
                    f"Partition: the transform of label {label!r} must be a ravine transform, got "
                    f"{type(transform).__name__}. To keep leaves fixed, give them SetToZero()."
                )
        object.__setattr__(self, "transforms", dict(self.transforms))

    def init(self, params: Params) -> PartitionState:
        select = resolve_labels(self.param_labels, params)
        for label in select.labels:
            if label not in self.transforms:
                raise ValueError(
                    f"Partition: label {label!r} has no transform; there are transforms for "
                    f"{', '.join(map(repr, self.transforms))}. Add one for it, or correct the "
                    "label. To keep leaves fixed, give their label SetToZero()."
                )
        states = {
            label: transform.init(select.keep(label, params))
            for label, transform in self.transforms.items()
        }
        return PartitionState(states, select)

    def update(
        self, updates: Updates, state: PartitionState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, PartitionState]:
        select = state.selection
        parts, states = {}, {}
        for label, transform in self.transforms.items():
            keep, merge = partial(select.keep, label), partial(_merged, select, label)
            parts[label], states[label] = transform.update(
                keep(updates),
                state.inner_states[label],
                None if params is None else keep(params),
                **extra_view(keep, merge, updates, params, extra),
            )
        return select.merge(parts, updates), PartitionState(states, select)

    def eval_params(self, state: PartitionState, params: Params) -> Params:
        select = state.selection
        parts = {
            label: transform.eval_params(state.inner_states[label], select.keep(label, params))
            for label, transform in self.transforms.items()
        }
        return select.merge(parts, params)


def _merged(select: Selection, label: Any, part: Any, like: Any) -> Any:
    return select.merge({label: part}, like)
