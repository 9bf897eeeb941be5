"""From a template with spaces in it to the numbers of one trial."""

import zlib
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from ravine.core.types import Space, Transform
from ravine.spaces.distributions import Distribution
from ravine.spaces.grids import Axis
from ravine.transforms.chain import part_names


def is_space(x: Any) -> bool:
    """Whether ``x`` stands for a number that a sweep fills in."""
    return isinstance(x, Space)


def spaces(template: Any) -> dict[str, Space]:
    """Every space in ``template`` under its readable name, in leaf order.

    The name joins the fields on the way with dots, leaving out those that only hold
    other parts: ``learning_rate``, ``adam.b1``, ``learning_rate.peak_value``.
    """
    found = jax.tree_util.tree_flatten_with_path(template, is_leaf=is_space)[0]
    return {_name(template, path): x for path, x in found if is_space(x)}


def draw(template: Any, key: jax.Array, config: jax.Array) -> tuple[jax.Array, ...]:
    """The numbers of configuration ``config``, one a space, in leaf order.

    A random space draws from ``key``, ``config`` and its own name, so that adding a
    space or a configuration changes no other number. Grids are counted through like the
    digits of a number, the last one fastest.
    """
    named = spaces(template)
    sizes = [s.size for s in named.values() if isinstance(s, Axis)]
    trial_key = jax.random.fold_in(key, config)
    numbers, seen = [], 0
    for name, space in named.items():
        if isinstance(space, Axis):
            seen += 1
            stride = prod(sizes[seen:])
            numbers.append(space.values()[(config // stride) % space.size])
        else:
            assert isinstance(space, Distribution)
            numbers.append(space.draw(jax.random.fold_in(trial_key, zlib.crc32(name.encode()) >> 1)))
    return tuple(numbers)


def grid_size(template: Any) -> int | None:
    """The number of points of all grids multiplied out, or ``None`` without a grid."""
    sizes = [s.size for s in spaces(template).values() if isinstance(s, Axis)]
    return prod(sizes) if sizes else None


def fill(template: Any, numbers: Any) -> Any:
    """``template`` with its spaces replaced, in leaf order, by ``numbers``."""
    remaining = iter(numbers)
    return jax.tree.map(lambda x: next(remaining) if is_space(x) else x, template, is_leaf=is_space)


def canonical(x: Any) -> Any:
    """Every Python number as an array of the default dtype, so that equal calls trace once."""

    def leaf(a: Any) -> Any:
        if isinstance(a, bool | jax.Array):
            return jnp.asarray(a)
        return jnp.asarray(a, jnp.int32 if isinstance(a, int) else float if isinstance(a, float) else None)

    return jax.tree.map(leaf, x)


def _name(root: Any, path: tuple[Any, ...]) -> str:
    parts: list[str] = []
    node = root
    for key in path:
        if isinstance(key, jax.tree_util.GetAttrKey):
            node = getattr(node, key.name)
            if not isinstance(node, tuple | list | dict):
                parts.append(key.name)
        elif isinstance(key, jax.tree_util.SequenceKey):
            siblings, node = node, node[key.idx]
            named = all(isinstance(t, Transform) for t in siblings)
            parts.append(part_names(siblings)[key.idx] if named else str(key.idx))
        else:
            node = node[key.key]
            parts.append(str(key.key))
    return ".".join(parts)
