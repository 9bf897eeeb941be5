"""Error texts at the door: what happened, the likely fix, possible causes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.paths import leaf_paths


def check_matches(name: str, tree: Any, other_name: str, other: Any) -> None:
    """Check that two trees have the same leaves, or say which leaf differs and how.

    Raises:
        ValueError: naming the path of the first leaf that is missing, extra or misshaped.
    """
    structure: Any = jax.tree.structure(tree)
    if structure != jax.tree.structure(other):
        mine, theirs = set(leaf_paths(tree)), set(leaf_paths(other))
        what = (
            f"{_some(theirs - mine)} is missing from {name}"
            if theirs - mine
            else f"{_some(mine - theirs)} is in {name} alone"
            if mine - theirs
            else f"{name} is a {type(tree).__name__} where {other_name} is a "
            f"{type(other).__name__}, or a container inside differs in kind"
        )
        raise ValueError(
            f"{name} and {other_name} differ in structure: {what}. Give both the same tree. "
            "Possible causes: (a) gradients taken with respect to another argument; "
            f"(b) {other_name} changed since init; (c) a container converted on the way (a dict "
            "for a NamedTuple)."
        )
    leaves = zip(leaf_paths(tree), jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    for path, a, b in leaves:
        if jnp.shape(a) != jnp.shape(b):
            raise ValueError(
                f"{name} and {other_name} differ in shape at {path or 'the root'}: {jnp.shape(a)} "
                f"against {jnp.shape(b)}. Possible causes: (a) gradients of a batch that were "
                "never averaged; (b) a vmap with in_axes missing for one of the two."
            )


def check_params(owner: str, params: Any, updates: Any = True) -> None:
    """Check that a transform which needs the parameters was given them.

    Raises:
        ValueError: if ``params`` is ``None``, and ``updates``, if given, are not.
    """
    # Where there is nothing to update, both trees may be None and nothing is missing.
    if params is None and jax.tree.leaves(updates):
        raise ValueError(
            f"{owner} needs the parameters: call update(updates, state, params). "
            "It was called without params, or with None."
        )


def check_value(owner: str, extra: dict[str, Any]) -> jax.Array:
    """Return the extra argument ``value``, the loss at the parameters, in the default float dtype.

    Raises:
        ValueError: if there is none.
    """
    if extra.get("value") is None:
        raise ValueError(
            f"{owner} needs the loss: call update(gradients, state, params, value=loss). "
            "jax.value_and_grad gives the loss and the gradients in one evaluation."
        )
    return jnp.asarray(extra["value"], float)


def check_function(owner: str, name: str, what: str, extra: dict[str, Any]) -> Callable[..., Any]:
    """Return the extra argument of this name, a function of the parameters.

    Raises:
        ValueError: if there is none.
    """
    if extra.get(name) is None:
        raise ValueError(
            f"{owner} needs {what}: call update(gradients, state, params, {name}=...), where "
            f"{name}(params) closes over the batch at hand."
        )
    function: Callable[..., Any] = extra[name]
    return function


def check_carried(what: str, new: Any, old: Any, maker: str) -> None:
    """Check that what is carried from step to step has kept its structure, shapes and dtypes.

    Raises:
        TypeError: naming the path of the first leaf that has not.
    """
    fix = "What is carried from step to step keeps its structure, shapes and dtypes."
    structure: Any = jax.tree.structure(new)
    if structure != jax.tree.structure(old):
        raise TypeError(
            f"{what} changed its structure: {maker} returned {structure}, after "
            f"{jax.tree.structure(old)}. {fix}"
        )
    leaves = zip(leaf_paths(new), jax.tree.leaves(new), jax.tree.leaves(old), strict=True)
    for path, a, b in leaves:
        if jnp.shape(a) != jnp.shape(b) or jnp.result_type(a) != jnp.result_type(b):
            after, before = (f"{jnp.result_type(x)}{list(jnp.shape(x))}" for x in (a, b))
            raise TypeError(
                f"{what} changed at {path or 'the root'}: {maker} returned {after}, after "
                f"{before}. {fix} Possible causes: (a) a hyperparameter, in a sweep an array in "
                "float32, times a leaf of fewer bits: cast the result, as "
                "rv.tree.cast_like(new, old) does; (b) a sum over an axis too many or too few."
            )


def _some(paths: set[str]) -> str:
    listed = sorted(paths)[:3]
    return ", ".join(repr(p) for p in listed) + (", ..." if len(paths) > 3 else "")
