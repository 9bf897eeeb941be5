"""What kind of point is this? A minimum, a saddle, a maximum, or flat; and how to step there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ravine.core.errors import check_params
from ravine.core.flat import ravel, unravel
from ravine.core.numerics import as_key
from ravine.core.paths import leaf_paths
from ravine.report.lanczos import lanczos

METHODS = ("auto", "dense", "lanczos")
DENSE = 256
"""Up to so many parameters ``"auto"`` works out the whole Hessian."""


@dataclass(frozen=True, eq=False)
class Classification:
    r"""What ``classify`` found out about a point.

    ``kind`` is ``"minimum"``, ``"saddle"``, ``"maximum"``, ``"flat"`` or ``"not stationary"``.
    A flat point is stationary, and some eigenvalue is too near to zero to tell its sign while
    the others agree, so the Hessian does not decide.

    For a function that is nearly quadratic there, with eigenvalues from :math:`\mu` to
    :math:`L`, descent converges for any learning rate below ``max_learning_rate`` :math:`= 2/L`,
    fastest at ``learning_rate`` :math:`= 2/(L+\mu)`; with momentum, fastest at
    ``heavy_ball_learning_rate`` :math:`= 4/(\sqrt L+\sqrt\mu)^2` and ``heavy_ball_momentum``
    :math:`= ((\sqrt L-\sqrt\mu)/(\sqrt L+\sqrt\mu))^2`. ``rate`` and ``heavy_ball_rate`` say
    what then remains of the error after a step. Those that need :math:`\mu > 0` are
    ``None`` elsewhere, as is ``condition`` :math:`= L/\mu`.
    """

    kind: str
    value: float
    grad_norm: float
    smallest: float
    """The smallest eigenvalue of the Hessian; by Lanczos, an upper bound of it."""
    largest: float
    """The largest; by Lanczos, a lower bound."""
    error: float
    """How far the two may be off: rounding, and what Lanczos has not resolved."""
    condition: float | None
    max_learning_rate: float | None
    learning_rate: float | None
    rate: float | None
    heavy_ball_learning_rate: float | None
    heavy_ball_momentum: float | None
    heavy_ball_rate: float | None
    size: int
    """The number of parameters."""
    method: str
    eigenvalues: np.ndarray = field(repr=False)
    """All eigenvalues in rising order; by Lanczos, those that it stands for."""

    def __repr__(self) -> str:
        numbers = "parameter" if self.size == 1 else "parameters"
        how = "all eigenvalues" if self.method == "dense" else f"{len(self.eigenvalues)} by Lanczos"
        rows = [
            ("value", self.value),
            ("norm of the gradient", self.grad_norm),
            ("smallest eigenvalue", self.smallest),
            ("largest eigenvalue", self.largest),
            ("their error", self.error),
            ("condition number", self.condition),
            ("descent: learning rate below", self.max_learning_rate),
            ("  best learning rate", self.learning_rate),
            ("  error left by a step", self.rate),
            ("heavy ball: best learning rate", self.heavy_ball_learning_rate),
            ("  best momentum", self.heavy_ball_momentum),
            ("  error left by a step", self.heavy_ball_rate),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name.ljust(width)}  {x:.6g}" for name, x in rows if x is not None]
        return "\n".join([f"{self.kind} ({self.size} {numbers}, {how})", *lines])


def classify(
    loss: Callable[..., Any],
    params: Any,
    *inputs: Any,
    method: str = "auto",
    steps: int = 100,
    key: Any = 0,
    grad_tol: float | None = None,
    zero_tol: float | None = None,
    has_aux: bool = False,
) -> Classification:
    r"""Say what kind of point ``params`` is, from the gradient and the Hessian's eigenvalues.

    Args:
        loss: ``loss(params, *inputs)``; returns a real scalar, or ``(scalar, aux)`` with
            ``has_aux``. A complex leaf counts as its real and its imaginary part.
        params: the point, a tree of floats.
        inputs: what the loss takes behind the parameters, such as a batch.
        method: ``"dense"`` for all eigenvalues of the whole Hessian; ``"lanczos"`` for the extreme
            ones, from ``steps`` products with vectors; ``"auto"`` for the first up to 256
            parameters.
        steps: how many products Lanczos takes, each about two gradients; it keeps as many vectors
            of the size of the parameters, and makes each orthogonal to all before it.
        key: an integer seed or a JAX random key for the vector with which Lanczos begins.
        grad_tol: how large the gradient's norm may be at a stationary point. By default
            :math:`\sqrt\epsilon\, L \max(1, \|x\|)`, with :math:`\epsilon` the unit of
            rounding: a relative change of the parameters by half their digits.
        zero_tol: how small an eigenvalue may be to count as zero, relative to the largest
            magnitude; by default :math:`\epsilon^{2/3}`.
        has_aux: whether the loss returns ``(value, aux)``.

    Raises:
        TypeError: if the parameters are no floats.
        ValueError: if there is no such method, or the loss is not finite there.

    Reference: Lanczos, An iteration method for the solution of the eigenvalue problem of linear
    differential and integral operators, 1950, https://doi.org/10.6028/jres.045.026; Polyak, Some
    methods of speeding up the convergence of iteration methods, 1964,
    https://doi.org/10.1016/0041-5553(64)90137-5.

    >>> classify(lambda x: 2 * x[0] ** 2 + x[1] ** 2 / 2, jnp.zeros(2))
    minimum (2 parameters, all eigenvalues)
      value                           0
      norm of the gradient            0
      smallest eigenvalue             1
      largest eigenvalue              4
      their error                     6.74349e-07
      condition number                4
      descent: learning rate below    0.5
        best learning rate            0.4
        error left by a step          0.6
      heavy ball: best learning rate  0.444444
        best momentum                 0.111111
        error left by a step          0.333333
    """
    if method not in METHODS:
        raise ValueError(f"classify: method must be one of {METHODS}, got {method!r}.")
    check_params("classify", params)
    for path, leaf in zip(leaf_paths(params), jax.tree.leaves(params), strict=True):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise TypeError(
                f"classify: params must hold floats, got {jnp.result_type(leaf)} at "
                f"{path or 'the root'}."
            )
    params = jax.tree.map(jnp.asarray, params)
    n = ravel(params).size
    if n == 0:
        raise ValueError("classify: params hold no number, so there is nothing to classify.")
    if method == "auto":
        method = "dense" if n <= DENSE else "lanczos"
    function = _OnVectors(loss, has_aux)
    value, g = _value_and_grad(function, params, inputs)
    if not (np.isfinite(value) and np.isfinite(g).all()):
        raise ValueError(
            f"classify: the loss or its gradient is not finite at params: the value is {value}."
        )
    if method == "dense":
        H = np.asarray(_hessian(function, params, inputs))
        eigenvalues, missed = np.linalg.eigvalsh((H + H.T) / 2), 0.0
    else:
        eigenvalues, missed = lanczos(function, params, inputs, min(steps, n), as_key(key))
    eps, size = float(jnp.finfo(g.dtype).eps), float(np.max(np.abs(eigenvalues)))
    zero = (eps ** (2 / 3) if zero_tol is None else zero_tol) * size
    if grad_tol is None:
        grad_tol = sqrt(eps) * size * max(1.0, float(jnp.linalg.norm(ravel(params))))
    grad_norm = float(jnp.linalg.norm(g))
    low, high = float(eigenvalues[0]), float(eigenvalues[-1])
    kind = _kind(low, high, zero, missed) if grad_norm <= grad_tol else "not stationary"
    return Classification(
        kind=kind,
        value=float(value),
        grad_norm=grad_norm,
        smallest=low,
        largest=high,
        error=missed + n**0.5 * eps * size,
        **_step_sizes(low, high, zero + missed),
        size=n,
        method=method,
        eigenvalues=eigenvalues,
    )


def _kind(low: float, high: float, zero: float, missed: float) -> str:
    # The true extremes lie outside of those that were found, by about as much as is missed.
    if low < -zero and high > zero:
        return "saddle"
    if low - missed > zero:
        return "minimum"
    return "maximum" if high + missed < -zero else "flat"


def _step_sizes(low: float, high: float, zero: float) -> dict[str, float | None]:
    """The step sizes that follow from the extreme eigenvalues."""
    names = [
        "condition", "learning_rate", "rate",
        "heavy_ball_learning_rate", "heavy_ball_momentum", "heavy_ball_rate",
    ]  # fmt: skip
    out: dict[str, float | None] = dict.fromkeys(names)
    out["max_learning_rate"] = 2 / high if high > zero else None
    if low > zero:
        root, least = sqrt(high), sqrt(low)
        share = (root - least) / (root + least)
        values = (high / low, 2 / (high + low), (high - low) / (high + low))
        out |= zip(names, (*values, 4 / (root + least) ** 2, share**2, share), strict=True)
    return out


@dataclass(frozen=True)
class _OnVectors:
    """A loss as a function of a vector; of the same loss the same, so that it compiles once."""

    loss: Callable[..., Any]
    has_aux: bool

    def __call__(self, x: jax.Array, like: Any, inputs: Any) -> jax.Array:
        out = self.loss(unravel(x, like), *inputs)
        return jnp.asarray(out[0] if self.has_aux else out).astype(x.dtype)


@partial(jax.jit, static_argnums=0)
def _value_and_grad(function: Any, params: Any, inputs: Any) -> Any:
    return jax.value_and_grad(function)(ravel(params), params, inputs)


@partial(jax.jit, static_argnums=0)
def _hessian(function: Any, params: Any, inputs: Any) -> jax.Array:
    return jax.jacfwd(jax.grad(function))(ravel(params), params, inputs)
