"""Packed changes the time that a step takes, and nothing else."""

from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.core import rule as core_rule
from ravine.core import tree
from ravine.core.types import Params, Standing, State, Transform, Updates
from ravine.transforms.packed import join, packs_of, split
from tests import registry
from tests.registry import TRANSFORMS, parametrize

OPTIONS = {"xla_backend_optimization_level": 0}
CASES = [e for e in TRANSFORMS if e.rule.elementwise]


def many(rng: np.random.Generator, *dtypes: Any) -> Any:
    """More leaves than fit in a pack, of several sizes, and all else that trees may hold."""
    shapes = [(3,), (), (2, 2), (3,), (1, 5), (0,), (3,), (40, 5)]

    def make(i: int) -> Any:
        return jnp.asarray(rng.normal(size=shapes[i % 8]), dtypes[i % len(dtypes)])

    layers = {f"layer{i}": {"kernel": make(2 * i), "bias": make(2 * i + 1)} for i in range(9)}
    return {**layers, "pair": registry.Pair([make(18)], None), "nothing": None}


def run(rule: Any, params: Any, gradients: list[Any]) -> Any:
    """The updates of these steps, and the last state."""

    @partial(jax.jit, compiler_options=OPTIONS)
    def step(g: Any, state: Any, params: Any) -> Any:
        updates, state = rule.update(g, state, params)
        return updates, state, rv.apply_updates(params, updates)

    state, out = rule.init(params), []
    for g in gradients:
        updates, state, params = step(g, state, params)
        out.append(updates)
    return out, state


@parametrize(CASES)
def test_updates_are_those_of_the_optimizer_itself(entry, rng):
    params, gradients = many(rng, np.float32), [many(rng, np.float32) for _ in range(2)]
    packed = entry._replace(rule=rv.Packed(entry.rule, max_size=100))
    plain, other = (registry.steps(e, params, gradients) for e in (entry, packed))
    for ours, theirs in list(zip(other, plain, strict=True))[entry.skip :]:
        # A scalar XLA divides, where it multiplies an array by the reciprocal.
        exact = [jnp.ndim(x) > 0 for x in jax.tree.leaves(theirs)]
        pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), exact, strict=True)
        for x, y, same in pairs:
            np.testing.assert_allclose(x, y, rtol=0 if same else 3e-7, atol=0)


def test_the_state_has_few_leaves_and_the_names_of_the_parts(rng):
    params = {f"bias{i}": jnp.zeros(16) for i in range(100)} | {"kernel": jnp.zeros((80, 80))}
    state = rv.Packed(rv.AdamW(0.1)).init(params)
    assert len(jax.tree.leaves(state)) < 30
    assert state.inner_state._fields == rv.AdamW(0.1).init(params)._fields
    adam = state.inner_state.scale_by_adam
    assert {x.shape for x in adam.mu.packs} == {(160,)}
    assert adam.nu.others["kernel"].shape == (80, 80)
    assert adam.nu.others["bias0"] is None


def test_large_leaves_are_not_copied(rng):
    params = {"small": [jnp.ones(2)] * 3, "large": jnp.ones(200)}
    select = packs_of(params, 100)
    joined = join(params, select)
    assert joined.others["large"] is params["large"]
    assert split(joined, params, select)["large"] is params["large"]


@pytest.mark.parametrize(
    ("dtypes", "gradients"),
    [
        ([jnp.bfloat16, jnp.float32], [jnp.bfloat16, jnp.float32]),
        ([jnp.float32], [jnp.bfloat16, jnp.float32, jnp.float16]),
        ([jnp.complex64, jnp.float32], [jnp.complex64, jnp.float32]),
    ],
    ids=["mixed", "gradients", "complex"],
)
def test_leaves_of_several_dtypes_keep_theirs(rng, dtypes, gradients):
    params, g = many(rng, *dtypes), many(rng, *gradients)
    for rule in (rv.Adam(0.1), rv.SGD(0.1, momentum=0.9)):
        plain, packed = (r.update(g, r.init(params), params)[0] for r in (rule, rv.Packed(rule)))
        chex.assert_trees_all_equal_shapes_and_dtypes(packed, plain)
        chex.assert_trees_all_close(packed, plain, rtol=1e-6)


def test_a_mask_by_path_sees_the_paths(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)
    rule = rv.AdamW(0.1, weight_decay=0.5, weight_decay_mask="*kernel")
    plain, packed = (run(r, params, [g, g])[0] for r in (rule, rv.Packed(rule)))
    chex.assert_trees_all_close(packed, plain, rtol=3e-7, atol=1e-9)
    assert rv.Packed(rule).init(params).inner_state.scale_by_adam.mu.packs


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rule: rv.Masked(rule, "*bias"),
        lambda rule: rv.Frozen(rule, "*bias"),
        lambda rule: rv.Partition({"a": rule, "b": rv.SGD(0.1)}, {"*kernel": "a", "*": "b"}),
    ],
    ids=["masked", "frozen", "partition"],
)
def test_masks_go_around_it_and_inside_it(rng, wrap):
    params, g = many(rng, np.float32), many(rng, np.float32)
    plain, _ = run(wrap(rv.Adam(0.1)), params, [g, g])
    for rule in (wrap(rv.Packed(rv.Adam(0.1))), rv.Packed(wrap(rv.Adam(0.1)))):
        chex.assert_trees_all_close(run(rule, params, [g, g])[0], plain, rtol=3e-7, atol=1e-9)


def test_parts_that_look_at_whole_leaves_or_trees_see_them(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)
    rule = rv.chain(
        rv.ClipByGlobalNorm(1.0),
        rv.Trace(0.9),
        rv.ClipByBlockRms(0.1),
        rv.AdamW(0.1),
        rv.Scale(2.0),
    )
    plain, packed = (run(r, params, [g, g])[0] for r in (rule, rv.Packed(rule)))
    chex.assert_trees_all_close(packed, plain, rtol=3e-7, atol=1e-9)


def test_params_and_state_can_be_donated(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)
    rule = rv.Packed(rv.Adam(0.1))

    @partial(jax.jit, donate_argnums=(0, 1), compiler_options=OPTIONS)
    def step(params: Any, state: Any, g: Any) -> Any:
        updates, state = rule.update(g, state, params)
        return rv.apply_updates(params, updates), state

    before = rule.init(params)
    after, state = step(params, before, g)
    state = step(after, state, g)[1]
    moments = before.inner_state.scale_by_adam.mu.packs
    assert all(x.is_deleted() for x in jax.tree.leaves((params, moments)) if x.size)
    assert int(state.inner_state.scale_by_adam.count) == 2


@core_rule.rule
class Watch(Transform):
    """Takes the difference to the extra argument ``grad``, and remembers the loss at zero."""

    elementwise = True

    def init(self, params: Params) -> State:
        return {"like": jax.tree.map(jnp.zeros_like, params), "loss": jnp.zeros(())}

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        new = jax.tree.map(jnp.subtract, updates, extra["grad"])
        zeros = jax.tree.map(jnp.zeros_like, params)
        loss = extra["value_fn"](zeros) + extra["value"]
        return new, {"like": new, "loss": loss}


def test_extra_arguments_are_joined_as_the_updates_are(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)
    rule = rv.Packed(Watch())

    def loss(p: Any) -> Any:
        assert jax.tree.structure(p) == jax.tree.structure(params)
        return sum(jnp.sum(x + 1) for x in jax.tree.leaves(p))

    extra = {"grad": g, "value_fn": loss, "value": 2.0, "other": "unused"}
    updates, state = rule.update(g, rule.init(params), params, **extra)
    chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, g))
    np.testing.assert_allclose(state.inner_state[0]["loss"], tree.size(params) + 2.0)


def test_the_average_of_the_parameters_comes_back_as_a_tree(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)
    rule = rv.chain(rv.Adam(0.1), rv.EmaParams(0.5))
    averages = []
    for r in (rule, rv.Packed(rule)):
        _, state = r.update(g, r.init(params), params)
        averages.append(r.eval_params(state, params))
    chex.assert_trees_all_close(*averages, rtol=1e-6)


def test_a_line_search_stands_where_it_stood(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)
    rule, here = rv.Packed(rv.Adam(0.1)), Standing(params, 1.0, g, g)
    assert rule.standing(rule.init(params), here) is here


@pytest.mark.parametrize("params", [{}, None, {"w": jnp.ones(2)}, jnp.ones(())], ids=str)
def test_trees_with_little_in_them(params):
    rule = rv.Packed(rv.Adam(0.1))
    updates, _ = rule.update(params, rule.init(params), params)
    chex.assert_trees_all_close(updates, jax.tree.map(lambda p: -0.1 * p, params), rtol=1e-5)


def test_another_tree_than_at_init_is_named():
    rule = rv.Packed(rv.Adam(0.1))
    state = rule.init({"w": jnp.ones(2), "b": jnp.ones(2)})
    with pytest.raises(ValueError, match="The tree has 1 leaves, and the mask was made at init"):
        rule.update({"w": jnp.ones(2)}, state)


def test_lanes_and_scans_take_it(rng):
    params, g = many(rng, np.float32), many(rng, np.float32)

    def last(rate: Any) -> Any:
        rule = rv.Packed(rv.Adam(rate))

        def step(carry: Any, _: Any) -> Any:
            updates, state = rule.update(g, carry[1], carry[0])
            return (rv.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (params, rule.init(params)), length=3)[0][0]

    lanes = jax.jit(jax.vmap(last), compiler_options=OPTIONS)(jnp.array([0.1, 0.2]))
    alone = jax.jit(last, compiler_options=OPTIONS)(0.2)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[1], lanes), alone, rtol=2e-6, atol=1e-7)


def test_a_class_says_itself_whether_it_is_elementwise():
    assert rv.AddDecayedWeights(0.1).elementwise
    assert not rv.AddDecayedWeights(0.1, mask="*").elementwise
    assert not rv.ClipByGlobalNorm(1.0).elementwise
    assert not rv.Masked(rv.Trace(0.9), "*").elementwise
