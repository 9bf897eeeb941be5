"""Muon: the iteration by hand, stacks of matrices, kernels of convolutions, and the doors."""

import inspect
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.stack import in_stacks
from ravine.transforms.newton_schulz import PRECONDITIONINGS, coefficients
from tests.registry import steps

Dims = rt.MuonDimensionNumbers
CUBE = jnp.ones((2, 2, 2))


def network(rng: np.random.Generator, layers: int = 2) -> Any:
    """Layers with square, wide and tall matrices, and kernels of convolutions."""
    shapes = {"square": (4, 4), "wide": (3, 5), "tall": (5, 3), "bias": (5,), "conv": (2, 2, 3, 4)}
    return [
        {name: jnp.asarray(rng.normal(size=shape), float) for name, shape in shapes.items()}
        for _ in range(layers)
    ]


def kernels(params: Any) -> Any:
    """Dimension numbers as anybody would write them: a function of the parameters."""
    numbers = {2: Dims(0, 1), 4: Dims((0, 1, 2), 3)}
    return jax.tree.map(lambda p: numbers.get(p.ndim), params)


def optax_kernels(params: Any) -> Any:
    numbers = {
        2: optax.contrib.MuonDimensionNumbers(),
        4: optax.contrib.MuonDimensionNumbers((0, 1, 2), 3),
    }
    return jax.tree.map(lambda p: numbers.get(getattr(p, "ndim", 0)), params)


def places(params: Any) -> Any:
    """A matrix for every place of a convolution, from outputs to inputs."""
    return jax.tree.map(lambda p: Dims(-1, (2,)) if p.ndim == 4 else None, params)


def optax_places(params: Any) -> Any:
    numbers = optax.contrib.MuonDimensionNumbers(-1, (2,))
    return jax.tree.map(lambda p: numbers if getattr(p, "ndim", 0) == 4 else None, params)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("ours", "theirs"), [(kernels, optax_kernels), (places, optax_places)])
def test_kernels_are_matrices_by_their_dimension_numbers_as_in_optax(ours, theirs, rng):
    params, gradients = network(rng), [network(rng) for _ in range(3)]
    tx = optax.contrib.muon(0.1, muon_weight_dimension_numbers=theirs, consistent_rms=0.2)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = steps(optax.with_extra_args_support(tx), params, gradients)
    for spec in (ours, ours(params)):
        muon = ro.Muon(0.1, muon_weight_dimension_numbers=spec, consistent_rms=0.2)
        hash(jax.tree.structure(muon))
        chex.assert_trees_all_close(steps(muon, params, gradients), expected, rtol=1e-10)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("preset", ["standard", "dion", "polar_express"])
def test_the_iteration_by_hand(preset, rng):
    g = rng.normal(size=(3, 5))
    u, s, vt = np.linalg.svd(g / (np.linalg.norm(g) + 1e-8), full_matrices=False)
    for a, b, c in coefficients(preset, 5):
        s = a * s + b * s**3 + c * s**5
    transform = rt.ScaleByMuon(preset, nesterov=False)
    ours = steps(transform, jnp.asarray(g), [jnp.asarray(g)])[0]
    np.testing.assert_allclose(ours, u @ np.diag(s) @ vt, atol=1e-12)


def test_polar_express_comes_close_to_the_polar_factor_where_others_do_not(rng):
    g = jnp.asarray(rng.normal(size=(8, 16)), jnp.float32)
    polar = jax.scipy.linalg.polar(g, side="left")[0]
    far = {
        name: float(jnp.abs(steps(rt.ScaleByMuon(name, 8), g, [g])[0] - polar).max())
        for name in ("standard", "polar_express")
    }
    assert far["polar_express"] < 1e-3
    assert far["standard"] > 2e-2


def test_how_many_iterations():
    triple = (1.5, -0.5, 0.0)
    assert coefficients(triple, 3) == [triple] * 3
    assert coefficients((triple, triple), 5) == [triple] * 2
    assert len(coefficients("dion", 3)) == 5
    assert coefficients("polar_express", 10)[7:] == [(1.875, -1.25, 0.375)] * 3


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("preset", ["standard", "dion", "polar_express"])
@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_the_gram_iteration_agrees_with_the_plain_one(preconditioning, preset, rng):
    deficient = rng.normal(size=(6, 2)) @ rng.normal(size=(2, 9))
    for matrix in (rng.normal(size=(6, 9)), rng.normal(size=(9, 2)), deficient):
        g = jnp.asarray(matrix)
        made = [
            rt.ScaleByMuon(preset, preconditioning=preconditioning, gram=gram)
            for gram in (False, True)
        ]
        plain, gram = (steps(transform, g, [g])[0] for transform in made)
        np.testing.assert_allclose(gram, plain, atol=1e-9)


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_zero_and_deficient_matrices_give_finite_updates(preconditioning, gram, rng):
    params = {
        "zero": jnp.zeros((3, 4)),
        "row": jnp.ones((1, 7)),
        "column": jnp.ones((7, 1)),
        "deficient": jnp.ones((16, 24)),
        "empty": jnp.zeros((0, 3)),
    }
    muon = ro.Muon(1.0, "polar_express", 8, preconditioning=preconditioning, gram=gram)
    updates = steps(muon, params, [params] * 3)
    chex.assert_tree_all_finite(updates)
    for u in updates:
        np.testing.assert_allclose(u["zero"], 0)
        np.testing.assert_allclose(jnp.linalg.norm(u["row"]), 7**0.5, rtol=2e-2)
        np.testing.assert_allclose(jnp.linalg.norm(u["deficient"]), 1.5**0.5, rtol=2e-2)


@pytest.mark.parametrize("preconditioning", PRECONDITIONINGS)
def test_small_gradients_are_orthogonalized_like_large_ones(preconditioning, rng):
    g = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
    transform = rt.ScaleByMuon(preconditioning=preconditioning, eps=1e-12)
    large, small = (steps(transform, g, [size * g])[0] for size in (1.0, 1e-5))
    np.testing.assert_allclose(small, large, rtol=1e-3, atol=1e-4)


def test_the_iteration_in_bfloat16_is_near_that_in_float32(rng):
    g = jnp.asarray(rng.normal(size=(16, 48)), jnp.float32)
    exact, coarse = (
        steps(rt.ScaleByMuon(ns_dtype=dtype), g, [g])[0] for dtype in (None, "bfloat16")
    )
    assert coarse.dtype == jnp.float32
    assert 0 < jnp.abs(coarse - exact).max() < 0.05


def test_the_program_grows_with_the_shapes_and_not_with_the_leaves(rng):
    def products(layers: int) -> int:
        params = network(rng, layers)
        transform = ro.Muon(0.1, muon_weight_dimension_numbers=kernels)
        program = jax.make_jaxpr(transform.update)(params, transform.init(params), params)
        return str(program).count("dot_general")

    # Square, wide (and tall alike), and convolutions: 3 products an iteration each.
    assert products(1) == products(4) == 3 * 5 * 3


def test_a_matrix_is_treated_alike_alone_and_in_a_stack(rng):
    params, g = network(rng), network(rng)
    together = steps(ro.Muon(0.1, muon_weight_dimension_numbers=kernels), params, [g])[0]
    for i, layer in enumerate(g):
        for name, leaf in layer.items():
            alone = ro.Muon(0.1, muon_weight_dimension_numbers=kernels)
            u = steps(alone, params[i][name], [leaf])[0]
            np.testing.assert_allclose(together[i][name], u, rtol=1e-4, atol=1e-6)


def test_stacks_give_back_what_they_were_given_in_order(rng):
    shapes = [(1, 2), (2, 3), (3, 2), (1, 3), (0, 2), (1, 2)]
    items = [{"x": jnp.asarray(rng.normal(size=s)), "i": jnp.full((s[0],), i)}
             for i, s in enumerate(shapes)]  # fmt: skip
    seen: list[Any] = []

    def f(item: Any) -> Any:
        seen.append(item["x"].shape)
        return item["x"] * 2, item["i"]

    out = in_stacks(f, items)
    assert seen == [(5, 2), (3, 3)]
    for item, (x, i) in zip(items, out, strict=True):
        chex.assert_trees_all_equal(x, item["x"] * 2)
        chex.assert_trees_all_equal(i, item["i"])
    assert in_stacks(f, []) == []


def test_arguments_begin_with_optax_s():
    pairs = [(ro.Muon, optax.contrib.muon), (rt.ScaleByMuon, optax.contrib.scale_by_muon)]
    for ours, theirs in pairs:
        a, b = (list(inspect.signature(f).parameters.values()) for f in (ours, theirs))
        assert [(p.name, p.kind, p.default) for p in a][: len(b)] == [
            (p.name, p.kind, p.default) for p in b
        ]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ro.Muon(0.1, "fast"), TypeError, "ns_coeffs cannot be 'fast': it must be three n"),
        (lambda: ro.Muon(0.1, (1.0, 2.0)), TypeError, "ns_coeffs cannot be .* or one of standard"),
        (lambda: ro.Muon(0.1, ns_steps=0), TypeError, "ns_steps cannot be 0: it must be at least"),
        (lambda: ro.Muon(0.1, preconditioning="l2"), TypeError, "must be one of 'frobenius', 'spe"),
        (lambda: ro.Muon(0.1, muon_weight_dimension_numbers=1), TypeError, "a tree of them"),
        (
            lambda: steps(rt.ScaleByMuon(), {"k": CUBE}, [{"k": CUBE}]),
            ValueError,
            "ScaleByMuon: the leaf 'k' has 3 axes and is no matrix",
        ),
        (
            lambda: ro.Muon(0.1, muon_weight_dimension_numbers=Dims(0, 2)).init({"k": jnp.ones(3)}),
            ValueError,
            r"does not fit the leaf 'k', which has 1 axes",
        ),
        (
            lambda: ro.Muon(0.1, muon_weight_dimension_numbers=[Dims()]).init({"k": jnp.ones(3)}),
            ValueError,
            "must be a tree like the parameters",
        ),
    ],
)  # fmt: skip
def test_a_wrong_call_names_the_argument_or_the_leaf(call, error, words):
    with pytest.raises(error, match=words):
        call()
