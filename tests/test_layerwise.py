"""Signs, layers and factors, where Optax cannot be the judge: formulas, limits, doors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.projections import projection_l2_ball
from ravine.core.types import EmptyState
from tests.registry import inverse_time, steps

INF, NAN = jnp.inf, jnp.nan


def once(transform, g, params=None, **extra):
    """The first update."""
    return transform.update(g, transform.init(g if params is None else params), params, **extra)[0]


# Signs.


def rprop(gradients, rate, minus=0.5, plus=1.2, low=1e-6, high=50.0):
    """PyTorch's Rprop, an element at a time."""
    size, last, out = np.full(gradients[0].shape, rate), np.zeros(gradients[0].shape), []
    for g in gradients:
        g = g.copy()
        for i in np.ndindex(g.shape):
            sign = np.sign(g[i] * last[i])
            size[i] = np.clip(size[i] * {1: plus, -1: minus, 0: 1.0}[sign], low, high)
            g[i] = 0 if sign < 0 else g[i]
        out.append(-np.sign(g) * size)
        last = g
    return out


@pytest.mark.usefixtures("x64")
def test_rprop_is_pytorch_s(rng):
    gradients = [rng.normal(size=(3, 2)) + 0.3 for _ in range(100)]
    gradients[7][:] = 0
    ours = steps(ro.Rprop(0.1, max_step_size=0.3), jnp.zeros((3, 2)), gradients)
    np.testing.assert_allclose(ours, rprop(gradients, 0.1, high=0.3), rtol=1e-12)


def test_rprop_steps_at_once_where_optax_is_a_gradient_late():
    gradients = [jnp.array([g]) for g in (1.0, 1.0, 1.0, -1.0, -1.0, 1.0)]
    ours = np.ravel(steps(ro.Rprop(0.1), gradients[0], gradients))
    np.testing.assert_allclose(ours, [-0.1, -0.12, -0.144, 0.0, 0.072, 0.0], rtol=1e-6)


@pytest.mark.parametrize("size", [1e-4, 300.0])
def test_rprop_compares_signs_where_products_leave_float16(size):
    g = jnp.full(1, size, jnp.float16)
    updates = steps(ro.Rprop(1.0), g, [g, g, -g])
    np.testing.assert_allclose(np.ravel(updates), [-1.0, -1.2, 0.0], rtol=1e-3)


def test_a_sign_is_that_of_a_mean_in_signum_and_nan_stays_nan():
    g = [jnp.array([8.0, 1.0]), jnp.array([-1.0, -8.0])]
    np.testing.assert_array_equal(steps(ro.Signum(0.5), g[0], g)[1], [-0.5, 0.5])
    np.testing.assert_array_equal(once(rt.ScaleBySign(), jnp.array([NAN, -0.0])), [NAN, 0.0])


# Factors.


def test_a_schedule_works_as_the_learning_rate_of_sm3(rng):
    gradients = [jnp.asarray(rng.normal(size=(3, 2)), jnp.float32) for _ in range(3)]
    fixed = steps(ro.SM3(1.0), gradients[0], gradients)
    falling = steps(ro.SM3(inverse_time), gradients[0], gradients)
    for t, (a, b) in enumerate(zip(falling, fixed, strict=True)):
        np.testing.assert_allclose(a, inverse_time(t) * b, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 4, 2), (2, 2), (4, 1, 3)])
@pytest.mark.usefixtures("x64")
def test_leaves_of_many_axes_are_factored_along_their_two_largest(rng, shape):
    gradients = [jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(3)]
    theirs = optax.scale_by_factored_rms(min_dim_size_to_factor=2)
    state = theirs.init(gradients[0])
    ours = steps(rt.ScaleByFactoredRms(min_dim_size_to_factor=2), gradients[0], gradients)
    for g, u in zip(gradients, ours, strict=True):
        with jax.numpy_dtype_promotion("standard"):
            expected, state = theirs.update(g, state, g)
        np.testing.assert_allclose(u, expected, rtol=1e-5)


def test_another_decay_of_the_second_moment_can_be_given():
    def half(count, decay_rate):
        return jnp.full((), 0.5)

    g = [jnp.full(1, 2.0), jnp.full(1, 2.0)]
    u = np.ravel(steps(rt.ScaleByFactoredRms(decay_rate_fn=half, epsilon=0.0), g[0], g))
    np.testing.assert_allclose(u, [2**0.5, (4 / 3) ** 0.5], rtol=1e-6)


def test_steps_before_the_offset_have_no_decay():
    g = [jnp.full(1, 2.0), jnp.full(1, 4.0)]
    u = np.ravel(steps(rt.ScaleByFactoredRms(step_offset=5), g[0], g))
    np.testing.assert_allclose(u, [1.0, 1.0], rtol=1e-6)


def came(gradients, rate, b1, b2, b3, eps=1e-30, eps_residual=1e-16, d=1.0):
    """CAME for one matrix, in the letters of the paper."""
    n, m = gradients[0].shape
    r, c, R, C, M, out = np.zeros(n), np.zeros(m), np.zeros(n), np.zeros(m), np.zeros((n, m)), []

    def estimate(row, col):
        return np.outer(row, col) / row.mean()

    for G in gradients:
        r = b2 * r + (1 - b2) * (G**2 + eps).mean(1)
        c = b2 * c + (1 - b2) * (G**2 + eps).mean(0)
        U = G / np.sqrt(estimate(r, c))
        U = U / max(1.0, np.sqrt(np.mean(U**2)) / d)
        M = b1 * M + (1 - b1) * U
        res = (U - M) ** 2 + eps_residual
        R = b3 * R + (1 - b3) * res.mean(1)
        C = b3 * C + (1 - b3) * res.mean(0)
        out.append(-rate * M / np.sqrt(estimate(R, C)))
    return out


@pytest.mark.usefixtures("x64")
def test_came_is_the_paper_s(rng):
    gradients = [rng.normal(size=(3, 4)) * 10 ** rng.uniform(-3, 3) for _ in range(30)]
    ours = steps(ro.CAME(0.1, 0.8, 0.9, 0.95), jnp.zeros((3, 4)), gradients)
    np.testing.assert_allclose(ours, came(gradients, 0.1, 0.8, 0.9, 0.95), rtol=1e-9)
    stacked = [np.stack([g, 2 * g[::-1]]) for g in gradients]
    both = np.stack(
        steps(ro.CAME(0.1, 0.8, 0.9, 0.95, clipping_threshold=1e9), stacked[0], stacked)
    )
    alone = came([g[1] for g in stacked], 0.1, 0.8, 0.9, 0.95, d=1e9)
    np.testing.assert_allclose(both[:, 1], alone, rtol=1e-9)


# Layers.


@pytest.mark.usefixtures("x64")
def test_fromage_shrinks_by_the_rate_of_the_step(rng):
    params, gradients = rng.normal(size=4), [rng.normal(size=4) for _ in range(3)]
    ours = steps(ro.Fromage(inverse_time), params, gradients)
    for t, (g, u) in enumerate(zip(gradients, ours, strict=True)):
        eta = inverse_time(t)
        moved = params - eta * np.linalg.norm(params) / np.linalg.norm(g) * g
        np.testing.assert_allclose(params + u, moved / np.sqrt(1 + eta**2), rtol=1e-7)


def test_parameters_or_updates_of_zero_leave_the_update_as_it_is():
    zero, one = jnp.zeros(2), jnp.array([3.0, 4.0])
    np.testing.assert_array_equal(once(rt.ScaleByTrustRatio(), one, zero), one)
    np.testing.assert_array_equal(once(rt.ScaleByTrustRatio(), zero, one), zero)
    np.testing.assert_allclose(
        once(rt.ScaleByTrustRatio(eps=1.0), one, one), one * 5 / 6, rtol=1e-6
    )


def test_lars_leaves_alone_what_its_masks_leave_out():
    params = {"kernel": jnp.array([6.0, 8.0]), "bias": jnp.array([2.0])}
    g = {"kernel": jnp.array([0.0, 0.5]), "bias": jnp.array([3.0])}
    optimizer = ro.LARS(
        0.5, 0.25, "*kernel", trust_coefficient=0.1, trust_ratio_mask="*kernel", momentum=0.0
    )
    u = once(optimizer, g, params)
    decayed = np.array([1.5, 2.5])
    np.testing.assert_allclose(u["kernel"], -0.5 * decayed / np.linalg.norm(decayed), rtol=1e-6)
    np.testing.assert_allclose(u["bias"], [-1.5])


@pytest.mark.parametrize("shape", [(3,), (1, 4), (3, 2), (2, 3, 4), (2, 3, 2, 4), (2, 1, 3, 2, 4)])
def test_a_unit_is_what_optax_takes_for_one(rng, shape):
    p, g = (jnp.asarray(rng.normal(size=shape), jnp.float32) for _ in range(2))
    for axis in (None, 0, tuple(range(len(shape)))):
        theirs = optax.adaptive_grad_clip(0.5, axis=axis)
        expected, _ = theirs.update(g, theirs.init(p), p)
        ours = once(rt.AdaptiveGradClip(0.5, axis=axis), g, p)
        np.testing.assert_allclose(ours, expected, rtol=2e-6)


def test_adaptive_clipping_of_infinite_gradients_and_of_six_axes():
    p = jnp.full((2, 2), 3.0)
    u = once(rt.AdaptiveGradClip(1.0), jnp.array([[INF, 0.5], [1.0, 0.5]]), p)
    np.testing.assert_allclose(u, [[18**0.5, 0.5], [0.0, 0.5]], rtol=1e-6)
    six = {"deep": jnp.ones((2,) * 6)}
    with pytest.raises(ValueError, match=r"AdaptiveGradClip: the leaf 'deep' has 6 axes\. Say"):
        once(rt.AdaptiveGradClip(1.0), six, six)
    assert once(rt.AdaptiveGradClip(1.0, axis=0), six, six)["deep"].shape == (2,) * 6


@pytest.mark.usefixtures("x64")
def test_orthograd_turns_a_gradient_across_and_keeps_its_length(rng):
    p, g = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    u = np.asarray(once(rt.OrthoGrad(), {"w": g, "b": 2.0}, {"w": p, "b": 1.0})["w"])
    rest = g - np.vdot(p, g) / np.vdot(p, p) * p
    np.testing.assert_allclose(u, rest * np.linalg.norm(g) / np.linalg.norm(rest), rtol=1e-10)
    assert abs(np.vdot(u, p)) < 1e-12


@pytest.mark.parametrize(
    "transform",
    [
        rt.AdaptiveGradClip(1.0),
        rt.KeepParamsNonnegative(),
        rt.OrthoGrad(),
        rt.Project(projection_l2_ball),
        rt.ScaleByParamBlockNorm(),
        rt.ScaleByParamBlockRms(),
        rt.ScaleByTrustRatio(),
        rt.ShrinkAfterStep(0.1),
    ],
    ids=lambda t: type(t).__name__,
)
def test_what_needs_the_parameters_says_so(transform):
    with pytest.raises(ValueError, match=f"{type(transform).__name__} needs the parameters: call"):
        once(transform, jnp.ones(2))


# Polyak.


def test_polyak_scaling_multiplies_the_step_as_optax_documents_and_does_not():
    g = jnp.array([3.0, 4.0])
    np.testing.assert_allclose(once(ro.PolyakSGD(scaling=0.5), g, value=5.0), -0.1 * g, rtol=1e-6)
    # Optax scales the gradient first, and its squared norm with it: the step doubles.
    theirs = optax.polyak_sgd(scaling=0.5)
    u, _ = theirs.update(g, theirs.init(g), g, value=5.0)
    np.testing.assert_allclose(u, -0.4 * g, rtol=1e-6)


def test_polyak_below_its_bound_and_at_the_bottom():
    g = jnp.array([3.0, 4.0])
    assert (once(ro.PolyakSGD(f_min=10.0), g, value=5.0) > 0).all()
    np.testing.assert_array_equal(once(ro.PolyakSGD(f_min=10.0, variant="sps+"), g, value=5.0), 0)
    np.testing.assert_array_equal(once(ro.PolyakSGD(), 0 * g, value=5.0), 0)
    with pytest.raises(ValueError, match="ScaleByPolyak needs the loss: call update"):
        once(ro.PolyakSGD(), g)
    with pytest.raises(ValueError, match=r"PolyakSGD: variant must be 'sps' or 'sps\+', got 'x'"):
        ro.PolyakSGD(variant="x")


# Around them.


def test_a_nan_in_one_sum_does_not_reach_the_next():
    g = [jnp.array([x]) for x in (NAN, 1.0, 2.0, 3.0)]
    np.testing.assert_array_equal(np.ravel(steps(rt.ApplyEvery(2), g[0], g)), [0, NAN, 0, 5])


def test_flags_say_which_leaf_held_nan_and_forget_it():
    transform = rt.ZeroNans()
    g = {"a": jnp.array([NAN, INF]), "b": jnp.ones(1)}
    u, state = transform.update(g, transform.init(g))
    np.testing.assert_array_equal(u["a"], [0.0, INF])
    assert state.found_nan == {"a": True, "b": False}
    _, state = transform.update(u, state)
    assert state.found_nan == {"a": False, "b": False}


def test_functions_get_the_parameters_where_there_are_any():
    def added(u, p):
        return u if p is None else jax.tree.map(jnp.add, u, p)

    g = {"w": jnp.ones(2)}
    for make in (rt.Stateless, rt.StatelessWithTreeMap):
        np.testing.assert_array_equal(once(make(added), g)["w"], [1, 1])
        np.testing.assert_array_equal(once(make(added), g, g)["w"], [2, 2])
        assert make(added).update(g, EmptyState())[1] == EmptyState()


def test_projected_descent_stays_in_its_set_and_the_radius_can_be_mapped():
    def ends(radius):
        optimizer = rt.chain(ro.SGD(0.5), rt.Project(projection_l2_ball, (radius,)))
        params = jnp.array([0.1, 0.2])
        state = optimizer.init(params)
        for _ in range(30):
            u, state = optimizer.update(params - jnp.array([3.0, 4.0]), state, params)
            params = params + u
        return params

    np.testing.assert_allclose(
        jax.vmap(ends)(jnp.array([1.0, 2.5, 50.0])), [[0.6, 0.8], [1.5, 2.0], [3.0, 4.0]], rtol=1e-5
    )
