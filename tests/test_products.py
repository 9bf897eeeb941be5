"""The form for lanes: the same function, its losses and gradients, in fewer steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.engine.products import for_lanes


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
    for ours, theirs in zip(for_lanes(f)(x), f(x), strict=True):
        assert ours.dtype == x.dtype
        np.testing.assert_allclose(ours, theirs, rtol=20 * jnp.finfo(x.dtype).eps)
    assert products(for_lanes(f), x) >= 4 > products(f, x)


def test_structure_and_what_depends_on_no_input_pass_through():
    def f(tree):
        return {"total": sum(map(jnp.sum, jax.tree.leaves(tree))), "seven": jnp.full(3, 7)}, tree

    tree = {"a": jnp.ones(20), "b": (jnp.arange(20.0), None)}
    out, same = for_lanes(f)(tree)
    assert out["total"] == 210
    assert out["seven"].tolist() == [7, 7, 7]
    assert jax.tree.structure(same) == jax.tree.structure(tree)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_stays_so(bad):
    x = jnp.ones(32).at[5].set(bad)
    np.testing.assert_array_equal(for_lanes(jnp.sum)(x), bad)


@pytest.mark.parametrize(
    "x",
    [jnp.ones(4), jnp.ones(64, jnp.int32), jnp.ones(64, jnp.complex64)],
    ids=["short", "whole numbers", "complex"],
)
def test_other_sums_stay(x):
    assert products(for_lanes(jnp.sum), x) == 0


def outputs(f, *args):
    """The shapes of all products."""
    eqns = jax.make_jaxpr(f)(*args).eqns
    return [e.outvars[0].aval.shape for e in eqns if e.primitive.name == "dot_general"]


def test_a_product_of_shared_rows_with_a_lanes_vector_has_the_lanes_in_front(rng):
    rows, x = jnp.asarray(rng.normal(size=(20, 3))), jnp.asarray(rng.normal(size=(7, 3)))

    def cost(x):
        return jax.nn.softplus(rows @ jnp.sin(x)).max()

    def product(x):
        return jax.jvp(jax.grad(for_lanes(cost)), (x,), (x,))[1]

    lanes = partial(jax.vmap, in_axes=0)
    assert outputs(lanes(cost), x) == [(20, 7)]
    assert outputs(lanes(for_lanes(cost)), x) == [(7, 20)]
    assert {shape[0] for shape in outputs(lanes(product), x)} == {7}
    np.testing.assert_allclose(lanes(for_lanes(cost))(x), lanes(cost)(x), rtol=1e-6)
    hessians = lanes(jax.hessian(cost))(x)
    np.testing.assert_allclose(
        lanes(product)(x), jnp.einsum("bij,bj->bi", hessians, x), rtol=1e-5, atol=1e-5
    )


def test_a_lanes_own_matrix_stays_where_it_is(rng):
    rows, x = jnp.asarray(rng.normal(size=(7, 20, 3))), jnp.asarray(rng.normal(size=3))

    def cost(rows):
        return (rows @ x).max()

    _, (eqn, *_) = (jaxpr := jax.make_jaxpr(for_lanes(cost))(rows[0])).consts, jaxpr.eqns
    assert eqn.params["dimension_numbers"] == (((1,), (0,)), ((), ()))
    np.testing.assert_array_equal(for_lanes(cost)(rows[0]), cost(rows[0]))


def test_a_product_keeps_its_precision(rng):
    a, x = jnp.asarray(rng.normal(size=(4, 3)), jnp.bfloat16), jnp.ones(3, jnp.bfloat16)
    high = jax.lax.Precision.HIGH, jax.lax.Precision.DEFAULT

    def cost(x):
        return jnp.dot(a, x, precision=high, preferred_element_type=jnp.float32)

    (eqn,) = (e for e in jax.make_jaxpr(for_lanes(cost))(x).eqns if "dot" in e.primitive.name)
    assert eqn.params["precision"] == high[::-1]
    assert eqn.outvars[0].aval.dtype == jnp.float32


def test_effects_are_kept(capfd):
    def f(x):
        jax.debug.print("the first is {}", x[0])
        return jnp.sum(x)

    jax.block_until_ready(for_lanes(f)(jnp.full(32, 2.5)))
    jax.effects_barrier()
    assert "the first is 2.5" in capfd.readouterr().out
