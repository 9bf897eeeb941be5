"""One second moment for a whole block of parameters."""

from typing import Any

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import (
    abs_sq,
    bias_correction,
    compute_dtype,
    fine,
    over,
    real_dtype,
    safe_increment,
)
from ravine.core.paths import Labels, leaf_paths, resolve_labels
from ravine.core.rule import rule
from ravine.core.types import Decay, NonNegative, Params, Static, Transform, Updates
from ravine.transforms.adam import ScaleByAdamState, adaptive, unbiased


@rule
class ScaleByAdamMini(Transform):
    r"""Adam-mini's direction: Adam's, with one second moment a block of each leaf.

    .. math::
        m_t = \beta_1 m_{t-1} + (1-\beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1-\beta_2)\,\mathrm{mean}_{\text{block}} |g_t|^2, \qquad
        u_t = \hat m_t / (\sqrt{\hat v_t} + \epsilon).

    It saves the memory of almost all second moments. The authors' blocks are the attention
    heads of queries and keys, the output neurons of other matrices, and the tokens of
    embeddings.

    Args:
        b1: decay :math:`\beta_1` of the first moment, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment, in [0, 1).
        eps: :math:`\epsilon \ge 0`, outside the root.
        blocks: what a block is: ``"tensor"`` for a leaf as a whole, ``"element"`` for none,
            as in Adam, or the number of the axis along which the blocks lie: -1 for the
            output neurons of a kernel, 0 for the tokens of an embedding. One for all leaves,
            or a dict from globs over paths, or any other labels that ``Partition`` takes.

    Raises:
        ValueError: at init, if the blocks do not fit the parameters.

    Reference: Zhang et al., Adam-mini: use fewer learning rates to gain more, 2024,
    https://arxiv.org/abs/2406.16793.

    >>> import jax.numpy as jnp
    >>> transform = ScaleByAdamMini(blocks={"*kernel": -1, "*": "tensor"})
    >>> state = transform.init({"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)})
    >>> jax.tree.map(jnp.shape, state.nu)
    {'bias': (1,), 'kernel': (1, 3)}
    """

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    blocks: Static[Labels] = "tensor"

    def init(self, params: Params) -> ScaleByAdamState:
        leaves, structure = jax.tree.flatten(params)
        labels = resolve_labels(self.blocks, params).labels
        shapes = map(_block_shape, labels, leaf_paths(params), map(jnp.shape, leaves))
        moments = [
            jnp.zeros(shape, real_dtype(compute_dtype(p)))
            for shape, p in zip(shapes, leaves, strict=True)
        ]
        nu = jax.tree.unflatten(structure, moments)
        return ScaleByAdamState(jnp.zeros((), jnp.int32), tree.zeros_like(params), nu)

    def update(
        self,
        updates: Updates,
        state: ScaleByAdamState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, ScaleByAdamState]:
        t = safe_increment(state.count)

        def mean_square(g: Any, v: jax.Array) -> jax.Array:
            axes = tuple(i for i, n in enumerate(v.shape) if n != jnp.shape(g)[i])
            count = max(jnp.size(g) // max(v.size, 1), 1)
            return jnp.sum(abs_sq(fine(g)), axis=axes, keepdims=True) / count

        # m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) mean(|g|^2)
        mu = tree.moment(self.b1, state.mu, updates)
        nu = tree.moment(self.b2, state.nu, jax.tree.map(mean_square, updates, state.nu))
        # u = m^ / (sqrt(v^) + eps)
        mu_hat, c2 = unbiased(self.b1, mu, updates, t), bias_correction(self.b2, t)
        u = jax.tree.map(lambda m, v: adaptive(m, over(v, c2), self.eps, 0.0), mu_hat, nu)
        return tree.cast_like(u, updates), tree.cast_like(ScaleByAdamState(t, mu, nu), state)


def _block_shape(label: Any, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the second moments of a leaf: 1 along the axes that a block spans."""
    if label == "element":
        return shape
    if label == "tensor":
        return (1,) * len(shape)
    if not isinstance(label, int) or isinstance(label, bool):
        raise ValueError(
            "ScaleByAdamMini: blocks must be 'tensor', 'element' or the number of an axis, got "
            f"{label!r} for {path or 'the root'}."
        )
    if not -len(shape) <= label < len(shape):
        raise ValueError(
            f"ScaleByAdamMini: blocks says axis {label} for {path or 'the root'}, whose shape is "
            f"{shape}. Give leaves with fewer axes an entry of their own, such as "
            "{'*bias': 'tensor'}, before it."
        )
    return tuple(n if i == label % len(shape) else 1 for i, n in enumerate(shape))
