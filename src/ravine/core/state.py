"""Read a state: its numbers by name, a part of it, and the parts that are like the parameters.

A name is the end of a path, as far as it takes to tell it from the others: ``mu``, or
``scale_by_adam/mu``. Paths hold the names of fields and no numbers of places, so that a
transform put in front of the others renames nothing.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.paths import path_name
from ravine.core.rule import is_rule

Path = tuple[str, ...]


def inspect(state: Any) -> dict[str, jax.Array]:
    """Return every number in a state by name, and the norm of every tree of arrays.

    The learning rate and the decay are those of the last step. The counts of the parts of one
    chain are one ``count``. It works inside ``jit``; for a state with a first axis of lanes
    map it: ``jax.vmap(inspect)(state)``.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> optimizer = rv.AdamW(1e-3)
    >>> params = {"w": jnp.array([3.0, 4.0])}
    >>> _, state = optimizer.update(params, optimizer.init(params), params)
    >>> for name, value in inspect(state).items():
    ...     print(name, value)
    count 1
    mu_norm 0.5
    nu_norm 0.01835756
    weight_decay 1e-04
    learning_rate 0.001
    """
    found: list[tuple[Path, Any]] = []
    for _, path, node in _nodes(state):
        if _is_branch(node):
            continue
        arrays = jax.tree.leaves(node, is_leaf=is_rule)
        # Neither random keys nor codes that only their transform can read have a norm.
        if not arrays or not all(_is_number(x) for x in arrays):
            continue
        if len(arrays) == 1 and jnp.ndim(arrays[0]) == 0:
            found.append((path, jnp.asarray(arrays[0])))
        elif all(jnp.issubdtype(jnp.result_type(x), jnp.inexact) for x in arrays):
            found.append(((*path[:-1], f"{path[-1]}_norm" if path else "norm"), tree.norm(arrays)))
    named = _merged(found)
    return {_shortest(path, list(named)): value for path, value in named.items()}


def find(state: Any, name: str) -> Any:
    """Return the part of a state that has this name: a number, a tree or an inner state.

    Raises:
        KeyError: if there is none, or more than one.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> state = rv.Adam(1e-3).init({"w": jnp.ones(2)})
    >>> find(state, "scale_by_adam/mu")
    {'w': Array([0., 0.], dtype=float32)}
    >>> print(find(state, "count"))
    0
    """
    wanted = tuple(name.split("/"))
    nodes = _nodes(state)
    n = len(wanted)
    found = _merged([(s, x) for p, s, x in nodes if wanted in (p[-n:], s[-n:])])
    if wanted in found:
        return found[wanted]
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        listed = ", ".join(repr("/".join(path)) for path in found)
        raise KeyError(f"{name!r} names several parts of the state: write one of {listed}.")
    listed = ", ".join(dict.fromkeys(repr(path[-1]) for path, _, _ in nodes if path))
    raise KeyError(f"No part of the state is called {name!r}. Its names are {listed}.")


def map_params(
    function: Callable[..., Any],
    state: Any,
    params: Any,
    *rest: Any,
    others: Callable[[Any], Any] = lambda x: x,
) -> Any:
    """Apply ``function`` to every array in a state that stands for one of the parameters.

    Such an array, a moment say, has the shape of its parameter and a path that ends in the
    parameter's. Each is replaced by ``function(array, parameter, *rest)``, with the leaves
    of ``rest``, trees like the parameters, at the parameter's place; ``others`` is applied to all
    other leaves. It is for what goes leaf by leaf: shardings, dtypes, resets.

    Raises:
        ValueError: if the parameters are a bare number, which has no name to go by.

    >>> import jax.numpy as jnp
    >>> import ravine as rv
    >>> params = {"w": jnp.ones(2)}
    >>> state = rv.SGD(0.1, momentum=0.9).init(params)
    >>> map_params(lambda m, p: "like w", state, params, others=lambda x: "other")
    ChainState(trace_state=TraceState(trace={'w': 'like w'}),
        scale_by_learning_rate=ScaleByLearningRateState(count='other', learning_rate='other'))
    """
    flat: Any = jax.tree_util.tree_flatten_with_path(params)
    leaves, structure = flat
    if len(leaves) == 1 and not leaves[0][0] and jnp.ndim(leaves[0][1]) == 0:
        raise ValueError(
            "map_params cannot tell a bare number among the parameters from the other numbers of "
            "the state. Give it a name: {'x': number}."
        )
    columns = [structure.flatten_up_to(x) for x in rest]
    own = {
        _keys(path): (p, *others_of_it)
        for (path, p), *others_of_it in zip(leaves, *columns, strict=True)
    }
    lengths = sorted({len(path) for path in own}, reverse=True)

    def leaf(path: Any, x: Any) -> Any:
        keys = _keys(path)
        for n in lengths:
            match = own.get(keys[len(keys) - n :]) if n <= len(keys) else None
            if match is not None and jnp.shape(match[0]) == jnp.shape(x):
                return function(x, *match)
        return others(x)

    return jax.tree_util.tree_map_with_path(leaf, state)


def _keys(path: Any) -> Path:
    return tuple(path_name((key,)) for key in path)


def _nodes(state: Any, path: Path = (), clock: Path = ()) -> list[tuple[Path, Path, Any]]:
    """All parts of a state, down to where its trees of arrays begin.

    Each comes with its path and with the path by which it is named, which differ for counts:
    the parts of a chain, and of the chains in it, count the same steps.
    """
    short = (*clock, "count") if path[-1:] == ("count",) else path
    out = [(path, short, state)]
    if not _is_branch(state):
        return out
    if hasattr(state, "_fields"):
        parts = list(zip(state._fields, state, strict=True))
    else:
        parts = list(state.items() if isinstance(state, dict) else enumerate(state))
    in_chain = type(state).__name__ == "ChainState"
    for name, part in parts:
        at = (*path, str(name))
        out += _nodes(part, at, at if _is_branch(part) and not in_chain else clock)
    return out


def _is_branch(node: Any) -> bool:
    """Whether a node belongs to the state, and not to a tree of arrays that it holds."""
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return type(node).__name__.endswith("State")
    if isinstance(node, dict | list | tuple):
        parts = list(node.values() if isinstance(node, dict) else node)
        scalars = isinstance(node, dict) and all(_is_number(x) and jnp.ndim(x) == 0 for x in parts)
        return scalars or any(_is_branch(x) for x in parts)
    return False


def _is_number(x: Any) -> bool:
    """Whether ``x`` is an array of numbers or bools; a rule in a state may have a dtype too."""
    if is_rule(x) or not hasattr(x, "dtype"):
        return False
    return bool(jnp.issubdtype(x.dtype, jnp.number) or jnp.issubdtype(x.dtype, jnp.bool_))


def _merged(found: list[tuple[Path, Any]]) -> dict[Path, Any]:
    """What was found by path; of several counts the largest: a part that is idle has 0."""
    out: dict[Path, Any] = {}
    for path, value in found:
        out[path] = jnp.maximum(out[path], value) if path in out else value
    return out


def _shortest(path: Path, paths: list[Path]) -> str:
    """The shortest end of ``path`` that is the end of no other path."""
    ends = (path[-n:] for n in range(1, len(path) + 1))
    alone = (e for e in ends if sum(p[-len(e) :] == e for p in paths) == 1)
    return "/".join(next(alone, path))
