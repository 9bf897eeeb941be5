"""Names of leaves, and masks and labels that pick leaves by name.

A leaf's path joins the keys on the way to it with slashes: ``layers/0/bias``.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import numpy as np

from ravine.core.types import Canonical


def leaf_paths(tree: Any) -> list[str]:
    """The path of every leaf of ``tree``, in leaf order."""
    return [path_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


def path_name(path: tuple[Any, ...]) -> str:
    """One key path as text."""
    return "/".join(_key_name(key) for key in path)


def _key_name(key: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


class LabelTree(NamedTuple):
    """A tree of labels made hashable: its structure and its leaves."""

    structure: Any
    labels: tuple[Any, ...]

    def tree(self) -> Any:
        """The tree that this stands for."""
        return jax.tree.unflatten(self.structure, list(self.labels))

    def __repr__(self) -> str:
        return repr(self.tree())

    def __reduce__(self) -> tuple[Any, ...]:
        # A structure with somebody's own containers in it cannot be pickled; the tree can.
        return _label_tree, (self.tree(),)


class Globs(NamedTuple):
    """Labels by glob over the paths, tried in order: ``(("*bias", "slow"), ("*", "fast"))``."""

    pairs: tuple[tuple[str, Any], ...]

    def __repr__(self) -> str:
        return repr(dict(self.pairs))


def as_mask(mask: Any) -> Any:
    """Any form of a mask, made hashable so that it can be structure."""
    if mask is None or _is_function(mask) or isinstance(mask, str | bool | LabelTree):
        return mask
    if isinstance(mask, tuple) and mask and all(isinstance(x, str) for x in mask):
        return mask
    return _label_tree(mask)


def as_labels(labels: Any) -> Any:
    """Any form of labels, made hashable so that they can be structure."""
    if _is_function(labels) or isinstance(labels, LabelTree | Globs):
        return labels
    # A dict is a tree like the parameters, unless its keys can only be globs or paths.
    if isinstance(labels, dict) and any(set("*?[/") & set(str(k)) for k in labels):
        return Globs(tuple(labels.items()))
    return _label_tree(labels)


Mask: TypeAlias = Annotated[Any, Canonical(as_mask)]
"""Which leaves: a glob over paths, a tuple of globs, ``params -> tree``, or a tree of bools."""
Labels: TypeAlias = Annotated[Any, Canonical(as_labels)]
"""A label a leaf: a dict from globs to labels, ``params -> tree``, or a tree of labels."""


@jax.tree_util.register_static
class Selection(NamedTuple):
    """One label a leaf, in leaf order: resolved at ``init``, kept in the state as structure."""

    labels: tuple[Any, ...]

    def keep(self, label: Any, tree: Any) -> Any:
        """``tree`` with every leaf of another label replaced by ``None``, an empty subtree."""
        leaves, structure = self._flatten(tree)
        kept = [x if mine == label else None for x, mine in zip(leaves, self.labels, strict=True)]
        return jax.tree.unflatten(structure, kept)

    def merge(self, parts: Mapping[Any, Any], tree: Any) -> Any:
        """A tree like ``tree`` with each leaf taken from the part that has its label.

        A label without a part keeps the leaf of ``tree``.
        """
        leaves, structure = self._flatten(tree)
        sources = {label: iter(jax.tree.leaves(part)) for label, part in parts.items()}
        merged = [
            next(sources[label]) if label in sources else x
            for x, label in zip(leaves, self.labels, strict=True)
        ]
        return jax.tree.unflatten(structure, merged)

    def _flatten(self, tree: Any) -> tuple[list[Any], Any]:
        leaves, structure = jax.tree.flatten(tree)
        if len(leaves) != len(self.labels):
            raise ValueError(
                f"The tree has {len(leaves)} leaves, and the mask was made at init for "
                f"{len(self.labels)}: call init again when the parameters change their structure."
            )
        return leaves, structure


def resolve(mask: Any, params: Any) -> Selection:
    """Say of every leaf of ``params`` whether ``mask`` picks it.

    ``mask`` is a glob or a tuple of globs over paths (any of which may match), a function
    from the parameters to a tree of bools, or such a tree, whose leaves may stand for
    whole subtrees.

    Raises:
        ValueError: if the tree is no prefix of the parameters, or a glob matches no leaf.
        TypeError: if a leaf of the tree is no bool.
    """
    if isinstance(mask, str):
        mask = (mask,)
    if type(mask) is tuple and mask and all(isinstance(x, str) for x in mask):
        picked = _first_matches([(glob, True) for glob in mask], params, "The mask")
        return Selection(tuple(x is not None for x in picked))
    flags = _spread(mask, params, "The mask")
    for flag in flags:
        if not isinstance(flag, bool | np.bool_):
            raise TypeError(
                f"A mask must hold True or False, got {flag!r}. Possible causes: (a) a comparison "
                "of values: a mask may look at shapes, dtypes and names only; (b) labels, which "
                "belong in Partition."
            )
    return Selection(tuple(bool(flag) for flag in flags))


def resolve_labels(labels: Any, params: Any) -> Selection:
    """Give every leaf of ``params`` its label.

    ``labels`` is a dict from globs over paths to labels, tried in order, a function from
    the parameters to a tree of labels, or such a tree, whose leaves may stand for whole
    subtrees.

    Raises:
        ValueError: if the tree is no prefix of the parameters, a glob matches no leaf, or no
            glob matches a leaf.
    """
    labels = as_labels(labels(params) if _is_function(labels) else labels)
    if not isinstance(labels, Globs):
        return Selection(tuple(_spread(labels, params, "The tree of labels")))
    found = _first_matches(list(labels.pairs), params, "The label")
    for path, label in zip(leaf_paths(params), found, strict=True):
        if label is None:
            raise ValueError(
                f"The labels {labels!r} say nothing of the leaf {path!r}. Add a last entry for all "
                "the rest: {..., '*': label}."
            )
    return Selection(tuple(found))


def _spread(labels: Any, params: Any, what: str) -> list[Any]:
    """The label of every leaf, where one label may stand for a whole subtree."""
    labels = labels(params) if _is_function(labels) else labels
    labels = labels.tree() if isinstance(labels, LabelTree) else labels
    try:
        spread = jax.tree.map(lambda x, sub: jax.tree.map(lambda _: x, sub), labels, params)
    except ValueError as error:
        raise ValueError(
            f"{what} must be a prefix of the parameters, whose leaves are {_listed(params)}; "
            f"got {labels!r}. Possible causes: (a) a key misspelt or missing; (b) names meant as "
            "globs: write '*name' to match the end of a path."
        ) from error
    return jax.tree.leaves(spread)


def _first_matches(pairs: list[tuple[str, Any]], params: Any, what: str) -> list[Any]:
    """For every leaf the label of the first glob that matches its path, or ``None``."""
    paths = leaf_paths(params)
    # A leaf that an outer mask has replaced by None is still a leaf to match.
    places = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda x: x is None)[0]
    names = [path_name(path) for path, _ in places]
    for glob, _ in pairs:
        if names and not any(fnmatchcase(name, glob) for name in names):
            raise ValueError(
                f"{what} {glob!r} matches no leaf. The paths are {_listed(params)}. "
                "A star matches any characters, slashes included: '*bias' or 'encoder/*'."
            )
    return [next((x for glob, x in pairs if fnmatchcase(path, glob)), None) for path in paths]


def _is_function(x: Any) -> bool:
    """Whether ``x`` is a function, and not a tree that can be called, as modules can."""
    return callable(x) and jax.tree_util.all_leaves([x])


def _label_tree(tree: Any) -> LabelTree:
    leaves, structure = jax.tree.flatten(tree)
    return LabelTree(structure, tuple(leaves))


def _listed(params: Any) -> str:
    paths = leaf_paths(params)
    return ", ".join(repr(p) for p in paths[:8]) + (", ..." if len(paths) > 8 else "")
