"""Differential privacy: clip each example's gradient, and hide what is left in noise."""

from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ravine.core import tree
from ravine.core.numerics import at, fine, safe_increment, scalar, times
from ravine.core.paths import leaf_paths
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Params, Seed, Transform, Updates
from ravine.transforms.clip import shrunk
from ravine.transforms.draw import drawn_keys, first_key
from ravine.transforms.noise import one_key


def per_example_global_norm_clip(grads: Any, l2_norm_clip: Any) -> tuple[Any, jax.Array]:
    r"""Shrink each example's gradient to a norm of at most ``l2_norm_clip``, and sum them.

    .. math::
        \textstyle\sum_b g_b \min(1, c / \|g_b\|).

    Args:
        grads: gradients of single examples, which the first axis of every leaf counts.
        l2_norm_clip: the largest norm :math:`c \ge 0` of one example's whole gradient.

    Returns:
        The sum, without the axis of examples, and how many examples were clipped.

    Raises:
        ValueError: if the leaves do not share the length of a first axis.

    Reference: Abadi et al., Deep learning with differential privacy, 2016,
    https://arxiv.org/abs/1607.00133.

    >>> import jax.numpy as jnp
    >>> per_example_global_norm_clip({"w": jnp.array([[3.0, 4.0], [0.5, 0.0]])}, 1.0)
    ({'w': Array([1.1, 0.8], dtype=float32)}, Array(1, dtype=int32))
    """
    _batch_size("per_example_global_norm_clip", grads)
    leaves, structure = jax.tree.flatten(grads)
    wide = [fine(g) for g in leaves]
    clipped = jax.vmap(lambda *one: shrunk(list(one), l2_norm_clip))(*wide) if wide else []
    total = jax.tree.unflatten(structure, [jnp.sum(g, axis=0) for g in clipped])
    norms = jax.vmap(tree.norm)(wide) if wide else jnp.zeros(0, float)
    return tree.cast_like(total, grads), jnp.sum(norms > at(l2_norm_clip, norms))


def per_example_layer_norm_clip(
    grads: Any, global_l2_norm_clip: Any, uniform: bool = True
) -> tuple[Any, Any]:
    r"""Shrink each example's gradient leaf by leaf, and sum over the examples.

    Args:
        grads: gradients of single examples, which the first axis of every leaf counts.
        global_l2_norm_clip: the largest norm :math:`c \ge 0` of an example's whole gradient.
        uniform: give each of :math:`n` leaves :math:`c / \sqrt n`, or else :math:`c` times the
            root of its share of the parameters.

    Returns:
        The sum, without the axis of examples, and for each leaf how many were clipped.

    Raises:
        ValueError: if the leaves do not share the length of a first axis.

    Reference: McMahan et al., Learning differentially private recurrent language models, 2017,
    https://arxiv.org/abs/1710.06963.

    >>> import jax.numpy as jnp
    >>> g = [jnp.array([[3.0, 4.0]]), jnp.array([[0.5]])]
    >>> sums, counts = per_example_layer_norm_clip(g, 2**0.5)
    >>> sums
    [Array([0.6, 0.8], dtype=float32), Array([0.5], dtype=float32)]
    >>> [int(count) for count in counts]
    [1, 0]
    """
    _batch_size("per_example_layer_norm_clip", grads)
    leaves, structure = jax.tree.flatten(grads)
    sizes = [g[0].size for g in leaves]
    shares = [1 / len(leaves) if uniform else n / max(sum(sizes), 1) for n in sizes]
    clips = [scalar(global_l2_norm_clip) * share**0.5 for share in shares]
    parts = [per_example_global_norm_clip(g, c) for g, c in zip(leaves, clips, strict=True)]
    sums, counts = ([part[i] for part in parts] for i in range(2))
    return jax.tree.unflatten(structure, sums), jax.tree.unflatten(structure, counts)


class DifferentiallyPrivateAggregateState(NamedTuple):
    """The step count (int32), and the random key from which the next noise is drawn."""

    count: jax.Array  # type: ignore[assignment]
    rng_key: jax.Array


@rule
class DifferentiallyPrivateAggregate(Transform):
    r"""Clip each example's gradient, add noise, and take the mean.

    .. math::
        u = \tfrac1B \Big(\textstyle\sum_b g_b \min(1, c / \|g_b\|) + \sigma c\, z\Big), \qquad
        z \sim N(0, 1).

    Updates come in with an axis of examples before all others, as
    ``jax.vmap(jax.grad(loss), in_axes=(None, 0))`` makes them, and go out without it. Put it
    first in a chain.

    Args:
        l2_norm_clip: the largest norm :math:`c \ge 0` of one example's whole gradient.
        noise_multiplier: :math:`\sigma \ge 0`.
        key: an integer seed or a JAX random key; 0 by default. Noise that can be guessed hides
            nothing. An extra argument ``key`` at update takes its place for that step.
        seed: another name for ``key``.

    Raises:
        ValueError: if both ``key`` and ``seed`` are given; at update, if the leaves do not
            share the length of a first axis.

    Reference: Abadi et al., Deep learning with differential privacy, 2016,
    https://arxiv.org/abs/1607.00133.

    >>> import jax.numpy as jnp
    >>> transform = DifferentiallyPrivateAggregate(1.0, noise_multiplier=0.0)
    >>> g = jnp.array([[3.0, 4.0], [0.5, 0.0]])
    >>> transform.update(g, transform.init(jnp.zeros(2)))[0]
    Array([0.55, 0.4 ], dtype=float32)
    """

    l2_norm_clip: NonNegative
    noise_multiplier: NonNegative
    key: Seed | None = None
    _: KW_ONLY
    seed: Seed | None = None

    def __post_init__(self) -> None:
        one_key(self)

    def init(self, params: Params) -> DifferentiallyPrivateAggregateState:
        zero = jnp.zeros((), jnp.int32)
        return DifferentiallyPrivateAggregateState(zero, first_key(self.key))

    def update(
        self,
        updates: Updates,
        state: DifferentiallyPrivateAggregateState,
        params: Params | None = None,
        **extra: Any,
    ) -> tuple[Updates, DifferentiallyPrivateAggregateState]:
        t = safe_increment(state.count)
        sample_key, rng_key = drawn_keys(state.rng_key, t, extra)
        size = _batch_size("DifferentiallyPrivateAggregate", updates)
        clip = scalar(self.l2_norm_clip)
        # In float32 or finer to the end: coarse noise would tell of the numbers under it.
        total, _ = per_example_global_norm_clip(tree.widened(updates), clip)
        sigma = clip * scalar(self.noise_multiplier)

        def leaf(s: jax.Array, z: jax.Array) -> jax.Array:
            # u = (s + sigma c z) / B
            return times(1 / size, s + times(sigma, z))

        noise = tree.random_normal(sample_key, total)
        new = tree.cast_like(jax.tree.map(leaf, total, noise), updates)
        return new, DifferentiallyPrivateAggregateState(t, rng_key)


def _batch_size(owner: str, grads: Any) -> int:
    """The number of examples, which all leaves have as their first axis."""
    shapes = [jnp.shape(g) for g in jax.tree.leaves(grads)]
    sizes = {shape[0] if shape else None for shape in shapes}
    if len(sizes) > 1 or None in sizes:
        found = ", ".join(
            f"{p or 'the root'}: {s}" for p, s in zip(leaf_paths(grads), shapes, strict=True)
        )
        raise ValueError(
            f"{owner} needs a gradient for each example: a first axis of one length in every leaf, "
            f"got {found}. Make them with jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, "
            "batch), and do not average them."
        )
    return sizes.pop() or 1 if sizes else 1
