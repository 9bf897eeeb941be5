"""Optimizers that find their learning rate: the authors' code, Optax, and what Optax gets wrong."""

import inspect
from functools import partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.apply import apply_updates
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Transform
from tests.registry import parametrize, promotion, random_tree, rate_free, steps

TRACE = Path(__file__).parent / "traces" / "rate_free.npz"
BY_AUTHORS = {
    "DAdaptSGD": ro.DAdaptSGD(estim_lr0=1e-3, momentum=0.8),
    "DAdaptLion": ro.DAdaptLion(0.5, 0.8, 0.9, estim_lr0=1e-3, weight_decay=0.1),
    "DAdaptAdan": ro.DAdaptAdan(1.0, 0.9, 0.8, 0.95, estim_lr0=1e-3, weight_decay=0.1),
    "Prodigy": ro.Prodigy(betas=(0.8, 0.9), estim_lr0=1e-3, weight_decay=0.1),
}


def follow(optimizer, start, curvature, noise):
    """The parameters after each step on a noisy bowl."""

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(start, noise):
        def step(carry, z):
            p, state = carry
            updates, state = optimizer.update(curvature * p + z, state, p)
            p = apply_updates(p, updates)
            return (p, state), (p, optimizer.eval_params(state, p))

        return jax.lax.scan(step, (start, optimizer.init(start)), noise)[1]

    return run(jnp.asarray(start), jnp.asarray(noise))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", BY_AUTHORS)
def test_goes_as_the_authors_own_code_does(name):
    trace = np.load(TRACE)
    points, _ = follow(BY_AUTHORS[name], trace["start"], trace["curvature"], trace["noise"])
    np.testing.assert_allclose(points, trace[name], rtol=1e-10, atol=1e-12)


# These are differences of large numbers where gradients are of all magnitudes, or in float32:
# rounding would decide in the registry's test.
TAME = {
    "MoMo": (
        ro.MoMo(0.2, 0.5, -1.0, 0.1, adapt_lower_bound=True),
        optax.contrib.momo(0.2, 0.5, -1.0, 0.1, adapt_lower_bound=True),
    ),
    "MoMoAdam": (
        ro.MoMoAdam(0.2, 0.5, 0.9, 1e-3, -1.0, 0.1, adapt_lower_bound=True),
        optax.contrib.momo_adam(0.2, 0.5, 0.9, 1e-3, -1.0, 0.1, adapt_lower_bound=True),
    ),
    "ScheduleFreeSGD": (
        ro.ScheduleFreeSGD(0.1, b1=0.5, weight_decay=0.1),
        optax.contrib.schedule_free_sgd(0.1, b1=0.5, weight_decay=0.1),
    ),
    "ScheduleFreeAdamW": (
        ro.ScheduleFreeAdamW(0.1, b1=0.5, b2=0.9, weight_decay=0.1, weight_lr_power=0.5),
        optax.contrib.schedule_free_adamw(0.1, None, 0.5, 0.9, 1e-8, 0.1, 0.5),
    ),
    "Mechanize": (
        rt.Mechanize(ro.Adam(0.1), 0.1, 1e-3, 1e-2, 3),
        optax.contrib.mechanize(optax.adam(0.1), 0.1, 1e-3, 1e-2, 3),
    ),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", TAME)
def test_matches_optax_on_gradients_of_one_magnitude(name, rng):
    ours, theirs = TAME[name]
    params = random_tree(rng, np.float64, steps=50)
    gradients = random_tree(rng, np.float64, steps=50)
    values = jnp.asarray(rng.uniform(0.5, 2.0, size=50))

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(inputs):
        def step(states, x):
            g, p, value = x
            a, s = ours.update(g, states[0], p, value=value)
            with jax.numpy_dtype_promotion("standard"):
                b, t = theirs.update(g, states[1], p, value=value)
            return (s, t), (a, b)

        first = jax.tree.map(lambda x: x[0], params)
        return jax.lax.scan(step, (ours.init(first), theirs.init(first)), inputs)[1]

    a, b = run((gradients, params, values))
    chex.assert_trees_all_close(a, b, rtol=1e-9, atol=1e-12)


def test_distance_over_gradients_is_dog_for_each_leaf(rng):
    params = random_tree(rng, np.float32)
    gradients = [random_tree(rng, np.float32) for _ in range(3)]
    by_leaf = rt.ScaleByDistanceOverGradients(reps_rel=0.1)
    dog, moved = rt.ScaleByDog(("heuristic", 0.1)), jax.tree.map(lambda p: p + 1, params)

    def run(transform, start, moved, gradients):
        state, out = transform.init(start), []
        for g, p in zip(gradients, (start, moved, start), strict=True):
            updates, state = transform.update(g, state, p)
            out.append(updates)
        return out

    together = run(by_leaf, params, moved, gradients)
    leaves = jax.tree.leaves
    for i, (p, q) in enumerate(zip(leaves(params), leaves(moved), strict=True)):
        alone = run(dog, p, q, [leaves(g)[i] for g in gradients])
        chex.assert_trees_all_close([leaves(u)[i] for u in together], alone, rtol=1e-6)


# Fault B6: init stored the parameters themselves, and a donated step donated them twice.
HOLDS_THE_FIRST_POINT = [
    ro.DoG(),
    ro.DoWG(),
    ro.Prodigy(),
    ro.DAdaptSGD(),
    ro.MADGRAD(0.1),
    ro.COCOB(),
    rt.Mechanize(ro.SGD(0.1)),
    rt.ScaleByDistanceOverGradients(),
    rt.ScheduleFree(ro.SGD(0.1), 0.1),
]


@pytest.mark.parametrize("optimizer", HOLDS_THE_FIRST_POINT, ids=lambda o: type(o).__name__)
def test_the_first_point_is_kept_in_a_buffer_of_its_own(optimizer):
    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state):
        updates, state = optimizer.update(params, state, params)
        return apply_updates(params, updates), state

    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    state = optimizer.init(params)
    for _ in range(2):
        params, state = step(params, state)
    chex.assert_tree_all_finite(params)


# Fault B7: extra arguments stopped at a wrapper.


@rule
class Spy(Transform):
    """Multiplies by the extra argument ``value``, which it cannot do without."""

    def init(self, params):
        return EmptyState()

    def update(self, updates, state, params=None, **extra):
        return jax.tree.map(lambda u: extra["value"] * u, updates), state


@pytest.mark.parametrize(
    "wrapper", [lambda t: rt.Mechanize(t, s_init=1.0), lambda t: rt.ScheduleFree(t, 0.1)]
)
def test_extra_arguments_reach_the_base_of_a_wrapper(wrapper):
    g = jnp.ones(2)
    (once,), (twice,) = (steps_with(wrapper(Spy()), g, value=value) for value in (1.0, 2.0))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)
    assert once.all()


def steps_with(optimizer, g, **extra):
    return [optimizer.update(g, optimizer.init(g), g, **extra)[0]]


@parametrize([e for e in rate_free.OPTIMIZERS if "-" not in e.name])
def test_gradients_that_are_zero_from_the_start_move_nothing_and_break_nothing(entry):
    params, zero = jnp.array([1.0, -2.0]), jnp.zeros(2)
    still = steps(entry, params, [zero] * 2)
    decays = type(entry.rule) is ro.DAdaptAdan  # by 2 percent of a millionth
    chex.assert_trees_all_close(still, [zero] * 2, atol=1e-6 if decays else 0.0)
    with promotion(entry):
        after = steps(entry, params, [zero] * 6 + [params])[-1]
    assert (jnp.sign(after) == -jnp.sign(params)).all()


@pytest.mark.parametrize("make", [ro.Prodigy, ro.DAdaptAdamW, ro.DAdaptLion, ro.DAdaptAdan])
def test_only_the_leaves_in_the_mask_decay(make):
    params = {"kernel": jnp.ones(2), "bias": jnp.ones(2)}
    optimizer = make(estim_lr0=0.5, weight_decay=0.1, weight_decay_mask="*kernel")
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates = steps(optimizer, params, [zeros])[0]
    np.testing.assert_array_equal(updates["bias"], zeros["bias"])
    assert (updates["kernel"] < 0).all()


def test_weights_loaded_after_init_are_where_mechanize_starts():
    optimizer = rt.Mechanize(ro.SGD(1.0))
    state, loaded = optimizer.init(jnp.zeros(2)), jnp.ones(2)
    _, state = optimizer.update(loaded, state, loaded)
    np.testing.assert_array_equal(state.x0, loaded)


@pytest.mark.parametrize("make", [ro.Prodigy, ro.DAdaptAdamW])
def test_a_bfloat16_step_of_a_millionth_is_not_lost_on_the_way(make):
    """The sums of terms as small as the first estimate are kept in float32."""
    g = jnp.array([1.0, -2.0], jnp.bfloat16)
    for u in steps(make(), g, [g] * 3):
        assert u.dtype == jnp.bfloat16
        assert (jnp.abs(u) > 0).all()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ro.Prodigy, optax.contrib.prodigy),
        (ro.DAdaptAdamW, optax.contrib.dadapt_adamw),
        (ro.ScheduleFreeSGD, optax.contrib.schedule_free_sgd),
        (ro.ScheduleFreeAdamW, optax.contrib.schedule_free_adamw),
        (rt.Mechanize, optax.contrib.mechanize),
        (rt.ScheduleFree, optax.contrib.schedule_free),
    ],
    ids=lambda x: x.__name__,
)
def test_arguments_begin_as_optax_s_do(ours, theirs):
    a, b = (list(inspect.signature(f).parameters.values()) for f in (ours, theirs))
    pairs = [(p.name, p.default) for p in b]
    assert [(p.name, p.default) for p in a][: len(b)] == pairs
    assert {p.name for p in a[len(b) :]} <= {"weight_decay_mask"}


BAD = [
    (lambda: ro.Prodigy(betas=0.9), TypeError, r"Prodigy: betas must be a pair .* got 0.9"),
    (lambda: ro.Prodigy(betas=(0.9, 1.0)), ValueError, r"Prodigy: betas .* b2 must be in \[0, 1"),
    (lambda: ro.DAdaptAdamW(betas=("a", 0.9)), TypeError, "DAdaptAdamW: betas .* b1 must be a num"),
    (lambda: ro.Prodigy(estim_lr0=0.0), ValueError, "estim_lr0 must be greater than 0"),
    (lambda: ro.DoG(init_step=1e-6), TypeError, "DoG: init_step must be a pair such as"),
    (lambda: ro.DoG(init_step=("far", 1.0)), ValueError, "init_step: .*'heuristic', got 'far'"),
    (lambda: ro.DoG(init_step=("distance", -1.0)), ValueError, "DoG: init_step: value must be at"),
    (lambda: rt.Mechanize(ro.SGD(0.1), num_betas=0), ValueError, "num_betas must be at least 1"),
    (lambda: rt.Mechanize(optax.sgd(0.1)), TypeError, "base_optimizer must be a ravine transform"),
    (lambda: rt.ScheduleFree(ro.SGD(0.1), 0.1, b1=0.0), ValueError, "b1 must be in \\(0, 1\\]"),
    (lambda: steps(ro.MoMo(), jnp.ones(1), [jnp.ones(1)]), ValueError, "value=loss"),
    (lambda: steps(ro.DoG(), jnp.ones(1), [None]), ValueError, "differ"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD)))
def test_a_wrong_call_names_what_is_wrong(number):
    call, error, words = BAD[number]
    with pytest.raises(error, match=words):
        call()


@parametrize([e for e in rate_free.TRANSFORMS if not e.name.startswith("ScaleByDadaptSgd")])
def test_a_transform_that_needs_the_parameters_says_so(entry):
    g = jnp.ones(2)
    with pytest.raises(ValueError, match="needs the parameters"):
        entry.rule.update(g, entry.rule.init(g), value=1.0)
