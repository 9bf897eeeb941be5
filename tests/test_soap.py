"""SOAP: the paper's algorithm by hand, the code that its users run, and odd leaves."""

from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ravine import transforms as rt
from tests.registry.matrix import scanned

TRACES = Path(__file__).parent / "traces" / "matrix.npz"


def by_hand(gradients: Any, *, b1: float, b2: float, b3: float, eps: float, every: int,
            sides: tuple[bool, bool], skip: bool) -> Any:  # fmt: skip
    """The updates of one matrix, in plain loops."""
    rows, columns = gradients[0].shape
    m, v, out = np.zeros((rows, columns)), np.zeros((rows, columns)), []
    A, Q = [np.zeros((rows, rows)), np.zeros((columns, columns))], [np.eye(rows), np.eye(columns)]
    for step, g in enumerate(gradients):
        t = step if skip else step + 1
        A = [b3 * A[0] + (1 - b3) * g @ g.T, b3 * A[1] + (1 - b3) * g.T @ g]
        if step == 0:
            Q = [
                np.linalg.eigh(a)[1][:, ::-1] if wanted else q
                for a, q, wanted in zip(A, Q, sides, strict=True)
            ]
        if t == 0:
            out.append(np.zeros((rows, columns)))
            continue
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (Q[0].T @ g @ Q[1]) ** 2
        m_hat = Q[0].T @ m @ Q[1] / (1 - b1**t)
        out.append(Q[0] @ (m_hat / (np.sqrt(v / (1 - b2**t)) + eps)) @ Q[1].T)
        if t % every == 0:
            for i in range(2):
                if sides[i]:
                    order = np.argsort(-np.diag(Q[i].T @ A[i] @ Q[i]))
                    v = v[order] if i == 0 else v[:, order]
                    Q[i] = np.linalg.qr(A[i] @ Q[i][:, order])[0]
    return out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("skip", [True, False])
def test_soap_by_hand(skip, rng):
    # Of sides that one gradient does not fill, the first basis is partly a matter of taste.
    shapes = {"square": (4, 4), "wide": (3, 6), "tall": (7, 3)}
    gradients = [{k: rng.normal(size=s) for k, s in shapes.items()} for _ in range(9)]
    transform = rt.ScaleBySoap(
        0.8, 0.9, 0.7, eps=1e-6, precondition_frequency=2, max_precond_dim=5, skip_first=skip
    )
    ours = scanned(transform, gradients)
    for name, shape in shapes.items():
        expected = by_hand(
            [g[name] for g in gradients],
            b1=0.8,
            b2=0.9,
            b3=0.7,
            eps=1e-6,
            every=2,
            sides=(shape[0] <= 5, shape[1] <= 5),
            skip=skip,
        )
        np.testing.assert_allclose([u[name] for u in ours], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("case", "names", "settings"),
    [
        ("plain", ["tall"], {"precondition_frequency": 3}),
        (
            "options",
            ["tall", "wide"],
            {
                "b1": 0.8,
                "b2": 0.9,
                "shampoo_beta": 0.7,
                "precondition_frequency": 2,
                "max_precond_dim": 3,
                "correct_bias": False,
            },
        ),
    ],
)
def test_soap_goes_as_it_does_in_pytorch_optimizer(case, names, settings):
    with np.load(TRACES) as found:
        g = {k: found[f"gradients/{k}"] for k in names}
        expected = {k: found[f"soap/{case}/{k}"] for k in names}
    steps = [{k: x[t] for k, x in g.items()} for t in range(len(g["tall"]))]
    ours = scanned(rt.ScaleBySoap(**settings), steps)
    for k in names:
        # Theirs takes QR factors in float32.
        np.testing.assert_allclose([u[k] for u in ours], expected[k], rtol=1e-3, atol=1e-5)


def test_vectors_and_matrices_without_a_basis_go_as_in_adam(rng):
    shapes = {"bias": (5,), "large": (9, 8), "scalar": ()}
    gs = [{k: rng.normal(size=s).astype("f") for k, s in shapes.items()} for _ in range(3)]
    transform = rt.ScaleBySoap(0.9, 0.99, max_precond_dim=7)
    assert transform.init(gs[0]).bases == {"bias": (), "large": (), "scalar": ()}
    ours, adam = (scanned(t, gs) for t in (transform, rt.ScaleByAdam(0.9, 0.99)))
    chex.assert_trees_all_close(ours, adam, rtol=1e-5)


def test_a_vector_with_a_basis_goes_as_a_row(rng):
    gs = [rng.normal(size=4).astype("f") for _ in range(6)]
    settings: Any = {"precondition_1d": True, "precondition_frequency": 2}
    vector = scanned(rt.ScaleBySoap(**settings), gs)
    row = scanned(rt.ScaleBySoap(**settings), [g[None] for g in gs])
    np.testing.assert_allclose(vector, np.asarray(row)[:, 0], rtol=1e-5)


def test_the_kernel_of_a_convolution_is_one_matrix(rng):
    g = rng.normal(size=(2, 2, 3, 4)).astype("f")
    folded, flat = (scanned(rt.ScaleBySoap(), [x] * 3) for x in (g, g.reshape(12, 4)))
    assert (np.asarray(flat[0]) == 0).all()
    np.testing.assert_allclose(np.reshape(folded, (3, 12, 4)), flat, rtol=1e-3, atol=1e-5)


def test_zero_and_deficient_gradients_give_finite_updates():
    params = {
        "zero": np.zeros((3, 4), "f"),
        "ones": np.ones((6, 9), "f"),
        "empty": np.zeros((0, 3), "f"),
        "row": np.ones((1, 4), "f"),
    }
    transform = rt.ScaleBySoap(precondition_frequency=2, normalize_grads=True)
    updates = scanned(transform, [params] * 5)
    chex.assert_tree_all_finite(updates)
    for u in updates[1:]:
        assert (u["zero"] == 0).all()
        np.testing.assert_allclose(jnp.sqrt(jnp.mean(u["ones"] ** 2)), 1.0, rtol=1e-5)


def test_bases_stay_orthogonal(rng):
    transform = rt.ScaleBySoap(precondition_frequency=1)
    state = transform.init(jnp.zeros((4, 6)))
    update = jax.jit(transform.update)
    for _ in range(20):
        _, state = update(jnp.asarray(rng.normal(size=(4, 6)), jnp.float32), state)
    for q in state.bases[0]:
        np.testing.assert_allclose(q[0].T @ q[0], np.eye(q.shape[1]), atol=1e-5)
