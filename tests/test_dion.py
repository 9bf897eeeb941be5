"""Dion by hand, and what becomes of what its rank leaves out."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import transforms as rt
from tests.registry.matrix import scanned


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("rank", [2, 128])
def test_dion_by_hand(rank, rng):
    shapes = {"wide": (3, 5), "tall": (5, 3), "flat": (3, 5)}
    gradients = [{k: rng.normal(size=s) for k, s in shapes.items()} for _ in range(6)]
    transform = rt.ScaleByDion(0.9, rank=rank)
    bases = transform.init(gradients[0]).bases
    ours = scanned(transform, gradients)
    for k, (n_in, n_out) in shapes.items():
        m, q = np.zeros((n_out, n_in)), np.asarray(bases[k][0])
        assert q.shape == (n_in, min(rank, n_in, n_out))
        for g, u in zip(gradients, ours, strict=True):
            b = m + g[k].T
            p = np.linalg.qr(b @ q)[0]
            r = b.T @ p
            m = b - (1 - 0.9) * p @ r.T
            q = np.stack([r[:, j] / (np.linalg.norm(r[:, j]) + 1e-8) for j in range(r.shape[1])], 1)
            np.testing.assert_allclose(u[k], (np.sqrt(n_out / n_in) * p @ q.T).T, atol=1e-9)


def test_what_the_rank_leaves_out_comes_later():
    g = jnp.diag(jnp.array([4.0, 3.0, 2.0, 1.0]))
    updates = scanned(rt.ScaleByDion(0.5, rank=1), [g] * 60)
    assert all(np.linalg.matrix_rank(u, tol=1e-4) == 1 for u in updates)
    assert (jnp.diag(sum(updates)) > 1.0).all()


def test_zero_and_deficient_gradients_give_finite_updates():
    params = {
        "zero": np.zeros((3, 4), "f"),
        "ones": np.ones((6, 9), "f"),
        "empty": np.zeros((0, 3), "f"),
        "vector": np.ones(4, "f"),
    }
    updates = scanned(rt.ScaleByDion(), [params] * 4)
    chex.assert_tree_all_finite(updates)
    for u in updates:
        assert (u["zero"] == 0).all()
        np.testing.assert_allclose(u["vector"], 0.5, rtol=1e-4)
