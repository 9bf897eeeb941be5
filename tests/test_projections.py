"""The nearest point of a set: Optax's answers, its derivatives, and where it is wrong."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.core import projections, tree

NAMES = [n for n in vars(projections) if n.startswith("projection_")]
BY_RADIUS = [
    projections.projection_l1_ball,
    projections.projection_l1_sphere,
    projections.projection_l2_ball,
    projections.projection_l2_sphere,
    projections.projection_linf_ball,
    projections.projection_simplex,
]


def point(rng, dtype=np.float64):
    """A tree with a scalar, an empty leaf and nothing in it."""
    draw = {"a": rng.normal(size=(3, 2)), "b": [rng.normal(size=()), None], "c": np.zeros((0, 2))}
    return jax.tree.map(lambda x: jnp.asarray(3 * x, dtype), draw)


def arguments(name, rng, dtype=np.float64):
    """Arguments with which a projection has something to do."""
    if name in ("projection_halfspace", "projection_hyperplane"):
        return point(rng, dtype), -1.5
    if name == "projection_vector":
        return (point(rng, dtype),)
    if name == "projection_box":
        x = point(rng, dtype)
        return tree.full_like(x, -0.5), tree.full_like(x, 0.75)
    return () if name == "projection_non_negative" else (1.5,)


def optaxs(name, x, args):
    """Optax's answer; its hypercube takes trees only if its scale is one, and so does not."""
    if name == "projection_hypercube":
        return jax.tree.map(lambda leaf: optax.projections.projection_hypercube(leaf, *args), x)
    return getattr(optax.projections, name)(x, *args)


def test_all_of_optax_s_are_there():
    theirs = {n for n in dir(optax.projections) if n.startswith("projection_")}
    assert set(NAMES) == theirs
    assert rv.projections is projections


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", NAMES)
def test_projections_and_their_derivatives_are_optax_s(name, rng):
    for _ in range(5):
        x, args, v = point(rng), arguments(name, rng), point(rng)

        def ours(x, name=name, args=args):
            return getattr(projections, name)(x, *args)

        def theirs(x, name=name, args=args):
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                return optaxs(name, x, args)

        a, b = jax.jvp(ours, (x,), (v,)), jax.jvp(theirs, (x,), (v,))
        chex.assert_trees_all_close(a, b, rtol=1e-12, atol=1e-12)
        # A projection leaves alone what it has projected.
        chex.assert_trees_all_close(ours(a[0]), a[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_points_inside_stay_to_the_last_digit(name, rng):
    if name in ("projection_vector", "projection_hyperplane") or "sphere" in name:
        return
    x = {"a": jnp.array([0.25, 0.125]), "b": jnp.array(0.625)}
    args = {"halfspace": (x, 9.0), "box": (0.0, 1.0), "non_negative": ()}
    short = name.removeprefix("projection_")
    out = getattr(projections, name)(x, *args.get(short, (1.0,)))
    chex.assert_trees_all_equal(out, x)


@pytest.mark.parametrize("project", BY_RADIUS, ids=lambda f: f.__name__)
def test_a_radius_can_be_mapped_and_differentiated(project, rng):
    x = point(rng, np.float32)
    radii = jnp.array([0.5, 1.0, 3.0])
    lanes = jax.vmap(lambda r: project(x, r))(radii)
    for i, r in enumerate(radii):
        alone = project(x, float(r))
        chex.assert_trees_all_close(jax.tree.map(lambda a, i=i: a[i], lanes), alone, rtol=1e-6)

    def size(r):
        return tree.norm_sq(project(x, r))

    step = 1e-2
    slope = (size(1.0 + step) - size(1.0 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(size)(1.0), slope, rtol=1e-2)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_goes_in_and_comes_out(name, dtype, rng):
    x, args = point(rng, dtype), arguments(name, rng, dtype)
    out = getattr(projections, name)(x, *args)
    chex.assert_trees_all_equal_shapes_and_dtypes(out, x)
    chex.assert_tree_all_finite(out)
    wide = tree.cast((x, args), jnp.float32)
    exact = getattr(projections, name)(wide[0], *wide[1])
    chex.assert_trees_all_close(tree.cast(out, jnp.float32), exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("project", BY_RADIUS, ids=lambda f: f.__name__)
def test_a_radius_of_zero_leaves_the_origin(project, rng):
    out = project(point(rng, np.float32), 0.0)
    chex.assert_trees_all_close(out, tree.zeros_like(out), atol=1e-6)


def test_an_element_of_zero_can_carry_its_share_of_an_l1_sphere():
    x = jnp.array([0.5, 0.0, 0.0])
    out = projections.projection_l1_sphere(x, 2.0)
    np.testing.assert_allclose(out, [1.0, 0.5, 0.5], rtol=1e-6)
    with jax.numpy_dtype_promotion("standard"):
        assert optax.projections.projection_l1_sphere(x, 2.0).sum() < 1.5


def test_the_origin_goes_to_a_point_of_the_sphere():
    x = {"a": jnp.zeros(3), "b": jnp.zeros(())}
    for project, norm in (
        (projections.projection_l2_sphere, tree.norm),
        (projections.projection_l1_sphere, tree.sum_abs),
    ):
        assert norm(project(x, 2.0)) == pytest.approx(2.0)


def test_huge_elements_do_not_cost_the_simplex_its_digits():
    x = jnp.array([1e6, 1e6 + 0.25, 1e6 - 2.0], jnp.float32)
    np.testing.assert_allclose(projections.projection_simplex(x), [0.375, 0.625, 0.0], atol=1e-6)
    assert projections.projection_simplex(x).sum() == 1.0


def test_a_bound_may_stand_for_a_whole_subtree():
    x = {"a": (jnp.array([-3.0, 3.0]), jnp.array(3.0)), "b": jnp.array([3.0])}
    out = projections.projection_box(x, -1.0, {"a": 2.0, "b": jnp.inf})
    chex.assert_trees_all_equal(
        out, {"a": (jnp.array([-1.0, 2.0]), jnp.array(2.0)), "b": jnp.array([3.0])}
    )


def test_complex_elements_go_by_their_magnitude(rng):
    x = jnp.array([3.0 + 4.0j, 0.0])
    np.testing.assert_allclose(projections.projection_linf_ball(x, 2.5), [1.5 + 2.0j, 0.0])
    np.testing.assert_allclose(projections.projection_l2_ball(x, 2.5), [1.5 + 2.0j, 0.0])
    np.testing.assert_allclose(projections.projection_l1_ball(x, 2.5), [1.5 + 2.0j, 0.0])
    with pytest.raises(TypeError, match="projection_simplex takes real numbers"):
        projections.projection_simplex(x)


@pytest.mark.parametrize("name", NAMES)
def test_a_tree_without_leaves_is_its_own_projection(name, rng):
    args = {"halfspace": ({}, 1.0), "hyperplane": ({}, 1.0), "vector": ({},), "box": (0.0, 1.0)}
    short = name.removeprefix("projection_")
    default = () if short == "non_negative" else (1.0,)
    assert getattr(projections, name)({}, *args.get(short, default)) == {}
