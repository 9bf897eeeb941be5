"""What an entry of the registry is, and the random trees that it is run on."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.numerics import abs_sq, fine
from ravine.core.types import Transform
from ravine.interop.optax import FromOptax
from ravine.transforms.chain import snake_case


def nothing(updates: Any, params: Any) -> dict[str, Any]:
    """No extra arguments."""
    return {}


class Entry(NamedTuple):
    """One configuration, and what Optax calls it."""

    name: str
    rule: Transform
    optax: Callable[[], Any] | None = None
    """Builds Optax's counterpart; none where it has none, or where ours means to differ."""
    complex: bool = True
    """Whether Optax treats complex leaves as we do."""
    skip: int = 0
    """First steps whose result is a difference of equals: rounding decides, not the method."""
    still: int = 0
    """First steps in which it only looks at the gradients, and does not move."""
    extra: Callable[[Any, Any], dict[str, Any]] = nothing
    """The extra arguments of update, made from the updates and the parameters."""
    smooth: bool = True
    """Whether a small change of a gradient makes a small change: noise and signs do not."""
    by_magnitude: bool = True
    """Whether a complex leaf goes as real leaves do, whichever way it is turned."""
    bowl: Mapping[str, Any] | None = MappingProxyType({"learning_rate": 0.1})
    """Fields with which it finds the bottom of a bowl in 500 steps; none if it cannot."""

    @property
    def is_optimizer(self) -> bool:
        """Whether it is an optimizer, whose updates go downhill."""
        return isinstance(self.rule, ro.Optimizer)

    def update(self, updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        """One step, with the extra arguments that it needs."""
        return self.rule.update(updates, state, params, **self.extra(updates, params))


class Pair(NamedTuple):
    """A container that is neither a dict nor a list."""

    first: Any
    second: Any


def inverse_time(count: Any) -> Any:
    """A schedule as anybody would write it: a function of the step."""
    return 0.1 / (1.0 + count / 10)


def matrices(params: Any) -> Any:
    """A mask as anybody would write it: a function of the parameters."""
    return jax.tree.map(lambda p: jnp.ndim(p) == 2, params)


def doubled(updates: Any, params: Any) -> Any:
    """A transform as anybody would write it: a function of the updates and the parameters."""
    return jax.tree.map(lambda u: u + u, updates)


def tree_of(make: Callable[[tuple[int, ...], Any], Any], *dtypes: Any) -> Any:
    """A tree with all that trees may hold, its leaves made from shapes and, in turn, dtypes."""
    d = [dtypes[i % len(dtypes)] for i in range(3)]
    return {
        "layer": {"kernel": make((3, 2), d[0])},
        "pair": Pair([make((), d[1])], None),
        "empty": make((0,), d[2]),
        "nothing": None,
    }


def random_tree(
    rng: np.random.Generator, *dtypes: Any, steps: int | None = None, spread: float = 0.0
) -> Any:
    """Normal numbers, their magnitudes spread over ``10**-spread`` to ``10**spread``."""
    lead = () if steps is None else (steps,)

    def draw(shape: tuple[int, ...]) -> Any:
        size = (*lead, *shape)
        return rng.normal(size=size) * 10.0 ** rng.uniform(-spread, spread, size=size)

    def make(shape: tuple[int, ...], dtype: Any) -> Any:
        if np.issubdtype(dtype, np.complexfloating):
            return jnp.asarray(draw(shape) + 1j * draw(shape), dtype)
        return jnp.asarray(draw(shape), dtype)

    return tree_of(make, *dtypes)


def alike(name: str, factory: Any = None, **settings: Any) -> Entry:
    """An entry whose Optax counterpart has the same name, in snake case, and arguments.

    ``settings`` are fields of the entry, and arguments of both otherwise.
    """
    stem = name.partition("-")[0]
    fields = {k: settings.pop(k) for k in list(settings) if k not in Entry._fields}
    cls = getattr(ro, stem, None) or getattr(rt, stem)
    if factory is None:
        snake = snake_case(stem)
        factory = getattr(optax, snake, None) or getattr(optax.contrib, snake)
    ours = {our_name(cls, k): v for k, v in fields.items()}
    return Entry(name, cls(**ours), partial(factory, **fields), **settings)


def our_name(cls: type, name: str) -> str:
    """What we call an argument of Optax: the mask of weight decay has one name here."""
    is_mask = name == "mask" and "weight_decay_mask" in cls.__dataclass_fields__
    return "weight_decay_mask" if is_mask else name


def value(updates: Any, params: Any) -> dict[str, Any]:
    """The value of a loss, for those that want to know it."""
    squares = [jnp.sum(abs_sq(fine(u))).astype(float) for u in jax.tree.leaves(updates)]
    return {"value": sum(squares, jnp.full((), 0.5))}


EVERY = int(os.environ.get("RAVINE_TEST_EVERY", "1"))
"""Every so many entries are tested: on an old JAX, what goes wrong shows in some of them."""


def parametrize(entries: list[Entry]) -> pytest.MarkDecorator:
    """Run a test once for every entry, as its argument ``entry``."""
    entries = entries[::EVERY]
    return pytest.mark.parametrize("entry", entries, ids=[e.name for e in entries])


def promotion(entry: Entry) -> Any:
    """The promotion rules that the entry's code needs: Optax mixes dtypes freely."""
    return jax.numpy_dtype_promotion("standard" if isinstance(entry.rule, FromOptax) else "strict")


def steps(rule: Any, params: Any, gradients: list[Any]) -> list[Any]:
    """The updates of a rule or an entry for these gradients, one after another."""
    state, out = getattr(rule, "rule", rule).init(params), []
    for g in gradients:
        updates, state = rule.update(g, state, params)
        out.append(updates)
    return out
