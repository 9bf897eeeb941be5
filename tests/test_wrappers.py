"""Wrappers: what runs when, what is passed on, and what a bad gradient does."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.core.types import EmptyState, Standing, Transform
from tests.registry import random_tree, steps

INF, NAN = jnp.inf, jnp.nan


@rv.rule
class Counted(Transform):
    """Negates gradients, and notes in ``RUNS`` each time that it is executed."""

    def init(self, params: Any) -> Any:
        return EmptyState()

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        jax.debug.callback(lambda: RUNS.append(None))
        return jax.tree.map(jnp.negative, updates), state


RUNS: list[None] = []


@rv.rule
class Spy(Transform):
    """Multiplies by the extra argument ``value``, which it cannot do without."""

    def init(self, params: Any) -> Any:
        return EmptyState()

    def update(self, updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return jax.tree.map(lambda u: extra["value"] * u, updates), state

    def eval_params(self, state: Any, params: Any) -> Any:
        return jax.tree.map(lambda p: p + 1, params)

    def standing(self, state: Any, here: Standing) -> Standing:
        return here._replace(value=here.value + 1, grads=jax.tree.map(jnp.negative, here.grads))


def always(step: Any) -> Any:
    return True


AROUND = {
    "MultiSteps": lambda inner: rv.MultiSteps(inner, 1),
    "ApplyIfFinite": lambda inner: rv.ApplyIfFinite(inner, 3),
    "ConditionallyTransform": lambda inner: rv.ConditionallyTransform(inner, always),
    "ConditionallyMask": lambda inner: rv.ConditionallyMask(inner, always),
    "Flatten": rv.Flatten,
    "SplitRealAndImaginary": rv.SplitRealAndImaginary,
    "Lookahead": lambda inner: rv.Lookahead(inner, 5, 0.5),
    "Cautious": lambda inner: rv.Cautious(inner, descends=False),
    "Grams": lambda inner: rv.Grams(inner, descends=False),
    "SAM": rv.SAM,
    "ASAM": rv.ASAM,
    "MasterWeights": rv.MasterWeights,
    "StochasticRounding": rv.StochasticRounding,
    "Kahan": rv.Kahan,
    "CastState": lambda inner: rv.CastState(inner, {}),
    "QuantizedState": rv.QuantizedState,
}


def run(rule: Any, params: Any, gradients: list[Any]) -> list[Any]:
    """The updates for these gradients, one after another, in one program."""

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def scan(params: Any, gradients: Any) -> Any:
        def step(state: Any, g: Any) -> Any:
            updates, state = rule.update(g, state, params)
            return state, updates

        return jax.lax.scan(step, rule.init(params), gradients)[1]

    stacked = scan(params, jax.tree.map(lambda *g: jnp.stack(g), *gradients))
    return [jax.tree.map(lambda u, i=i: u[i], stacked) for i in range(len(gradients))]


def half_square(params: Any) -> Any:
    return 0.5 * sum(jnp.sum(p * p) for p in jax.tree.leaves(params))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_no_wrapper_drops_extra_arguments(around):
    params = {"w": jnp.array([3.0, 4.0]), "b": jnp.array(12.0)}
    wrapped = rv.chain(around(Spy()))
    extra = {"value": 3.0, "value_fn": half_square, "unheard_of": "x"}
    updates, _ = wrapped.update(params, wrapped.init(params), params, **extra)
    # Those that look for another point have another gradient, of the same sign.
    rtol = 0.5 if "SAM" in repr(wrapped) else 1e-6
    chex.assert_trees_all_close(updates, rv.tree.scale(3.0, params), rtol=rtol)


@pytest.mark.parametrize("name", [n for n in AROUND if n != "Lookahead"])
def test_every_wrapper_asks_what_is_inside_where_to_evaluate_and_where_it_stands(name):
    params = {"w": jnp.array([3.0, 4.0]), "b": jnp.array(12.0)}
    wrapped = AROUND[name](Spy())
    state = wrapped.init(params)
    new = wrapped.eval_params(state, params)
    chex.assert_trees_all_equal(new, jax.tree.map(lambda p: p + 1, params))
    stands = wrapped.standing(state, Standing(params, jnp.array(1.0), params, params))
    assert stands.value == 2.0
    chex.assert_trees_all_equal(stands.grads, jax.tree.map(jnp.negative, params))


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_wrappers_refuse_what_is_no_transform(around):
    with pytest.raises(TypeError, match="inner must be a ravine transform, got Gradient"):
        around(optax.sgd(0.1))


# Accumulation.


def test_the_inner_optimizer_runs_only_when_it_steps():
    transform, g = rv.MultiSteps(Counted(), 8), jnp.ones((16, 3))

    @jax.jit
    def run(g: Any) -> Any:
        def step(state: Any, g: Any) -> Any:
            updates, state = transform.update(g, state)
            return state, updates

        return jax.lax.scan(step, transform.init(g[0]), g)[1]

    RUNS.clear()
    updates = run(g)
    jax.effects_barrier()
    assert len(RUNS) == 2
    np.testing.assert_array_equal(np.flatnonzero(updates[:, 0]), [7, 15])
    # Mapped over lanes a condition computes both sides, and chooses the same.
    lanes = jax.vmap(run)(jnp.stack([g, g]))
    np.testing.assert_array_equal(lanes, jnp.stack([updates, updates]))


def test_micro_batches_are_one_batch_of_their_mean_or_sum(rng):
    params = random_tree(rng, np.float32)
    gradients = [random_tree(rng, np.float32) for _ in range(6)]
    for use_mean in (True, False):
        transform = rv.MultiSteps(rv.Adam(0.1), 3, use_grad_mean=use_mean)
        got = run(transform, params, gradients)
        sums = [jax.tree.map(lambda *g: sum(g), *gradients[i : i + 3]) for i in (0, 3)]
        batches = [rv.tree.scale(1 / 3 if use_mean else 1.0, g) for g in sums]
        expected = run(rv.Adam(0.1), params, batches)
        chex.assert_trees_all_close(got[2], expected[0], rtol=1e-5)
        chex.assert_trees_all_close(got[5], expected[1], rtol=1e-5)
        for i in (0, 1, 3, 4):
            assert all((u == 0).all() for u in jax.tree.leaves(got[i]))


@pytest.mark.parametrize("bad", [INF, -INF, NAN], ids=str)
def test_a_gradient_that_is_not_finite_spoils_no_later_step(bad):
    transform = rv.MultiSteps(rv.SGD(1.0), 2)
    gradients = [jnp.full(2, g) for g in (1.0, bad, 3.0, 5.0)]
    got = run(transform, gradients[0], gradients)
    np.testing.assert_array_equal(got[0], [0.0, 0.0])
    assert not np.isfinite(got[1]).any()
    np.testing.assert_array_equal(np.stack(got[2:]), [[0.0, 0.0], [-4.0, -4.0]])


@pytest.mark.parametrize("bad", [INF, -INF, NAN], ids=str)
def test_a_skipped_micro_step_is_as_if_it_had_never_been(bad):
    transform = rv.MultiSteps(rv.SGD(1.0), 2, should_skip_update_fn=rv.skip_not_finite)
    params = jnp.ones(2)
    state = transform.init(params)
    out = []
    for g in (jnp.ones(2), jnp.array([1.0, bad]), jnp.full(2, 3.0)):
        updates, state = transform.update(g, state, params)
        out.append(
            (updates.tolist(), int(state.mini_step), int(state.skip_state["num_not_finite"]))
        )
    assert out == [([0.0, 0.0], 1, 0), ([0.0, 0.0], 1, 1), ([-2.0, -2.0], 0, 0)]
    assert transform.has_updated(state)
    assert int(state.gradient_step) == 1


def test_large_gradients_can_be_left_out():
    skip = partial(rv.skip_large_updates, max_squared_norm=10.0)
    transform = rv.MultiSteps(rv.SGD(1.0), 1, should_skip_update_fn=skip)
    gradients = [jnp.array([g, 0.0]) for g in (3.0, 4.0, NAN)]
    got = run(transform, gradients[0], gradients)
    np.testing.assert_array_equal(np.stack(got), [[-3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


def test_half_precision_gradients_are_accumulated_in_float32():
    transform = rv.MultiSteps(rv.SGD(1.0), 64)
    g = [jnp.full(1, x, jnp.bfloat16) for x in (1.0, *[0.001] * 63)]
    assert transform.init(g[0]).acc_grads.dtype == jnp.float32
    last = run(transform, g[0], g)[-1]
    np.testing.assert_allclose(np.asarray(last, float), -(1 + 0.063) / 64, rtol=4e-3)


# Conditions.


def test_a_bad_gradient_moves_neither_parameters_nor_state_until_there_are_too_many():
    guarded = rv.ApplyIfFinite(rv.Adam(0.1), max_consecutive_errors=2)
    update = jax.jit(guarded.update)
    params = jnp.ones(2)
    state = guarded.init(params)
    _, state = update(params, state, params)
    kept = state.inner_state
    for i in (1, 2):
        updates, state = update(jnp.array([NAN, 1.0]), state, params)
        np.testing.assert_array_equal(updates, [0.0, 0.0])
        chex.assert_trees_all_equal(state.inner_state, kept)
        assert (int(state.notfinite_count), int(state.total_notfinite)) == (i, i)
    updates, after = update(params, state, params)
    assert jnp.isfinite(updates).all()
    assert (int(after.notfinite_count), int(after.total_notfinite)) == (0, 2)
    updates, state = update(jnp.array([NAN, 1.0]), state, params)
    assert jnp.isnan(updates[0])
    patient = rv.ApplyIfFinite(rv.Adam(0.1), float("inf"))
    bad = [jnp.array([NAN, 1.0])] * 5
    np.testing.assert_array_equal(np.stack(run(patient, params, bad)), np.zeros((5, 2)))


def test_a_condition_may_look_at_the_extra_arguments():
    def is_low(step: Any, value: Any, **extra: Any) -> Any:
        return (step < 2) & (value < 1.0)

    transform = rv.ConditionallyMask(rv.Scale(2.0), is_low, forward_extra_args=True)
    state, out = transform.init(1.0), []
    for value in (0.5, 2.0, 0.5):
        updates, state = transform.update(jnp.ones(()), state, value=value, other=0)
        out.append(float(updates))
    assert out == [2.0, 0.0, 0.0]


# Views.


def test_flattening_changes_nothing_for_what_treats_all_elements_alike(rng):
    params = random_tree(rng, np.float32, jnp.bfloat16)
    gradients = [random_tree(rng, np.float32, jnp.bfloat16) for _ in range(3)]
    for inner in (rv.AdamW(0.1), rv.chain(rv.ClipByGlobalNorm(1.0), rv.SGD(0.1, momentum=0.9))):
        got = run(rv.Flatten(inner), params, gradients)
        chex.assert_trees_all_equal_shapes_and_dtypes(got[0], gradients[0])
        expected = run(inner, params, gradients)
        # The same numbers summed in another order, and rounded to eight bits.
        chex.assert_trees_all_close(got, expected, rtol=8e-3)
    state = rv.Flatten(rv.Adam(0.1)).init(params)
    assert len(jax.tree.leaves(state.inner_state.scale_by_adam.mu)) == 2


def test_gradients_in_other_dtypes_flatten_too():
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    g = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(3, jnp.float16)}
    updates = steps(rv.Flatten(rv.SGD(0.5)), params, [g])[0]
    chex.assert_trees_all_equal(updates, rv.tree.scale(-0.5, g))


def test_what_is_inside_a_view_sees_gradients_and_loss_in_the_same_view():
    def loss(params: Any) -> Any:
        return jnp.sum(params["a"] ** 2) + jnp.sum(params["b"] ** 4)

    params = {"a": jnp.ones(2), "b": jnp.full(3, 2.0)}
    g = jax.grad(loss)(params)
    plain, flat = rv.SAM(rv.SGD(0.5), 1.0), rv.Flatten(rv.SAM(rv.SGD(0.5), 1.0))
    results = [
        t.update(g, t.init(params), params, value_fn=loss, grad=g, value=1.0)[0]
        for t in (plain, flat)
    ]
    chex.assert_trees_all_close(*results, rtol=1e-6)


def test_real_and_imaginary_parts_go_as_two_real_leaves_do(rng):
    parts = [rng.normal(size=(2, 3)).astype(np.float32) for _ in range(6)]
    whole = [jnp.asarray(x + 1j * y, jnp.complex64) for x, y in parts]
    got = run(rv.SplitRealAndImaginary(rv.Adam(0.1)), whole[0], whole)
    expected = run(rv.Adam(0.1), jnp.asarray(parts[0]), [jnp.asarray(x) for x in parts])
    for z, pair in zip(got, expected, strict=True):
        np.testing.assert_allclose([z.real, z.imag], pair, rtol=1e-6)


# Measurements.


def smallest(updates: Any) -> Any:
    return {name: jnp.min(u) for name, u in updates.items()}


def is_large(updates: Any) -> Any:
    return rv.tree.norm(updates) > 4.0


def test_measurements_stand_in_the_state_by_name():
    measures = {
        "norm": rv.tree.norm,
        "least": smallest,
        "large": rv.MeasureWithEma(is_large, 0.5),
        "twice": rv.Scale(2.0),
    }
    chain = rv.chain(rv.Monitor(measures), rv.SGD(0.1))
    params = {"w": jnp.array([3.0, 4.0])}
    state = chain.init(params)
    assert jnp.isnan(rv.find(state, "norm"))
    for factor in (1.0, 0.5):
        g = rv.tree.scale(factor, params)
        updates, state = jax.jit(chain.update)(g, state, params)
    chex.assert_trees_all_close(updates, rv.tree.scale(-0.05, params))
    assert rv.find(state, "norm") == 2.5
    assert rv.find(state, "least") == {"w": 1.5}
    np.testing.assert_allclose(rv.find(state, "measurements/large"), 0.25 / 0.75)
    np.testing.assert_array_equal(rv.find(state, "twice")["w"], [3.0, 4.0])
    assert rv.inspect(state)["norm"] == 2.5


def test_a_measure_is_a_function():
    with pytest.raises(TypeError, match="the measure 'x' must be a function of the updates"):
        rv.Monitor({"x": 3})
    with pytest.raises(TypeError, match="measures must be a dict"):
        rv.Monitor(rv.tree.norm)


# Plateaus.


def scales(values: list[float], **settings: Any) -> list[float]:
    transform = rv.ReduceOnPlateau(**settings)
    state, out = transform.init(1.0), []
    for value in values:
        updates, state = transform.update(jnp.ones(()), state, value=value)
        out.append(float(updates))
    return out


def test_losses_below_zero_plateau_as_others_do():
    for level in (1.0, -1.0):
        assert scales([level] * 5, factor=0.5, patience=2) == [1.0, 1.0, 0.5, 0.5, 0.25]
    falling = [-1.0 - 0.1 * i for i in range(9)]
    assert scales(falling, factor=0.5, patience=2) == [1.0] * 9
    # Less than the relative tolerance is no fall, on either side of zero.
    assert scales([-1.0, -1.001, -1.002], factor=0.5, patience=2, rtol=0.1)[-1] == 0.5


def test_nan_is_no_improvement_and_is_forgotten():
    values = [3.0, NAN, NAN, 2.0, 1.0]
    assert scales(values, factor=0.5, patience=2) == [1.0, 1.0, 0.5, 0.5, 0.5]
    assert scales([INF, INF, 1.0], factor=0.5, patience=5) == [1.0] * 3


def test_a_plateau_needs_the_loss():
    with pytest.raises(ValueError, match="ReduceOnPlateau needs the loss"):
        rv.ReduceOnPlateau().update(1.0, rv.ReduceOnPlateau().init(1.0))
