"""What an optimization problem is: a loss, a start, and what is known about the two."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.numerics import as_key
from ravine.core.paths import leaf_paths
from ravine.core.types import Params


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    r"""A loss to minimise: :math:`\min_\theta f(\theta)`, or the mean of f over examples.

    Only ``loss`` and ``init`` are needed; each further field is one thing more that is known.
    Calling the problem evaluates the loss, on all the data where there are some.

    Args:
        loss: ``loss(params)``, or ``loss(params, batch)`` when ``data`` is given; returns a scalar.
        init: where to start: a tree of arrays of floats, or a function ``key -> params``.
        name: how to call it; the name of the loss by default.
        data: a tree of arrays with a common leading axis, one row an example.
        batch_size: the usual number of examples a step; ``None`` takes all of them.
        metrics: measures by name, each ``params -> scalar``, on data held out of the training.
        minima: known minimisers, each a tree like the start, in double precision where known.
        minimum: the smallest value; ``-inf`` for a loss unbounded below, ``None`` if unknown.
        residuals: where the loss is a sum of squares, the vector of what is squared: a function
            with the arguments of the loss, for methods of Gauss and Newton.
        domain: where people start and draw: ``(lower, upper)``, numbers or arrays like a start.
        citation: where the problem comes from.
        description: what makes it hard, in a sentence.

    Raises:
        TypeError: if a field is of the wrong kind, or the start holds something other than floats.
        ValueError: if the fields contradict each other.

    >>> import jax.numpy as jnp
    >>> bowl = Problem(lambda x: jnp.sum(x**2), init=jnp.ones(3), name="bowl", minimum=0.0)
    >>> bowl
    Problem(name='bowl', batch_size=None, minimum=0.0)
    >>> bowl(bowl.start())
    Array(3., dtype=float32)
    """

    loss: Callable[..., Any] = dataclasses.field(repr=False)
    init: Any = dataclasses.field(repr=False)
    _: dataclasses.KW_ONLY
    name: str = ""
    data: Any = dataclasses.field(default=None, repr=False)
    batch_size: int | None = None
    metrics: Mapping[str, Callable[[Any], Any]] = dataclasses.field(
        default_factory=dict, repr=False
    )
    minima: tuple[Any, ...] = dataclasses.field(default=(), repr=False)
    minimum: float | None = None
    residuals: Callable[..., Any] | None = dataclasses.field(default=None, repr=False)
    domain: tuple[Any, Any] | None = dataclasses.field(default=None, repr=False)
    citation: str = dataclasses.field(default="", repr=False)
    description: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        """Check every field, and give the name its default."""
        if not callable(self.loss):
            raise TypeError(
                f"Problem: loss must be a function of the parameters, got {self.loss!r}. "
                "Give the function itself, not its value."
            )
        if self.residuals is not None and not callable(self.residuals):
            raise TypeError(
                f"Problem: residuals must be a function or None, got {self.residuals!r}. "
                "Give the function itself, not its value."
            )
        name = self.name or getattr(self.loss, "__name__", type(self.loss).__name__)
        for field in ("name", "citation", "description"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(f"Problem: {field} must be a text, got {getattr(self, field)!r}.")
        checked = {
            "name": name,
            "metrics": _checked_metrics(self.metrics),
            "minimum": _checked_minimum(self.minimum),
            "domain": _checked_domain(self.domain),
        }
        if not self.has_init_function:
            _check_start("init", self.init)
        checked["minima"] = _checked_minima(
            self.minima, None if self.has_init_function else self.init
        )
        _check_batches(_examples(self.data), self.batch_size)
        for field, value in checked.items():
            object.__setattr__(self, field, value)

    def __call__(self, params: Params) -> Any:
        """The loss at ``params``, on all the data where there are some."""
        return self.loss(params) if self.data is None else self.loss(params, self.data)

    @property
    def has_init_function(self) -> bool:
        """Whether ``init`` makes a start from a key; a model that is a tree may be callable."""
        return callable(self.init) and jax.tree_util.all_leaves([self.init])

    @property
    def examples(self) -> int | None:
        """The number of examples, or ``None`` for a problem without data."""
        return _examples(self.data)

    def start(self, key: Any = 0) -> Params:
        """The start, drawn with ``key`` (a seed or a random key) if ``init`` is a function.

        Raises:
            TypeError: if what ``init`` returns is no tree of floats.
        """
        if not self.has_init_function:
            return self.init
        params = self.init(as_key(key))
        _check_start("what init(key) returns", params)
        return params


def _check_start(name: str, params: Any) -> None:
    """Check that a start is a tree of floats, which alone have gradients."""
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(
            f"Problem: {name} holds no array, so there is nothing to optimize. Give an array, a "
            f"tree of arrays, or a function key -> params; got {params!r}."
        )
    for path, leaf in zip(leaf_paths(params), leaves, strict=True):
        dtype = getattr(leaf, "dtype", None)
        if not (isinstance(leaf, float | complex) if dtype is None else _is_inexact(dtype)):
            what = f"{type(leaf).__name__} {leaf!r}" if dtype is None else str(dtype)
            where = f" at {path!r}" if path else ""
            raise TypeError(
                f"Problem: {name} must hold floats, got {what}{where}. Write 1.0 for 1, or convert "
                "with jnp.asarray(x, float). Whole numbers have no gradient; what is not optimized "
                "belongs inside the loss."
            )


def _is_inexact(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.inexact)


def _examples(data: Any) -> int | None:
    """The length of the leading axis that all arrays of ``data`` share."""
    if data is None:
        return None
    shapes = dict(zip(leaf_paths(data), map(jnp.shape, jax.tree.leaves(data)), strict=True))
    for path, shape in shapes.items():
        if not shape:
            raise ValueError(
                f"Problem: data at {path!r} is a single number, and every array of the data needs "
                "a leading axis, one row an example. Lists of numbers must be made arrays first."
            )
    lengths = {shape[0] for shape in shapes.values()}
    if len(lengths) != 1 or 0 in lengths:
        listed = ", ".join(f"{path!r}: {shape}" for path, shape in shapes.items()) or "nothing"
        raise ValueError(
            "Problem: data must hold arrays with one common, nonempty leading axis, one row an "
            f"example; it holds {listed}. Possible causes: (a) an array transposed; (b) training "
            "and held-out data mixed: measures on the latter belong in metrics."
        )
    return lengths.pop()


def _check_batches(examples: int | None, batch_size: Any) -> None:
    if batch_size is None:
        return
    if examples is None:
        raise ValueError("Problem: batch_size is given without data. Give data=(x, y) too.")
    if not isinstance(batch_size, int) or isinstance(batch_size, bool):
        raise TypeError(f"Problem: batch_size must be an int, got {batch_size!r}.")
    if not 1 <= batch_size <= examples:
        raise ValueError(
            f"Problem: batch_size must be in [1, {examples}], the number of examples; "
            f"got {batch_size}. None takes all of them."
        )


def _checked_metrics(metrics: Any) -> dict[str, Any]:
    if not isinstance(metrics, Mapping):
        raise TypeError(
            "Problem: metrics must be a dict from names to functions of the parameters, got "
            f"{type(metrics).__name__}. Write metrics={{'test_accuracy': function}}."
        )
    for name, metric in metrics.items():
        if not isinstance(name, str) or not callable(metric):
            raise TypeError(
                "Problem: metrics must map a name to a function of the parameters, got "
                f"{name!r}: {metric!r}."
            )
    return dict(metrics)


def _checked_minima(minima: Any, start: Any) -> tuple[Any, ...]:
    """The minimisers as a tuple, each checked against ``start`` unless that is ``None``."""
    if not isinstance(minima, tuple | list):
        raise TypeError(
            f"Problem: minima must be a tuple of minimisers, got {type(minima).__name__}. "
            "Write minima=(x,) for one."
        )
    for i, x in enumerate(minima):
        if start is not None and _outline(x) != _outline(start):
            raise ValueError(
                f"Problem: minima[{i}] and init differ in their shapes: {_shapes(x)} against "
                f"{_shapes(start)}. Give both the same tree. One minimiser is written minima=(x,)."
            )
    return tuple(minima)


def _outline(params: Any) -> tuple[Any, list[tuple[int, ...]]]:
    leaves, structure = jax.tree.flatten(params)
    return structure, [jnp.shape(x) for x in leaves]


def _shapes(params: Any) -> Any:
    return jax.tree.map(jnp.shape, params)


def _checked_minimum(minimum: Any) -> float | None:
    if minimum is None:
        return None
    try:
        value = float(minimum)
    except (TypeError, ValueError):
        raise TypeError(f"Problem: minimum must be a number or None, got {minimum!r}.") from None
    if math.isnan(value):
        raise ValueError("Problem: minimum is NaN. Leave it None where it is unknown.")
    return value


def _checked_domain(domain: Any) -> tuple[Any, Any] | None:
    if domain is None:
        return None
    if not isinstance(domain, tuple | list) or len(domain) != 2:
        raise TypeError(f"Problem: domain must be a pair (lower, upper), got {domain!r}.")
    lower, upper = domain
    ordered = jax.tree.map(lambda a, b: bool(np.all(np.asarray(a) < np.asarray(b))), lower, upper)
    if not all(jax.tree.leaves(ordered)):
        raise ValueError(f"Problem: domain needs lower < upper everywhere, got {domain!r}.")
    return lower, upper
