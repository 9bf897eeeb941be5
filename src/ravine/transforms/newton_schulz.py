"""The orthogonal factor of a matrix, by products alone: the Newton-Schulz iteration."""

from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core.choice import one_of
from ravine.core.numerics import abs_sq, at, safe_sqrt
from ravine.core.stack import in_stacks
from ravine.core.types import STATIC, Canonical

STANDARD = (3.4445, -4.775, 2.0315)
"""Jordan's coefficients: the steepest at zero that end between 0.7 and 1.2."""
DION = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
SAFETY = 1.01
"""By which Polar Express shrinks all but its last polynomial, against rounding above 1."""
POLAR_EXPRESS = (
    *(
        (a / SAFETY, b / SAFETY**3, c / SAFETY**5)
        for a, b, c in (
            (8.28721201814563, -23.595886519098837, 17.300387312530933),
            (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
            (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
            (3.3184196573706015, -2.488488024314874, 0.51004894012372),
            (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
            (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
            (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
        )
    ),
    (1.875, -1.25, 0.375),
)
PRESETS: dict[str, Any] = {"standard": STANDARD, "dion": DION, "polar_express": POLAR_EXPRESS}
PRECONDITIONINGS = ("frobenius", "spectral", "aol", "schatten")


def as_coefficients(x: Any) -> Any:
    """A preset's name, three numbers, or a tuple of triples of numbers, hashable."""
    if isinstance(x, str) and x in PRESETS:
        return x
    try:
        rows = [x] if all(isinstance(c, int | float) for c in x) else x
        rows = tuple(tuple(float(c) for c in row) for row in rows)
    except (TypeError, ValueError):
        rows = ()
    if isinstance(x, str) or not rows or any(len(row) != 3 for row in rows):
        raise TypeError(
            f"it must be three numbers, a tuple of triples, or one of {', '.join(PRESETS)}"
        )
    return rows if any(not isinstance(c, int | float) for c in x) else rows[0]


def as_count(x: int) -> int:
    """A number of iterations."""
    if x < 1:
        raise TypeError("it must be at least 1")
    return x


NSCoeffs: TypeAlias = Annotated[Any, STATIC, Canonical(as_coefficients)]
Preconditioning: TypeAlias = Annotated[str, STATIC, one_of(*PRECONDITIONINGS)]
Count: TypeAlias = Annotated[int, STATIC, Canonical(as_count)]


def coefficients(ns_coeffs: Any, ns_steps: int) -> list[tuple[float, float, float]]:
    """The three numbers of every iteration.

    One triple serves ``ns_steps`` iterations, and of Polar Express they take the first, the
    last one repeating. A tuple of triples is used as it is.
    """
    if ns_coeffs == "polar_express":
        return [POLAR_EXPRESS[min(i, len(POLAR_EXPRESS) - 1)] for i in range(ns_steps)]
    rows = PRESETS[ns_coeffs] if isinstance(ns_coeffs, str) else ns_coeffs
    return [rows] * ns_steps if isinstance(rows[0], float) else list(rows)


def orthogonalize(
    x: jax.Array,
    coeffs: list[tuple[float, float, float]],
    eps: Any = 1e-8,
    preconditioning: str = "frobenius",
    gram: bool = False,
) -> jax.Array:
    r"""Bring the singular values of every matrix of a stack near 1, and keep its vectors.

    .. math::
        X_{k+1} = a_k X_k + (b_k A_k + c_k A_k^2) X_k, \qquad A_k = X_k X_k^*,

    from an :math:`X_0` whose largest singular value is about 1: ``x`` over its Frobenius or
    spectral norm, or, in the first iteration, over the row sums of :math:`|A|` (almost
    orthogonal layers) or the Frobenius norm of :math:`A` (Schatten).

    Args:
        x: matrices of shape (count, rows, columns), with no more rows than columns.
        coeffs: :math:`(a_k, b_k, c_k)` of every iteration.
        eps: added to the norm, or the least that it counts for.
        preconditioning: how :math:`X_0` is scaled: frobenius, spectral, aol, or schatten.
        gram: iterate on :math:`A_k`, which is small if the matrix is wide, and multiply
            ``x`` at the end.
    """
    if preconditioning == "frobenius":
        norm = _frobenius(x)
        x = x / (norm + at(eps, norm)).astype(x.dtype)
    elif preconditioning == "spectral":
        norm = jnp.linalg.norm(x, ord=2, axis=(-2, -1), keepdims=True)
        x = x / (norm + at(eps, norm)).astype(x.dtype)
    a = x @ _adjoint(x)
    if preconditioning == "aol":
        s = _rsqrt(jnp.sum(jnp.abs(a), axis=-1, keepdims=True), eps).astype(x.dtype)
        x, a = x * s, a * s * s.mT
    elif preconditioning == "schatten":
        s = _rsqrt(_frobenius(a), eps).astype(x.dtype)
        x, a = x * s, a * s**2
    return _on_gram(x, a, coeffs) if gram else _on_matrix(x, a, coeffs)


def _on_matrix(x: jax.Array, a: jax.Array, coeffs: Any) -> jax.Array:
    for k, (c0, c1, c2) in enumerate(coeffs):
        a = a if k == 0 else x @ _adjoint(x)
        # X = a X + (b A + c A A) X
        x = c0 * x + (c1 * a + (c2 * a) @ a) @ x
    return x


def _on_gram(x: jax.Array, a: jax.Array, coeffs: Any) -> jax.Array:
    eye = jnp.eye(a.shape[-1], dtype=a.dtype)[None]
    q = None
    for k, (c0, c1, c2) in enumerate(coeffs):
        # P = a I + b A + c A A;  Q = P Q;  A = P A P
        p = c0 * eye + c1 * a + (c2 * a) @ a
        q = p if q is None else p @ q
        if k + 1 < len(coeffs):
            a = p @ a @ p
    return x if q is None else q @ x


def orthogonalize_all(
    matrices: list[jax.Array],
    coeffs: list[tuple[float, float, float]],
    eps: Any = 1e-8,
    preconditioning: str = "frobenius",
    gram: bool = False,
    dtype: Any = None,
) -> list[jax.Array]:
    """``orthogonalize`` for many stacks: one call for all that have the same two dimensions."""

    def batched(x: jax.Array) -> jax.Array:
        y = x if dtype is None else x.astype(dtype)
        return orthogonalize(y, coeffs, eps, preconditioning, gram).astype(x.dtype)

    # f(X^T) = f(X)^T, so a tall matrix goes with the wide ones.
    tall = [x.shape[-2] > x.shape[-1] for x in matrices]
    wide = [x.mT if t else x for x, t in zip(matrices, tall, strict=True)]
    out = in_stacks(batched, wide)
    return [y.mT if t else y for y, t in zip(out, tall, strict=True)]


def _adjoint(x: jax.Array) -> jax.Array:
    return x.mT.conj() if jnp.iscomplexobj(x) else x.mT


def _frobenius(x: jax.Array) -> jax.Array:
    return safe_sqrt(jnp.sum(abs_sq(x), axis=(-2, -1), keepdims=True))


def _rsqrt(size: jax.Array, eps: Any) -> jax.Array:
    """One over the root of a squared size, of which ``eps`` is the least."""
    least = at(eps, size) ** 2
    return jax.lax.rsqrt(jnp.maximum(size, least))
