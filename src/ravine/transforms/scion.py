"""The farthest point of a norm's unit ball along the gradient, layer by layer."""

import math
from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.choice import one_of
from ravine.core.numerics import abs_sq, at, concrete, fine, over, safe_sqrt, times
from ravine.core.rule import rule
from ravine.core.types import (
    STATIC,
    EmptyState,
    NonNegative,
    Params,
    Static,
    Transform,
    Updates,
)
from ravine.transforms.matrices import (
    DimensionNumbers,
    fans,
    from_matrices,
    resolve_dimension_numbers,
    to_matrices,
)
from ravine.transforms.newton_schulz import (
    STANDARD,
    Count,
    NSCoeffs,
    coefficients,
    orthogonalize_all,
)

Norm: TypeAlias = Annotated[str, STATIC, one_of("spectral", "sign", "colnorm", "rownorm")]


@rule
class ScaleByLmo(Transform):
    r"""Scion's direction: the farthest point of a unit ball along the gradient.

    .. math::
        u = s \arg\max_{\|x\| \le 1} \langle x, g \rangle,

    of a matrix with :math:`n_\text{in}` rows and :math:`n_\text{out}` columns, by its norm,

    .. math::
        \text{spectral:}\ \sqrt{n_\text{out} / n_\text{in}}\; U V^\top, \quad
        \text{sign:}\ \mathrm{sign}(g) / n_\text{in}, \quad
        \text{colnorm:}\ \frac{\sqrt{n_\text{out}}\; g_i}{\|g_i\|}, \quad
        \text{rownorm:}\ \frac{g^j}{\sqrt{n_\text{in}}\; \|g^j\|},

    where :math:`g_i` is what one input gives to all outputs, and :math:`g^j` what one output
    takes from all inputs. A vector is divided by its root mean square.

    Args:
        norm: the norm of matrices: ``"spectral"``, ``"sign"`` for last layers, ``"colnorm"`` for
            first ones and embeddings, ``"rownorm"``.
        scale: radius :math:`s \ge 0` of the ball.
        eps: :math:`\epsilon \ge 0`, added to a norm that divides.
        ns_coeffs: coefficients of the Newton-Schulz iteration, as in ``ScaleByMuon``.
        ns_steps: number of its iterations.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function; by default all axes but the last are rows.

    Reference: Pethick et al., Training deep learning models with norm-constrained LMOs, 2025,
    https://arxiv.org/abs/2502.07529.

    >>> import jax.numpy as jnp
    >>> g = jnp.array([[3.0, -4.0], [0.1, 0.0]])
    >>> ScaleByLmo("sign").update(g, EmptyState())[0]
    Array([[ 0.5, -0.5],
           [ 0.5,  0. ]], dtype=float32)
    """

    norm: Norm = "spectral"
    scale: NonNegative = 1.0
    eps: NonNegative = 1e-8
    ns_coeffs: NSCoeffs = STANDARD
    ns_steps: Count = 5
    weight_dimension_numbers: Static[DimensionNumbers] = None

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        dims = resolve_dimension_numbers(self.weight_dimension_numbers, updates, fold=True)
        leaves, structure = jax.tree.flatten(updates)
        matrices = [to_matrices(fine(g), d) for g, d in zip(leaves, dims, strict=True)]
        farthest = [
            self._vector(m) if d is None else m for m, d in zip(matrices, dims, strict=True)
        ]
        are = [i for i, d in enumerate(dims) if d is not None]
        sizes = [fans(jnp.shape(leaves[i]), dims[i]) for i in are]
        found = self._matrices([matrices[i] for i in are], sizes)
        for i, x in zip(are, found, strict=True):
            farthest[i] = x
        u = [
            times(self.scale, from_matrices(x, jnp.shape(g), d))
            for x, g, d in zip(farthest, leaves, dims, strict=True)
        ]
        return tree.cast_like(jax.tree.unflatten(structure, u), updates), state

    def _vector(self, g: jax.Array) -> jax.Array:
        # u = g / rms(g)
        return self._unit(g, (-2, -1)) * math.sqrt(g.size)

    def _matrices(self, gs: list[jax.Array], sizes: list[tuple[int, int]]) -> list[jax.Array]:
        if self.norm == "spectral":
            coeffs = coefficients(self.ns_coeffs, self.ns_steps)
            units = orthogonalize_all(gs, coeffs, concrete(self.eps))
            factors = [math.sqrt(n_out / max(n_in, 1)) for n_in, n_out in sizes]
        elif self.norm == "sign":
            units = [jnp.sign(g) for g in gs]
            factors = [1 / max(n_in, 1) for n_in, _ in sizes]
        elif self.norm == "colnorm":
            units = [self._unit(g, -1) for g in gs]
            factors = [math.sqrt(n_out) for _, n_out in sizes]
        else:
            units = [self._unit(g, -2) for g in gs]
            factors = [1 / math.sqrt(max(n_in, 1)) for n_in, _ in sizes]
        return [times(f, x) for f, x in zip(factors, units, strict=True)]

    def _unit(self, g: jax.Array, axis: Any) -> jax.Array:
        """``g`` divided by its norm along ``axis``."""
        norm = safe_sqrt(jnp.sum(abs_sq(g), axis=axis, keepdims=True))
        return over(g, jnp.broadcast_to(norm + at(self.eps, norm), g.shape))
