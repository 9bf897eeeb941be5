"""What a trial is: everything about it follows from its id.

A trial's id counts configurations, and seeds within a configuration. Hyperparameters and
starting points are drawn inside the compiled program from ``fold_in(key, id)``, so a
million trials need no arrays on the host, and no trial depends on another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core.paths import leaf_paths
from ravine.core.rule import rule
from ravine.engine.batches import Data, Feed, take
from ravine.engine.prune import Judge
from ravine.spaces.sampling import draw, fill, grid_size


@rule
class Starts:
    """Given starting points, stacked: each leaf has a first axis that counts them.

    A sweep crosses them with its grids, or gives trial ``i`` start ``i % n``.

    Raises:
        ValueError: if the leaves disagree on the number of starts.

    >>> import numpy as np
    >>> len(Starts({"x": np.zeros((5, 2))}))
    5
    """

    params: Any

    def __post_init__(self) -> None:
        leaves = jax.tree.leaves(self.params)
        if all(hasattr(x, "shape") or isinstance(x, int | float) for x in leaves):
            counts = {jnp.shape(x)[:1] for x in leaves}
            if len(counts) != 1 or () in counts or (0,) in counts:
                shapes = ", ".join(
                    f"{jnp.shape(x)} at {path or 'the root'}"
                    for path, x in zip(leaf_paths(self.params), leaves, strict=True)
                )
                raise ValueError(
                    "Starts: every leaf needs the same first axis, which counts the starts; "
                    f"got {shapes or 'no leaves'}. Stack them: jax.vmap(init)(keys)."
                )

    def __len__(self) -> int:
        return int(jnp.shape(jax.tree.leaves(self.params)[0])[0])


@dataclass(frozen=True)
class Program:
    """The structure of a sweep: what, if changed, needs another executable."""

    loss: Callable[..., Any]
    init: Callable[[jax.Array], Any] | None
    has_aux: bool
    stochastic: bool
    seeds: int
    lanes: int
    room: int
    """How many ended trials the lanes hold for the host; at least ``lanes``."""
    steps: int
    segment: int
    every: int
    keep: int | None
    feed: Feed | None
    in_step: bool
    """Whether all lanes are at the same step, and take one and the same batch."""
    metric: Callable[[Any], Any] | None
    metric_every: int
    prune: Judge | None


class Operands(NamedTuple):
    """The numbers of a sweep: what may change without a new executable."""

    template: Any
    """Optimizer, args and stopping test, with spaces in them."""
    start: Any
    """Parameters, or ``Starts``, or ``None`` where a function makes them."""
    key: jax.Array
    seeds: jax.Array
    unit: Any
    """Points of a low-discrepancy set, from which the random spaces draw, or ``None``."""
    data: Data


class Trial(NamedTuple):
    """One trial, by its id: what stays the same from its first step to its last."""

    id: jax.Array
    seed: jax.Array
    key: Any
    """Follows from the id; ``None`` between segments, so that it costs nothing if unused."""
    numbers: tuple[jax.Array, ...]


class Abstract(NamedTuple):
    """The structure, shapes and dtypes of operands: hashable, to remember what was checked."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, operands: Operands) -> "Abstract":
        """Forget the numbers."""
        leaves, structure = jax.tree.flatten(operands)
        return cls(structure, tuple(jax.ShapeDtypeStruct(jnp.shape(x), x.dtype) for x in leaves))

    def operands(self) -> Operands:
        """Operands of shapes, for ``jax.eval_shape``."""
        return jax.tree.unflatten(self.structure, self.leaves)


def define(program: Program, operands: Operands, id: jax.Array) -> Trial:
    """The trial with this id."""
    config, seed = id // max(program.seeds, 1), id % max(program.seeds, 1)
    numbers = draw(operands.template, jax.random.fold_in(operands.key, 0), config, operands.unit)
    return Trial(id, seed, key_of(program, operands, id), numbers)


def key_of(program: Program, operands: Operands, id: jax.Array) -> jax.Array:
    """The key from which all that is random in a trial follows, but its hyperparameters."""
    config, seed = id // max(program.seeds, 1), id % max(program.seeds, 1)
    # With seeds, all configurations share the start and the noise of a seed.
    kind, index = (1, operands.seeds[seed]) if program.seeds else (2, config)
    return jax.random.fold_in(jax.random.fold_in(operands.key, kind), index)


def settings(operands: Operands, trial: Trial) -> tuple[Any, Any, Any]:
    """The trial's own optimizer, args and stopping test."""
    return fill(operands.template, trial.numbers)


def starting_point(program: Program, operands: Operands, trial: Trial) -> Any:
    """The parameters at which the trial begins."""
    if program.init is not None:
        return program.init(jax.random.fold_in(trial.key, 0))
    if isinstance(operands.start, Starts):
        config = trial.id // max(program.seeds, 1)
        index = config // (grid_size(operands.template) or 1) % len(operands.start)
        return jax.tree.map(lambda x: x[index], operands.start.params)
    return operands.start


@partial(jax.jit, static_argnums=0)
def numbers(program: Program, operands: Operands, ids: jax.Array) -> tuple[jax.Array, ...]:
    """The swept numbers of these trials: one array of shape (N,) a space."""
    return jax.vmap(lambda id: define(program, operands, id).numbers)(ids)


def batch_at(program: Program, operands: Operands, trial: Trial, step: jax.Array) -> Any:
    """The batch that a trial takes at a step."""
    return take(program.feed, operands.data, trial.seed, trial.key, step)


@jax.jit
def order_keys(key: jax.Array, seeds: jax.Array) -> jax.Array:
    """The keys from which the data orders of the seeds follow, one a seed."""
    order = jax.random.fold_in(key, 3)
    return jax.vmap(lambda seed: jax.random.fold_in(order, seed))(seeds)
