"""Differential privacy: what is clipped, what is added, and what is refused."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core import tree

PARAMS = {"w": jnp.zeros((3, 2)), "b": jnp.zeros(())}


def per_example(rng, size=4, dtype=np.float32):
    """Gradients of single examples."""
    draw = {"w": rng.normal(size=(size, 3, 2)), "b": rng.normal(size=size)}
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), draw)


@pytest.mark.parametrize("uniform", [True, False])
def test_clipping_by_example_is_optax_s(rng, uniform):
    g = per_example(rng)
    chex.assert_trees_all_close(
        rt.per_example_global_norm_clip(g, 2.0),
        optax.per_example_global_norm_clip(g, 2.0),
        rtol=1e-5,
    )
    chex.assert_trees_all_close(
        rt.per_example_layer_norm_clip(g, 2.0, uniform),
        optax.per_example_layer_norm_clip(g, 2.0, uniform),
        rtol=1e-5,
    )


def test_without_noise_it_is_optax_s(rng):
    gradients = [per_example(rng) for _ in range(3)]
    ours = ro.DPSGD(0.1, 2.0, 0.0, momentum=0.9, nesterov=True)
    state = ours.init(PARAMS)
    with pytest.warns(DeprecationWarning, match="seed"):
        theirs = optax.contrib.dpsgd(0.1, 2.0, 0.0, 0, momentum=0.9, nesterov=True)
    other = theirs.init(PARAMS)
    for g in gradients:
        u, state = ours.update(g, state, PARAMS)
        with jax.numpy_dtype_promotion("standard"):
            expected, other = theirs.update(g, other, PARAMS)
        chex.assert_trees_all_close(u, expected, rtol=1e-5)


def test_the_noise_has_the_scale_that_it_says_and_is_fresh_each_step():
    g = jnp.zeros((5, 20_000))
    transform = rt.DifferentiallyPrivateAggregate(2.0, 3.0, key=1)
    state = transform.init(g[0])
    first, state = transform.update(g, state)
    second, state = transform.update(g, state)
    given, _ = transform.update(g, state, key=4)
    for draw in (first, second, given):
        np.testing.assert_allclose(draw.std(), 2.0 * 3.0 / 5, rtol=0.02)
    for a, b in ((first, second), (second, given)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_an_infinite_example_is_clipped_and_not_the_sum():
    g = {"w": jnp.array([[jnp.inf, 1.0], [0.25, 0.5]])}
    total, count = rt.per_example_global_norm_clip(g, 1.0)
    np.testing.assert_allclose(total["w"], [1.25, 0.5])
    assert count == 1


def test_no_example_moves_the_mean_by_more_than_its_share(rng):
    g = per_example(rng)
    huge = jax.tree.map(lambda x: x.at[2].mul(1e6), g)
    transform = rt.DifferentiallyPrivateAggregate(0.5, 0.0)
    a, b = (transform.update(x, transform.init(PARAMS))[0] for x in (g, huge))
    assert tree.norm(tree.sub(a, b)) <= 2 * 0.5 / 4


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_it_is_a_carry_of_fixed_shapes_and_keeps_dtypes(rng, dtype):
    optimizer = ro.DPSGD(0.1, 1.0, 0.5, key=3, momentum=0.9)
    params = tree.cast(PARAMS, dtype)
    gradients = jax.tree.map(lambda *x: jnp.stack(x), *[per_example(rng, dtype=dtype)] * 3)

    def step(state, g):
        updates, state = optimizer.update(g, state, params)
        return state, updates

    updates = jax.lax.scan(step, optimizer.init(params), gradients)[1]
    chex.assert_tree_all_finite(updates)
    jax.tree.map(lambda u, p: chex.assert_shape(u, (3, *p.shape)), updates, params)
    assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}


def test_all_its_numbers_can_be_mapped(rng):
    g = per_example(rng)

    def first(rate, clip, noise):
        optimizer = ro.DPSGD(rate, clip, noise, key=3)
        return optimizer.update(g, optimizer.init(PARAMS), PARAMS)[0]

    numbers = jnp.array([0.1, 0.2]), jnp.array([1.0, 5.0]), jnp.array([0.0, 0.5])
    lanes = jax.vmap(first)(*numbers)
    for i in range(2):
        alone = first(*(x[i] for x in numbers))
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], lanes), alone, rtol=1e-5)


def test_gradients_that_are_not_of_single_examples_are_refused():
    words = r"needs a gradient for each example: .* got b: \(\), w: \(3, 2\)\. Make them with"
    with pytest.raises(ValueError, match=f"DifferentiallyPrivateAggregate {words}"):
        ro.DPSGD(0.1, 1.0, 1.0).update(PARAMS, ro.DPSGD(0.1, 1.0, 1.0).init(PARAMS), PARAMS)
    with pytest.raises(ValueError, match="per_example_global_norm_clip needs a gradient for each"):
        rt.per_example_global_norm_clip({"a": jnp.ones((2, 3)), "b": jnp.ones((3, 3))}, 1.0)
    with pytest.raises(ValueError, match="DPSGD: key and seed are two names for one thing"):
        ro.DPSGD(0.1, 1.0, 1.0, key=1, seed=2)
