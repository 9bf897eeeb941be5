"""Small decompositions against LAPACK's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine.transforms.jacobi import SMALL, decomposed, reflected, rotated, symmetric


def matrices(rng, m, n):
    """Ordinary, badly scaled, nearly dependent and rank-deficient."""
    A = rng.normal(size=(m, n))
    graded = A * np.logspace(0, -8, n)
    near = A @ rng.normal(size=(n, 1)) + 1e-7 * A
    flat = A.copy()
    flat[:, -1] = 0
    return [A, graded, near, flat, np.zeros((m, n))]


@pytest.mark.parametrize("n", [1, 2, 3, 5, SMALL])
@pytest.mark.parametrize("rows", [0, 1, 30])
def test_singular_values_and_vectors_are_those_of_lapack(n, rows, rng, x64):
    found = jax.jit(lambda A: rotated(jnp.triu(reflected(A, n)[:n])))
    for A in matrices(rng, n + rows, n):
        W, Vt = map(np.asarray, found(A))
        s, size = np.linalg.norm(W, axis=0), np.abs(A).max()
        want = np.linalg.svd(A, compute_uv=False)
        np.testing.assert_allclose(np.sort(s)[::-1], want, atol=1e-14 * n * size)
        np.testing.assert_allclose(Vt @ Vt.T, np.eye(n), atol=1e-13)
        # A'A = V S^2 V', and so W'W = S^2.
        unit = A / size if size else A
        np.testing.assert_allclose(
            Vt.T * (s / (size or 1)) ** 2 @ Vt, unit.T @ unit, atol=1e-13 * n * (n + rows)
        )


@pytest.mark.parametrize("n", [1, 2, 3, 5, SMALL, SMALL + 1])
def test_eigenvalues_and_vectors_of_symmetric_matrices(n, rng, x64):
    found = jax.jit(symmetric)
    A = rng.normal(size=(n, n))
    Q = np.linalg.qr(A)[0]
    pairs, graded = np.resize([-2.0, 2.0], n), np.logspace(0, -12, n)
    for H in (A + A.T, Q * pairs @ Q.T, Q * graded @ Q.T, np.diag(pairs), np.ones((n, n)), 0 * A):
        w, V = map(np.asarray, found(H))
        size = np.linalg.norm(H)
        np.testing.assert_allclose(w, np.linalg.eigvalsh(H), atol=1e-14 * n * size)
        np.testing.assert_allclose(V.T @ V, np.eye(n), atol=1e-13)
        np.testing.assert_allclose(V * w @ V.T, H, atol=1e-14 * n * size)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (1, 1), (1, 4), (40, 8)])
def test_least_squares_as_numpy_solves_them(shape, rng, x64):
    J, r = rng.normal(size=shape), rng.normal(size=shape[0])
    s, Vt, c = map(np.asarray, jax.jit(decomposed)(J, r))
    kept = s > 0
    x = (c[kept] / s[kept]) @ Vt[kept]
    np.testing.assert_allclose(x, np.linalg.lstsq(J, r, rcond=None)[0], atol=1e-12)


def test_one_among_many_is_as_it_is_alone(rng):
    J, r = rng.normal(size=(50, 12, 4)).astype("f"), rng.normal(size=(50, 12)).astype("f")
    s, _, c = jax.jit(jax.vmap(decomposed))(J, r)
    for i in (0, 49):
        alone, _, own = jax.jit(decomposed)(J[i], r[i])
        np.testing.assert_allclose(np.sort(s[i]), np.sort(alone), rtol=1e-5)
        np.testing.assert_allclose(np.sort(np.abs(c[i])), np.sort(np.abs(own)), atol=1e-5)
