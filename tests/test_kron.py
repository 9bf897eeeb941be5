"""PSGD-Kron: the authors' code, whitening, and odd leaves."""

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


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("plain", {"preconditioner_update_probability": 1.0}),
        (
            "options",
            {
                "b1": 0.8,
                "preconditioner_update_probability": 0.4,
                "max_size_triangular": 3,
                "min_ndim_triangular": 1,
                "momentum_into_precond_update": False,
                "preconditioner_lr": 0.3,
                "preconditioner_init_scale": 0.5,
            },
        ),
    ],
)
def test_kron_goes_as_the_authors_code_does(case, settings):
    names = ("tall", "vector", "wide")
    with np.load(TRACES) as found:
        g = {k: found[f"gradients/{k}"] for k in names}
        expected = {k: found[f"kron/{case}/{k}"] for k in names}
    steps = [{k: x[t] for k, x in g.items()} for t in range(len(g["wide"]))]
    ours = scanned(rt.ScaleByKron(**settings), steps)
    for k in names:
        np.testing.assert_allclose([u[k] for u in ours], expected[k], rtol=1e-7, atol=1e-9)


def test_the_probability_anneals():
    t = jnp.array([1, 500, 1000, 10_000])
    np.testing.assert_allclose(rt.KronProbability()(t), [1, 1, np.exp(-0.5), 0.03], rtol=1e-5)


def test_the_factors_learn_to_whiten(rng):
    mixing = np.linalg.qr(rng.normal(size=(4, 4)))[0] * [100.0, 10.0, 1.0, 0.1]
    gradients = [(mixing @ rng.normal(size=(4, 4))).astype("f") for _ in range(400)]
    seen = np.asarray(scanned(rt.ScaleByKron(b1=0.0, preconditioner_lr=0.3), gradients))[200:]
    covariance = np.mean(seen @ seen.swapaxes(1, 2), axis=0)
    # The gradients' own has a condition of a million.
    assert np.linalg.cond(covariance) < 100


def test_factors_wait_for_their_turn(rng):
    transform = rt.ScaleByKron(preconditioner_update_probability=0.5)
    g = jnp.asarray(rng.normal(size=(3, 3)), jnp.float32)
    state, update, factors = transform.init(g), jax.jit(transform.update), []
    for _ in range(5):
        _, state = update(g, state)
        factors.append(np.asarray(state.factors.left))
    changed = [
        bool((a != b).any()) for a, b in zip([np.eye(3)[None], *factors], factors, strict=False)
    ]
    assert changed == [False, True, False, True, False]


@pytest.mark.parametrize("mode", [None, "one_diag", "all_diag"])
def test_which_sides_have_a_diagonal(mode):
    params: Any = {
        "m": jnp.zeros((2, 3)),
        "v": jnp.zeros(4),
        "s": jnp.zeros(()),
        "c": jnp.zeros((2, 2, 5)),
    }
    factors = rt.ScaleByKron(memory_save_mode=mode).init(params).factors
    shapes = {k: tuple(None if q is None else q.shape[1:] for q in f) for k, f in factors.items()}
    assert shapes == {
        "m": {None: ((2, 2), (3, 3)), "one_diag": ((2, 2), (3,)), "all_diag": ((2,), (3,))}[mode],
        "c": {None: ((4, 4), (5, 5)), "one_diag": ((4, 4), (5,)), "all_diag": ((4,), (5,))}[mode],
        "v": (None, (4,)),
        "s": (None, (1,)),
    }  # fmt: skip


def test_a_key_at_update_takes_the_place_of_the_field(rng):
    g = jnp.asarray(rng.normal(size=(3, 3)), jnp.float32)
    transform = rt.ScaleByKron(key=1)
    update, state = jax.jit(transform.update), transform.init(g)
    own = update(g, state)[0]
    same, other = (update(g, state, key=jax.random.key(k))[0] for k in (1, 2))
    np.testing.assert_array_equal(same, own)
    assert (other != own).any()


def test_zero_gradients_leave_the_factors_and_give_finite_updates():
    params = {
        "zero": np.zeros((3, 4), "f"),
        "ones": np.ones((6, 9), "f"),
        "empty": np.zeros((0, 3), "f"),
        "vector": np.zeros(3, "f"),
    }
    transform = rt.ScaleByKron()
    updates = scanned(transform, [params] * 300)
    chex.assert_tree_all_finite(updates)
    assert (updates[-1]["zero"] == 0).all()
    update, state = jax.jit(transform.update), transform.init(params)
    for _ in range(2):
        _, state = update(params, state)
    np.testing.assert_array_equal(state.factors["zero"].left[0], np.eye(3))
    np.testing.assert_array_equal(state.factors["vector"].right[0], np.ones(3))


def test_a_wrong_call_names_the_argument():
    with pytest.raises(TypeError, match="memory_save_mode cannot be 'all': it must be None, one_d"):
        rt.ScaleByKron(memory_save_mode="all")
