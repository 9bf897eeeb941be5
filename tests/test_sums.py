"""Sums as products with ones: the same function, its losses and gradients, in fewer steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.engine.sums import sums_as_products


def loss(x):
    def cost(i, y):
        return y * jnp.sum(y * y)

    in_a_loop = jnp.sum(jax.lax.fori_loop(0, 3, cost, x))
    in_a_branch = jax.lax.cond(x[0] > 0, jnp.sum, lambda y: jnp.sum(2 * y), x)
    again = jnp.sum(jax.checkpoint(lambda y: jnp.sin(y) ** 2)(x))
    called = jax.jit(lambda y: jnp.mean(jax.nn.relu(y)))(x)
    return in_a_loop + in_a_branch + again + called + jax.nn.logsumexp(x)


def products(f, *args):
    return str(jax.make_jaxpr(f)(*args)).count("dot_general")


@pytest.mark.parametrize("double", [False, True])
def test_value_and_gradient_are_the_same(double, request):
    if double:
        request.getfixturevalue("x64")
    x = jnp.linspace(-0.1, 0.1, 40)
    f = jax.value_and_grad(loss)
    for ours, theirs in zip(sums_as_products(f)(x), f(x), strict=True):
        assert ours.dtype == x.dtype
        np.testing.assert_allclose(ours, theirs, rtol=20 * jnp.finfo(x.dtype).eps)
    assert products(sums_as_products(f), x) >= 4 > products(f, x)


def test_structure_and_what_depends_on_no_input_pass_through():
    def f(tree):
        return {"total": sum(map(jnp.sum, jax.tree.leaves(tree))), "seven": jnp.full(3, 7)}, tree

    tree = {"a": jnp.ones(20), "b": (jnp.arange(20.0), None)}
    out, same = sums_as_products(f)(tree)
    assert out["total"] == 210
    assert out["seven"].tolist() == [7, 7, 7]
    assert jax.tree.structure(same) == jax.tree.structure(tree)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_stays_so(bad):
    x = jnp.ones(32).at[5].set(bad)
    np.testing.assert_array_equal(sums_as_products(jnp.sum)(x), bad)


@pytest.mark.parametrize(
    "x",
    [jnp.ones(4), jnp.ones(64, jnp.int32), jnp.ones(64, jnp.complex64)],
    ids=["short", "whole numbers", "complex"],
)
def test_other_sums_stay(x):
    assert products(sums_as_products(jnp.sum), x) == 0


def test_effects_are_kept(capfd):
    def f(x):
        jax.debug.print("the first is {}", x[0])
        return jnp.sum(x)

    jax.block_until_ready(sums_as_products(f)(jnp.full(32, 2.5)))
    jax.effects_barrier()
    assert "the first is 2.5" in capfd.readouterr().out
