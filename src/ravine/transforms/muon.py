"""Momentum whose matrices are orthogonalized: Muon's direction, and its scale by shape."""

import math
from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    bias_correction,
    complement,
    concrete,
    fine,
    over,
    safe_increment,
    times,
)
from ravine.core.rule import rule
from ravine.core.types import (
    Decay,
    DType,
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
    matrices_of,
    to_matrices,
)
from ravine.transforms.newton_schulz import (
    STANDARD,
    Count,
    NSCoeffs,
    Preconditioning,
    coefficients,
    orthogonalize_all,
)


class ScaleByMuonState(NamedTuple):
    """The step count (int32), and the mean gradient before its bias is taken out."""

    count: jax.Array  # type: ignore[assignment]
    mu: Updates


@rule
class ScaleByMuon(Transform):
    r"""Muon's direction: momentum with its singular values brought near 1.

    .. math::
        m_t = \beta m_{t-1} + (1-\beta) g_t, \qquad
        u_t = \mathrm{NS}(\hat m_t) \approx U V^\top \quad\text{where}\quad
        \hat m_t = U \Sigma V^\top.

    Matrices of the same shape, counting a tall one as its transpose, are orthogonalized in one
    batched call. A vector or a number counts as a matrix of one row, and is divided by its norm.

    Args:
        ns_coeffs: coefficients of the Newton-Schulz iteration: three numbers for all iterations,
            a tuple of triples, one an iteration, or ``"standard"``, ``"dion"`` or
            ``"polar_express"``.
        ns_steps: number of iterations; a tuple of triples has its own.
        beta: decay :math:`\beta` of the mean, in [0, 1).
        eps: :math:`\epsilon \ge 0`, against division by the norm of zero.
        mu_dtype: dtype of the mean; that of the parameters by default.
        nesterov: use Dozat's :math:`\hat m`, which looks one step ahead.
        adaptive: multiply by the inner product of :math:`\hat m` and :math:`u`, the dual norm.
        preconditioning: how a matrix is scaled before the iteration: by its Frobenius norm, its
            spectral norm, as an almost orthogonal layer (``"aol"``), or by its Schatten norm.
        weight_dimension_numbers: which axes make a matrix: ``MuonDimensionNumbers``, a tree of
            them, or a function from the updates to such a tree; leaves with two axes by default.
        gram: iterate on the small product :math:`X X^\top`: the same result but for rounding,
            and cheaper where a matrix is twice as wide as tall, or more.
        ns_dtype: dtype of the iteration, such as bfloat16; that of the leaf or float32 by
            default, whichever is finer.
        sign: orthogonalize the signs of :math:`\hat m`, as AdaMuon does.

    Raises:
        ValueError: if the dimension numbers do not fit a leaf, or one with three axes or more
            has none.

    Reference: Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024,
    https://kellerjordan.github.io/posts/muon/; Amsel et al., The Polar Express, 2025,
    https://arxiv.org/abs/2505.16932; Boissin et al., Turbo-Muon, 2025,
    https://arxiv.org/abs/2512.04632.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByMuon("polar_express", ns_steps=8)
    >>> g = jnp.array([[3.0, 0.0, 0.0], [0.0, 0.0, -0.1]])
    >>> transform.update(g, transform.init(g))[0].round(3) + 0.0
    Array([[ 1.,  0.,  0.],
           [ 0.,  0., -1.]], dtype=float32)
    """

    ns_coeffs: NSCoeffs = STANDARD
    ns_steps: Count = 5
    beta: Decay = 0.95
    eps: NonNegative = 1e-8
    mu_dtype: Static[DType] = None
    _: KW_ONLY
    nesterov: Static[bool] = True
    adaptive: Static[bool] = False
    preconditioning: Preconditioning = "frobenius"
    weight_dimension_numbers: Static[DimensionNumbers] = None
    gram: Static[bool] = False
    ns_dtype: Static[DType] = None
    sign: Static[bool] = False

    def init(self, params: Params) -> ScaleByMuonState:
        return ScaleByMuonState(jnp.zeros((), jnp.int32), tree.zeros_like(params, self.mu_dtype))

    def update(
        self, updates: Updates, state: ScaleByMuonState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, ScaleByMuonState]:
        t = safe_increment(state.count)
        # m = b m + (1 - b) g
        mu = tree.moment(self.beta, state.mu, updates)
        m_hat = debiased(self.beta, mu, updates, t, self.nesterov)
        if self.sign:
            m_hat = jax.tree.map(jnp.sign, m_hat)
        # u = NS(m^)
        dims = matrices_of("ScaleByMuon", self.weight_dimension_numbers, updates)
        leaves, structure = jax.tree.flatten(m_hat)
        o = orthogonalize_all(
            [to_matrices(m, d) for m, d in zip(leaves, dims, strict=True)],
            coefficients(self.ns_coeffs, self.ns_steps),
            concrete(self.eps),
            self.preconditioning,
            self.gram,
            self.ns_dtype,
        )
        u = [from_matrices(x, m.shape, d) for x, m, d in zip(o, leaves, dims, strict=True)]
        if self.adaptive:
            # u = <m^, u> u
            u = [jnp.sum(m.conj() * x) * x for m, x in zip(leaves, u, strict=True)]
        new = ScaleByMuonState(t, tree.cast_like(mu, state.mu))
        return tree.cast_like(jax.tree.unflatten(structure, u), updates), new


@rule
class ScaleByShape(Transform):
    r"""Scale a matrix by its shape, so that one learning rate suits all widths.

    .. math::
        u \leftarrow \sqrt{\max(1, n_\text{out} / n_\text{in})}\; u, \qquad\text{or}\qquad
        u \leftarrow r \sqrt{\max(n_\text{out}, n_\text{in})}\; u.

    The second gives an orthogonal matrix the root mean square :math:`r`. What is no matrix
    stays as it is.

    Args:
        weight_dimension_numbers: which axes make a matrix, as in ``ScaleByMuon``.
        consistent_rms: :math:`r \ge 0`, 0.2 for steps as long as Adam's; ``None`` for the
            first formula.

    Reference: Liu et al., Muon is scalable for LLM training, 2025,
    https://arxiv.org/abs/2502.16982.

    >>> import jax.numpy as jnp
    >>> ScaleByShape().update(jnp.ones((1, 4)), EmptyState())[0]
    Array([[2., 2., 2., 2.]], dtype=float32)
    """

    weight_dimension_numbers: Static[DimensionNumbers] = None
    consistent_rms: NonNegative | None = None

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: EmptyState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, EmptyState]:
        dims = matrices_of("ScaleByShape", self.weight_dimension_numbers, updates)
        leaves, structure = jax.tree.flatten(updates)

        def leaf(u: Any, d: Any) -> jax.Array:
            n_in, n_out = fans(jnp.shape(u), d)
            x = fine(u)
            if d is None or not x.size:
                return jnp.asarray(u)
            if self.consistent_rms is None:
                x = times(math.sqrt(max(1, n_out / n_in)), x)
            else:
                x = times(self.consistent_rms, times(math.sqrt(max(n_out, n_in)), x))
            return x.astype(jnp.result_type(u))

        new = [leaf(u, d) for u, d in zip(leaves, dims, strict=True)]
        return jax.tree.unflatten(structure, new), state


def debiased(beta: Any, mu: Updates, g: Updates, t: jax.Array, nesterov: bool) -> Updates:
    """The mean without the bias of its start, looking one step ahead if ``nesterov``."""
    c = bias_correction(beta, t)
    if not nesterov:
        return jax.tree.map(lambda m: over(m, c), mu)
    c_next = bias_correction(beta, safe_increment(t))

    def ahead(m: jax.Array, g: Any) -> jax.Array:
        # m^ = b m / (1 - b^(t+1)) + (1 - b) g / (1 - b^t)
        m_hat = times(beta, over(m, c_next))
        return m_hat + times(complement(beta), over(fine(g).astype(m.dtype), c))

    return jax.tree.map(ahead, mu, g)
