"""From a template with spaces in it to the numbers of one trial."""

import zlib
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.paths import path_name
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
    other transforms: ``learning_rate``, ``adam.b1``, ``learning_rate.peak_value``.
    """
    found = jax.tree_util.tree_flatten_with_path(template, is_leaf=is_space)[0]
    named: dict[str, Space] = {}
    for path, x in found:
        if is_space(x):
            name = _name(template, path)
            while name in named:  # a key with a dot in it may look like two
                name += "_"
            named[name] = x
    return named


def draw(
    template: Any, key: jax.Array, config: jax.Array, unit: jax.Array | None = None
) -> tuple[jax.Array, ...]:
    """The numbers of configuration ``config``, one a space, in leaf order.

    A random space draws from ``key``, ``config`` and its own name, so that adding a
    space or a configuration changes no other number. Grids are counted through like the
    digits of a number, the last one fastest.

    With ``unit``, points of the unit cube of shape (configurations, random spaces), a random
    space takes its quantile at the configuration's point instead.
    """
    named = spaces(template)
    sizes = [s.size for s in named.values() if isinstance(s, Axis)]
    trial_key = jax.random.fold_in(key, config)
    point = None if unit is None else unit[config % unit.shape[0]]
    numbers: list[jax.Array] = []
    seen = 0
    for name, space in named.items():
        if isinstance(space, Axis):
            seen += 1
            stride = prod(sizes[seen:])
            numbers.append(space.values()[(config // stride) % space.size])
        else:
            if not isinstance(space, Distribution):
                raise TypeError(f"{name[2:]} must be a grid or a distribution, got {space!r}.")
            if point is not None:
                numbers.append(space.quantile(point[len(numbers) - seen]))
                continue
            own_key = jax.random.fold_in(trial_key, zlib.crc32(name.encode()) >> 1)
            numbers.append(space.draw(own_key))
    return tuple(numbers)


def grid_size(template: Any) -> int | None:
    """The number of points of all grids multiplied out, or ``None`` without a grid."""
    sizes = [s.size for s in spaces(template).values() if isinstance(s, Axis)]
    return prod(sizes) if sizes else None


def fill(template: Any, numbers: Any) -> Any:
    """``template`` with its spaces replaced, in leaf order, by ``numbers``."""
    remaining = iter(numbers)
    return jax.tree.map(lambda x: next(remaining) if is_space(x) else x, template, is_leaf=is_space)


def canonical(x: Any, *, one_float: bool = False) -> Any:
    """Every number as an array of a definite dtype, so that equal calls trace once.

    Python numbers take the default dtypes, and arrays keep theirs; with ``one_float``
    every float takes the default one.
    """
    default_float = jnp.result_type(float)

    def leaf(a: Any) -> Any:
        # A Python number stays on the host, to be put on a device with the others in one go.
        if isinstance(a, int) and not isinstance(a, bool):
            # Steps of billions are floats here, as they are in schedules.
            return np.asarray(a, np.int32 if abs(a) <= np.iinfo(np.int32).max else default_float)
        if isinstance(a, float):
            return np.asarray(a, default_float)
        # The dtype is given each time, or a scalar would stay weakly typed.
        dtype = jnp.result_type(a)
        default = one_float and jnp.issubdtype(dtype, jnp.floating)
        return jnp.asarray(a, default_float if default else dtype)

    return jax.tree.map(leaf, x)


def _name(root: Any, path: tuple[Any, ...]) -> str:
    parts: list[str] = []
    node = root
    for key in path:
        parent, node = node, _child(node, key)
        if isinstance(key, jax.tree_util.SequenceKey) and _holds_transforms(parent):
            parts.append(part_names(parent)[key.idx])
        elif not (isinstance(key, jax.tree_util.GetAttrKey) and _holds_transforms(node)):
            parts.append(path_name((key,)))
    return ".".join(parts)


def _child(node: Any, key: Any) -> Any:
    """What lies behind one key of a path; ``None`` in somebody's own container."""
    if isinstance(key, jax.tree_util.GetAttrKey):
        return getattr(node, key.name, None)
    if isinstance(key, jax.tree_util.SequenceKey) and isinstance(node, tuple | list):
        return node[key.idx]
    if isinstance(key, jax.tree_util.DictKey) and isinstance(node, dict):
        return node[key.key]
    return None


def _holds_transforms(node: Any) -> bool:
    """Whether a node is a container of transforms and nothing else."""
    parts = node.values() if isinstance(node, dict) else node
    is_container = isinstance(node, tuple | list | dict) and len(node) > 0
    return is_container and all(isinstance(x, Transform) for x in parts)
