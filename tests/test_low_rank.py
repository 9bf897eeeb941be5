"""Optimizer state in a subspace: GaLore and APOLLO, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from tests.registry import steps


def adam(b1=0.9, b2=0.999, eps=1e-8, late=False):
    """Adam's direction; ``late`` leaves its bias in."""
    m = v = t = 0

    def step(g):
        nonlocal m, v, t
        m, v, t = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2, t + 1
        if late:
            return m / (np.sqrt(v) + eps)
        return m / (1 - b1**t) / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


def galore(gradients, rate, rank, gap, scale):
    """GaLore for one matrix."""
    inner, out = adam(), []
    tall = gradients[0].shape[0] >= gradients[0].shape[1]
    for t, G in enumerate(gradients):
        if t % gap == 0:
            u, _, vh = np.linalg.svd(G, full_matrices=False)
            P = u[:, :rank] if tall else vh[:rank].T
        step = inner(P.T @ G if tall else G @ P)
        out.append(-rate * scale * (P @ step if tall else step @ P.T))
    return out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_galore_is_the_paper_s(rng, shape):
    gradients = [rng.normal(size=shape) for _ in range(7)]
    ours = steps(ro.GaLore(0.1, rank=2, update_proj_gap=3, scale=0.5), gradients[0], gradients)
    np.testing.assert_allclose(ours, galore(gradients, 0.1, 2, 3, 0.5), rtol=1e-8, atol=1e-12)


def test_galore_is_optax_s_on_leaves_of_all_kinds(rng):
    def draw():
        shapes = {"w": (4, 3), "b": (3,), "heads": (2, 3, 2)}
        return {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in shapes.items()}

    gradients = [draw() for _ in range(4)]
    split = optax.contrib.GaLoreDimensionNumbers(0, (1, 2))
    dims = {"w": optax.contrib.GaLoreDimensionNumbers(), "b": None, "heads": split}
    settings = {"rank": 2, "update_proj_gap": 2, "weight_dimension_numbers": dims}
    ours = steps(ro.GaLore(0.1, weight_decay=0.1, **settings), gradients[0], gradients)
    theirs = optax.contrib.galore(0.1, weight_decay=0.1, **settings)
    state = theirs.init(gradients[0])
    for g, u in zip(gradients, ours, strict=True):
        with jax.numpy_dtype_promotion("standard"):
            expected, state = theirs.update(g, state, gradients[0])
        for name in u:
            np.testing.assert_allclose(u[name], expected[name], rtol=1e-4, atol=1e-5)


def test_galore_takes_another_base_and_a_rank_of_at_least_one():
    g = jnp.array([[3.0, 0.0], [0.0, 1.0]])
    u = steps(ro.GaLore(1.0, rank=1, base_optimizer=rt.Identity()), g, [g])[0]
    np.testing.assert_allclose(u, [[-3.0, 0.0], [0.0, 0.0]], atol=1e-6)
    for make in (ro.GaLore, ro.APOLLO):
        with pytest.raises(ValueError, match=f"{make.__name__}: rank must be at least 1, got 0"):
            make(0.1, rank=0)
    with pytest.raises(ValueError, match="scale_type must be 'channel' or 'tensor', got 'row'"):
        rt.ScaleByApollo(scale_type="row")


def test_the_state_of_a_matrix_is_small():
    params = {"w": jnp.zeros((64, 32)), "b": jnp.zeros(32)}
    for optimizer, most in (
        (ro.GaLore(0.1, rank=4), 64 * 4 + 2 * 4 * 32),
        (ro.APOLLO(0.1, rank=4), 2 * 4 * 64 + 1),
        (ro.APOLLOMini(0.1), 2 * 64 + 1),
        (ro.Adafactor(0.1, min_dim_size_to_factor=8), 64 + 32 - 32),
        (ro.SM3(0.1), 64 + 32 + 64 * 32),
        (ro.CAME(0.1), 2 * (64 + 32) + 64 * 32),
    ):
        state = optimizer.init(params)
        leaves = [x for x in jax.tree.leaves(state) if x.ndim]
        assert sum(x.size for x in leaves) <= most + 2 * 32


def apollo(gradients, projections, rate, channel, scale, gamma, b1, b2, eps):
    """APOLLO for one matrix, with the random matrices that it draws."""
    inner, last, out = adam(b1, b2, eps, late=True), None, []
    tall = gradients[0].shape[0] >= gradients[0].shape[1]
    for t, (G, P) in enumerate(zip(gradients, projections, strict=True), 1):
        R = G @ P.T if tall else P @ G
        step = inner(R)
        axis = (1 if tall else 0) if channel else None
        s = np.linalg.norm(step, axis=axis, keepdims=True)
        s = s / (np.linalg.norm(R, axis=axis, keepdims=True) + 1e-8)
        u = G * s
        norm = np.linalg.norm(u)
        if last is not None:
            limiter = max(norm / (last + 1e-8), gamma) / gamma
            u, norm = u / limiter, norm / limiter
        last = norm
        c = np.sqrt(1 - b2**t) / (1 - b1**t)
        out.append(-rate * c * np.sqrt(scale) * u)
    return out


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
@pytest.mark.parametrize("mini", [False, True])
def test_apollo_is_the_authors(rng, shape, mini):
    gradients = [rng.normal(size=shape) * (1 + t) for t in range(6)]
    settings = {"b1": 0.8, "b2": 0.9, "eps": 1e-4}
    if mini:
        optimizer = ro.APOLLOMini(0.1, update_proj_gap=2, key=7, **settings)
    else:
        optimizer = ro.APOLLO(0.1, rank=2, update_proj_gap=2, scale=4.0, key=7, **settings)
    rank = 1 if mini else 2
    # What the key stands for: a matrix for every second step and every leaf.
    keys = [jax.random.split(jax.random.fold_in(jax.random.key(7), t // 2), 1)[0] for t in range(6)]
    P = [np.asarray(jax.random.normal(k, (rank, 3))) / rank**0.5 for k in keys]
    theirs = apollo(gradients, P, 0.1, not mini, 128.0 if mini else 4.0, 1.01, *settings.values())
    np.testing.assert_allclose(steps(optimizer, gradients[0], gradients), theirs, rtol=1e-8)


def test_apollo_s_update_grows_slowly_and_vectors_go_as_in_adam():
    g = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    gradients = [jax.tree.map(lambda x, t=t: 10.0**t * x, g) for t in range(3)]
    limited = steps(ro.APOLLO(0.1, rank=1), g, gradients)
    plain = steps(ro.APOLLO(0.1, rank=1, eps=0.0), g["b"], [x["b"] for x in gradients])
    theirs = steps(ro.Adam(0.1, eps=0.0), g["b"], [x["b"] for x in gradients])
    np.testing.assert_allclose(plain, theirs, rtol=1e-5)
    sizes = [float(jnp.linalg.norm(u["w"])) for u in limited]
    assert sizes[2] < 1.5 * sizes[0]
