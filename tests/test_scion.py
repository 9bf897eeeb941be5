"""Scion by hand: each norm's farthest point, constrained and not."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from tests.registry.matrix import scanned


def farthest(g: Any, norm: str) -> Any:
    """In the letters of the authors' code, whose matrices go from columns to rows."""
    if g.ndim < 2:
        return g / np.sqrt(np.mean(g**2))
    w = g.reshape(-1, g.shape[-1]).T
    d_out, d_in = w.shape
    if norm == "spectral":
        u, s, vt = np.linalg.svd(w / (np.linalg.norm(w) + 1e-8), full_matrices=False)
        for _ in range(5):
            s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
        w = (d_out / d_in) ** 0.5 * u @ np.diag(s) @ vt
    elif norm == "sign":
        w = np.sign(w) / d_in
    elif norm == "colnorm":
        w = np.stack([w[:, j] / np.sqrt(np.mean(w[:, j] ** 2)) for j in range(d_in)], 1)
    else:
        w = np.stack([x / (np.sqrt(np.sum(x**2)) * np.sqrt(d_in)) for x in w])
    return w.T.reshape(g.shape)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("norm", ["spectral", "sign", "colnorm", "rownorm"])
@pytest.mark.parametrize("unconstrained", [True, False])
def test_scion_by_hand(unconstrained, norm, rng):
    shapes = {"wide": (3, 5), "tall": (5, 3), "bias": (4,), "conv": (2, 2, 3, 4)}
    gradients = [{k: rng.normal(size=s) for k, s in shapes.items()} for _ in range(4)]
    scion = ro.Scion(0.1, b1=0.8, norm=norm, scale=3.0, unconstrained=unconstrained)
    ours = scanned(scion, gradients)
    for k, shape in shapes.items():
        m, p = np.zeros(shape), gradients[0][k]
        for g, u in zip(gradients, ours, strict=True):
            m = 0.8 * m + 0.2 * g[k]
            expected = -0.1 * 3.0 * farthest(m, norm) - (0 if unconstrained else 0.1 * p)
            np.testing.assert_allclose(u[k], expected, rtol=1e-5, atol=1e-8)


def test_the_parameters_stay_in_their_ball(rng):
    p, scion = jnp.zeros(4), ro.Scion(0.5, b1=0.0, scale=2.0)
    state = scion.init(p)
    for _ in range(20):
        u, state = scion.update(jnp.asarray(rng.normal(size=4), jnp.float32), state, p)
        p += u
        assert jnp.sqrt(jnp.mean(p**2)) < 2.001


def test_zero_gradients_give_no_step():
    for norm in ("spectral", "sign", "colnorm", "rownorm"):
        for g in (jnp.zeros((3, 4)), jnp.zeros(3), jnp.zeros((0, 2)), jnp.zeros(())):
            assert (rt.ScaleByLmo(norm).update(g, ())[0] == 0).all()


def test_a_wrong_norm_is_named():
    with pytest.raises(TypeError, match="norm cannot be 'l2': it must be one of 'spectral', 'sign"):
        ro.Scion(0.1, norm="l2")
