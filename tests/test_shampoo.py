"""Shampoo: the papers' algorithm by hand, its roots, its blocks, and odd leaves."""

from itertools import pairwise
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import transforms as rt
from ravine.transforms.blocks import cut, join
from ravine.transforms.roots import inverse_root
from tests.registry.matrix import scanned


def power(a: Any, exponent: float, ridge: float) -> Any:
    """A power of a symmetric matrix with a little added to its diagonal."""
    w, v = np.linalg.eigh(a + ridge * np.abs(a).sum(axis=1).max() * np.eye(len(a)))
    return v @ np.diag(w**exponent) @ v.T


def by_hand(gradients: Any, *, b1: float, b2: Any, eps: float, ridge: float, every: int, graft: Any,
            size: int) -> Any:  # fmt: skip
    """The updates of one leaf, a matrix or a vector, in plain loops."""
    shape = gradients[0].shape
    matrix = len(shape) == 2
    m, v, out = np.zeros(shape), np.zeros(shape), []
    L: dict[Any, Any] = {}
    R: dict[Any, Any] = {}
    P: dict[Any, Any] = {}
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        m_hat = m / (1 - b1**t)
        old, new = (1, 1) if b2 is None else (b2, 1 - b2)
        correction = 1 if b2 is None else 1 - b2**t
        v = v + g**2 if graft == "adagrad" else old * v + new * g**2
        v_hat = v if graft in ("adagrad", "rmsprop") else v / correction
        adaptive = m_hat / (np.sqrt(v_hat) + eps)
        s = adaptive.copy()
        if matrix:
            for i in range(0, shape[0], size):
                for j in range(0, shape[1], size):
                    at = np.s_[i : i + size, j : j + size]
                    x = g[at]
                    L[i, j] = old * L.get((i, j), 0) + new * x @ x.T
                    R[i, j] = old * R.get((i, j), 0) + new * x.T @ x
                    if (t - 1) % every == 0:
                        P[i, j] = (
                            power(L[i, j] / correction, -1 / 4, ridge),
                            power(R[i, j] / correction, -1 / 4, ridge),
                        )
                    s[at] = P[i, j][0] @ m_hat[at] @ P[i, j][1]
        if graft is not None:
            length = m_hat if graft == "sgd" else adaptive
            s = s * np.linalg.norm(length) / np.linalg.norm(s)
        out.append(s)
    return out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("b2", "graft"),
    [(None, None), (None, "sgd"), (0.9, None), (0.9, "adagrad"), (0.9, "rmsprop"), (0.9, "adam")],
)
def test_shampoo_by_hand(b2, graft, rng):
    shapes = {"square": (4, 4), "wide": (3, 7), "row": (1, 5), "bias": (5,)}
    settings: Any = {"b1": 0.8, "b2": b2, "eps": 1e-6, "graft": graft}
    gradients = [{k: rng.normal(size=s) for k, s in shapes.items()} for _ in range(7)]
    transform = rt.ScaleByShampoo(
        **settings, matrix_eps=1e-4, block_size=3, precondition_frequency=3
    )
    ours = scanned(transform, gradients)
    for name in shapes:
        expected = by_hand([g[name] for g in gradients], **settings, ridge=1e-4, every=3, size=3)
        np.testing.assert_allclose([u[name] for u in ours], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ["eigh", "newton"])
@pytest.mark.parametrize("p", [2, 4])
def test_inverse_roots(p, method, rng):
    x = rng.normal(size=(3, 5, 9)) * 10.0 ** np.array([-4, 0, 6]).reshape(3, 1, 1)
    a = x @ x.swapaxes(1, 2)
    root = jax.jit(inverse_root, static_argnums=(1, 3))(jnp.asarray(a), p, 1e-9, method)
    root = np.asarray(root)
    for matrix, ours in zip(a, root, strict=True):
        np.testing.assert_allclose(ours, power(matrix, -1 / p, 1e-9), rtol=1e-8)
        np.testing.assert_allclose(np.linalg.matrix_power(ours, p) @ matrix, np.eye(5), atol=1e-5)


@pytest.mark.parametrize("method", ["eigh", "newton"])
def test_roots_of_zero_deficient_and_huge_matrices_are_finite(method):
    ones = jnp.ones((4, 4), jnp.float32)
    a = jnp.stack([0 * ones, ones, 1e30 * ones, 1e-30 * ones, jnp.diag(jnp.arange(4.0))])
    roots = inverse_root(a, 4, 0.0, method)
    chex.assert_tree_all_finite(roots)
    np.testing.assert_allclose(roots[0], np.eye(4))
    # Along the one direction that was seen: (4 c)^(-1/4).
    seen = np.einsum("nij->n", roots[1:4]) / 4
    np.testing.assert_allclose(seen, (4 * np.array([1, 1e30, 1e-30])) ** (-1 / 4), rtol=1e-4)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ["eigh", "newton"])
def test_derivatives_of_a_root_are_right_where_eigenvalues_meet(method):
    direction = jnp.asarray([[0.3, 0.5, 0.0], [0.5, -0.2, 0.1], [0.0, 0.1, 0.4]])[None]

    def f(h: Any) -> Any:
        return inverse_root(
            jnp.diag(jnp.array([2.0, 2.0, 3.0]))[None] + h * direction, 4, 0.0, method
        )

    ours = jax.jacrev(f)(0.0)
    np.testing.assert_allclose(ours, (f(1e-5) - f(-1e-5)) / 2e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 7, 9), (1, 3, 2), (1, 6, 3), (3, 1, 4)])
def test_blocks_join_to_what_was_cut(shape, rng):
    x = jnp.asarray(rng.normal(size=shape))
    parts = cut(x, 3)
    assert all(max(p.shape[1:]) <= 3 for p in parts)
    assert sum(p.size for p in parts) == x.size
    np.testing.assert_array_equal(join(parts, shape, 3), x)


def test_roots_are_taken_only_when_due(rng):
    transform = rt.ScaleByShampoo(precondition_frequency=3)
    g = jnp.asarray(rng.normal(size=(3, 3)), jnp.float32)
    state, roots = transform.init(g), []
    update = jax.jit(transform.update)
    for size in range(1, 6):
        _, state = update(size * g, state)
        roots.append(np.asarray(state.roots[0].left))
    changed = [bool((a != b).any()) for a, b in pairwise(roots)]
    assert changed == [False, False, True, False]


def test_what_is_no_matrix_or_too_large_a_one_goes_as_in_adam(rng):
    params = {"bias": (5,), "large": (2, 9), "scalar": ()}
    gs = [
        {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in params.items()}
        for _ in range(3)
    ]
    transform = rt.ScaleByShampoo(max_precond_dim=8)
    assert transform.init(gs[0]).stats == {"bias": (), "large": (), "scalar": ()}
    ours, adam = (scanned(t, gs) for t in (transform, rt.ScaleByAdam()))
    chex.assert_trees_all_close(ours, adam, rtol=1e-5)


def test_the_kernel_of_a_convolution_is_one_matrix(rng):
    g = jnp.asarray(rng.normal(size=(2, 2, 3, 4)), jnp.float32)
    folded, flat = (scanned(rt.ScaleByShampoo(), [x] * 2) for x in (g, g.reshape(12, 4)))
    np.testing.assert_allclose(jnp.stack(folded).reshape(2, 12, 4), jnp.stack(flat), rtol=1e-4)


def test_zero_and_deficient_gradients_give_finite_updates():
    params = {"zero": jnp.zeros((3, 4)), "ones": jnp.ones((20, 30)), "empty": jnp.zeros((0, 3))}
    for settings in ({}, {"root_method": "newton"}, {"b2": None, "graft": None}):
        updates = scanned(rt.ScaleByShampoo(**settings), [params] * 3)
        chex.assert_tree_all_finite(updates)
        assert all((u["zero"] == 0).all() for u in updates)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"graft": "lion"}, "graft cannot be 'lion': it must be None or one of sgd, adagrad"),
        ({"root_method": "svd"}, "root_method cannot be 'svd': it must be one of 'eigh', 'newton'"),
        ({"block_size": 0}, "block_size cannot be 0"),
    ],
)
def test_a_wrong_call_names_the_argument(field, words):
    with pytest.raises(TypeError, match=words):
        rt.ScaleByShampoo(**field)
