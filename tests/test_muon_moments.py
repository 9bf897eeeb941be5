"""AdaMuon and NorMuon by hand."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from tests.registry.matrix import scanned


def newton_schulz(g: Any) -> Any:
    """Five iterations on the singular values, which is what the products amount to."""
    u, s, vt = np.linalg.svd(g / (np.linalg.norm(g) + 1e-8), full_matrices=False)
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    return u @ np.diag(s) @ vt


@pytest.mark.usefixtures("x64")
def test_adamuon_by_hand(rng):
    gradients = [rng.normal(size=(3, 5)) for _ in range(6)]
    m, v, expected = np.zeros((3, 5)), np.zeros((3, 5)), []
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        o = newton_schulz(np.sign(m))
        v = 0.8 * v + 0.2 * o**2
        d = o / (np.sqrt(v / (1 - 0.8**t)) + 1e-8)
        expected.append(-0.5 * 0.2 * d * np.sqrt(15) / np.linalg.norm(d))
    ours = scanned(ro.AdaMuon(0.5, beta=0.9, b2=0.8), gradients)
    np.testing.assert_allclose(ours, expected, rtol=1e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("shape", "scale"), [((3, 5), (5 / 3) ** 0.5), ((5, 3), 1.0)])
def test_normuon_by_hand(shape, scale, rng):
    gradients = [rng.normal(size=shape) for _ in range(6)]
    m, v, expected = np.zeros(shape), np.zeros(shape[1]), []
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        o = newton_schulz(0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t))
        # A column is an output: a neuron.
        v = 0.8 * v + 0.2 * np.array([np.mean(o[:, j] ** 2) for j in range(shape[1])])
        d = o / (np.sqrt(v) + 1e-8)
        expected.append(-0.5 * scale * d * np.linalg.norm(o) / np.linalg.norm(d))
    ours = scanned(ro.NorMuon(0.5, beta=0.9, b2=0.8), gradients)
    np.testing.assert_allclose(ours, expected, rtol=1e-8)


def test_normuon_keeps_a_number_a_neuron():
    params = {"m": jnp.zeros((3, 5)), "c": jnp.zeros((2, 2, 3, 4)), "v": jnp.zeros(3)}
    dims = {
        "m": rt.MuonDimensionNumbers(1, 0),
        "c": rt.MuonDimensionNumbers((0, 1, 2), 3),
        "v": None,
    }
    state = rt.ScaleByNorMuon(weight_dimension_numbers=dims).init(params)
    shapes = {k: v.shape for k, v in state.nu.items()}
    assert shapes == {"m": (3, 1), "c": (1, 1, 1, 4), "v": (3,)}


def test_every_matrix_of_adamuon_goes_as_far_as_another(rng):
    gradients = [
        {"a": rng.normal(size=(3, 5)).astype("f"), "b": 1e4 * rng.normal(size=(6, 2)).astype("f")}
        for _ in range(3)
    ]
    for u in scanned(ro.AdaMuon(1.0), gradients):
        for x in u.values():
            np.testing.assert_allclose(np.sqrt(np.mean(x**2)), 0.2, rtol=2e-5)
