"""Names of leaves, and masks that pick leaves by name.

A leaf's path joins the keys on the way to it with slashes: ``layers/0/bias``.
"""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeAlias

import jax


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

    def __repr__(self) -> str:
        return repr(jax.tree.unflatten(self.structure, list(self.labels)))


Mask: TypeAlias = Any
"""Which leaves: a glob over paths, a tuple of globs, ``params -> tree``, or a tree of bools."""


def as_static(labels: Any) -> Any:
    """Make any of the forms of a mask or of labels hashable, so that it can be structure."""
    if labels is None or callable(labels) or isinstance(labels, str | bool | LabelTree):
        return labels
    if isinstance(labels, tuple) and labels and all(isinstance(x, str) for x in labels):
        return labels
    leaves, structure = jax.tree.flatten(labels)
    return LabelTree(structure, tuple(leaves))


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


def resolve(labels: Any, params: Any) -> Selection:
    """Give every leaf of ``params`` its label.

    ``labels`` is a glob or a tuple of globs over paths (a matching leaf gets ``True``), a
    function from the parameters to a tree of labels, or such a tree, whose leaves may
    stand for whole subtrees.

    Raises:
        ValueError: if the tree of labels is no prefix of the parameters, or a glob matches
            no leaf.
    """
    if isinstance(labels, str) or (
        isinstance(labels, tuple) and all(isinstance(x, str) for x in labels)
    ):
        return Selection(_matched((labels,) if isinstance(labels, str) else labels, params))
    if callable(labels) and not isinstance(labels, LabelTree):
        labels = labels(params)
    if isinstance(labels, LabelTree):
        labels = jax.tree.unflatten(labels.structure, list(labels.labels))
    try:
        spread = jax.tree.map(lambda x, sub: jax.tree.map(lambda _: x, sub), labels, params)
    except ValueError as error:
        raise ValueError(
            f"The mask or labels {labels!r} must be a prefix of the parameters, whose leaves are "
            f"{', '.join(leaf_paths(params)[:8])}."
        ) from error
    return Selection(tuple(jax.tree.leaves(spread)))


def _matched(globs: tuple[str, ...], params: Any) -> tuple[bool, ...]:
    paths = leaf_paths(params)
    for glob in globs:
        if paths and not any(fnmatchcase(path, glob) for path in paths):
            raise ValueError(
                f"The mask {glob!r} matches no leaf. The paths are {', '.join(paths[:8])}. "
                "A star matches any characters, slashes included: '*bias' or 'encoder/*'."
            )
    return tuple(any(fnmatchcase(path, glob) for glob in globs) for path in paths)


LabelFn: TypeAlias = Callable[[Any], Any]
