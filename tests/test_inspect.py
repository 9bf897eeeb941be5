"""States can be read: names, norms, parts like the parameters, and what to cite."""

import dataclasses
import inspect
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine import optimizers as ro
from ravine.interop.optax import from_optax
from ravine.optimizers.cite import references
from tests.registry import CLASSES, OPTIMIZERS, WHOLE, inverse_time, parametrize, random_tree

NOISE = rv.AddNoise(0.1, 0.5)
PARAMS = {"w": jnp.array([3.0, 4.0]), "b": jnp.ones(1)}


def after(optimizer: Any, steps: int, params: Any = PARAMS) -> Any:
    """The state after so many steps with the parameters for gradients."""
    state = optimizer.init(params)
    for _ in range(steps):
        _, state = optimizer.update(params, state, params)
    return state


# B8: a search for the count finds several, and one for the learning rate none.


@pytest.mark.parametrize("rate", [0.1, inverse_time], ids=["number", "schedule"])
def test_the_learning_rate_and_the_count_are_found_by_name(rate):
    state = after(rv.AdamW(rate, weight_decay=0.2), 3)
    read = rv.inspect(state)
    assert list(read) == ["count", "mu_norm", "nu_norm", "weight_decay", "learning_rate"]
    assert read["count"] == 3
    np.testing.assert_allclose(read["learning_rate"], 0.1 if rate == 0.1 else 0.1 / 1.2, rtol=1e-6)
    np.testing.assert_allclose(read["mu_norm"], 26**0.5 * (1 - 0.9**3), rtol=1e-5)
    assert rv.find(state, "count") == 3
    assert rv.find(state, "learning_rate") == read["learning_rate"]
    assert rv.find(state, "scale_by_adam/count") == 3
    assert rv.find(state, "mu") is state.scale_by_adam.mu
    assert rv.find(state, "scale_by_adam") is state.scale_by_adam


def test_what_has_one_name_is_told_apart_by_its_path():
    parts = {"fast": rv.SGD(0.1), "slow": rv.SGD(0.01)}
    state = after(rv.Partition(parts, {"w": "fast", "*": "slow"}), 2)
    read = rv.inspect(state)
    assert read["fast/count"] == 2
    np.testing.assert_allclose(read["slow/scale_by_learning_rate/learning_rate"], 0.01, rtol=1e-6)
    with pytest.raises(KeyError, match=r"'learning_rate' names several parts .* write one of"):
        rv.find(state, "learning_rate")
    with pytest.raises(KeyError, match=r"No part of the state is called 'mu'\. Its names are 'inn"):
        rv.find(state, "mu")


def test_every_name_that_is_shown_can_be_found():
    chain = rv.chain(
        rv.Monitor({"norm": rv.tree.norm, "mean": rv.MeasureWithEma(rv.tree.norm, 0.5)}),
        rv.MultiSteps(rv.chain(rv.ClipByGlobalNorm(1.0), rv.AdamW(0.1)), 2),
        rv.EmaParams(0.9),
    )
    state = after(chain, 4)
    read = rv.inspect(state)
    for name, value in read.items():
        found = rv.find(state, name.removesuffix("_norm"))
        np.testing.assert_allclose(value, rv.tree.norm(found) if found is not value else value)
    assert read["count"] == 4
    assert read["inner_state/count"] == read["gradient_step"] == 2
    np.testing.assert_allclose(read["norm"], 26**0.5, rtol=1e-6)


def test_inspection_works_in_a_program_and_over_lanes():
    def run(rate: Any) -> Any:
        return after(rv.Adam(rate), 2)

    states = jax.vmap(run)(jnp.array([0.1, 0.2]))
    read = jax.jit(jax.vmap(rv.inspect))(states)
    np.testing.assert_allclose(read["learning_rate"], [0.1, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(read["count"], [2, 2])


@parametrize(WHOLE)
def test_every_state_can_be_read(entry, rng):
    state = jax.eval_shape(entry.rule.init, random_tree(rng, np.float32))
    read = jax.eval_shape(rv.inspect, state)
    assert all(isinstance(name, str) and x.ndim == 0 for name, x in read.items())
    # Every count of ours is there, one way or another.
    counted = any("count" in jax.tree_util.keystr(p) for p, _ in leaves_of(state))
    assert counted == any("count" in name for name in read) or entry.name == "FromOptax"


def leaves_of(state: Any) -> Any:
    return jax.tree_util.tree_flatten_with_path(state)[0]


def test_states_of_optax_can_be_read_too():
    optimizer = from_optax(optax.adam, 0.1)
    with jax.numpy_dtype_promotion("standard"):
        state = after(optimizer, 2)
    assert rv.inspect(state)["count"] == 2
    np.testing.assert_allclose(rv.find(state, "mu")["b"], [0.19], rtol=1e-6)


# B9: two equal optimizers are unequal, hash differently, and print as addresses.


def test_equal_optimizers_are_equal_hash_alike_and_print_as_they_are_written():
    for make in (
        lambda: rv.Adam(1e-3),
        lambda: rv.chain(rv.Clip(1.0), rv.MultiSteps(rv.SGD(0.1), 4)),
    ):
        assert make() == make()
        assert hash(make()) == hash(make())
        assert eval(repr(make()), vars(rv)) == make()


# B10: a checkpoint breaks when a number becomes a schedule.


@parametrize(OPTIMIZERS)
def test_the_structure_of_the_state_is_the_same_for_a_number_and_a_schedule(entry, rng):
    fields = {f.name for f in dataclasses.fields(entry.rule)} & {"learning_rate", "weight_decay"}
    params = random_tree(rng, np.float32)
    for name in fields:
        if getattr(entry.rule, name) is None:
            continue
        try:
            scheduled = dataclasses.replace(entry.rule, **{name: inverse_time})
        except TypeError:
            # What takes no schedule says so.
            continue
        chex.assert_trees_all_equal_shapes_and_dtypes(
            jax.eval_shape(scheduled.init, params), jax.eval_shape(entry.rule.init, params)
        )


# B11: a transform put in front renumbers the keys of every checkpoint.


def test_a_transform_put_in_front_renames_nothing():
    def paths(*front: Any) -> set[str]:
        state = rv.chain(*front, rv.Trace(0.9), rv.Adam(0.1)).init(PARAMS)
        return {jax.tree_util.keystr(path) for path, _ in leaves_of(state)}

    assert paths() < paths(NOISE)
    assert paths() == paths(rv.Clip(1.0))
    assert not any(c.isdigit() for c in "".join(paths()))
    short, long = (rv.inspect(rv.chain(*x, rv.Adam(0.1)).init(PARAMS)) for x in ((), (NOISE,)))
    assert list(short) == ["count", "mu_norm", "nu_norm", "learning_rate"] == list(long)


# B12: writing a hyperparameter into the state changes the old state, or is ignored.


def test_a_changed_hyperparameter_takes_effect_and_changes_nothing_else():
    optimizer = rv.Adam(inverse_time)
    state = after(optimizer, 1)
    before = jax.tree.map(np.asarray, state)
    changed = dataclasses.replace(optimizer, learning_rate=0.5, b1=0.0)
    updates, new = changed.update(PARAMS, state, PARAMS)
    np.testing.assert_allclose(updates["b"], [-0.5], rtol=1e-5)
    assert rv.inspect(new)["learning_rate"] == 0.5
    chex.assert_trees_all_equal(state, before)
    with pytest.raises(AttributeError):
        state.scale_by_adam.count = 3


# B13: a map over the moments fails for L-BFGS and for flattened states.


@parametrize(WHOLE)
def test_a_map_over_what_is_like_the_parameters_works_on_every_state(entry, rng):
    params = random_tree(rng, np.float32)
    state = jax.eval_shape(entry.rule.init, params)
    seen: list[tuple[Any, Any]] = []

    def own(x: Any, p: Any, q: Any) -> Any:
        assert p is q
        seen.append((x.shape, p.shape))
        return x

    again = rv.map_params(own, state, params, params)
    assert again == state
    assert all(a == b for a, b in seen)


def test_a_map_over_what_is_like_the_parameters_finds_all_of_it():
    optimizer = rv.chain(rv.Masked(rv.Trace(0.9), "w"), rv.MultiSteps(rv.Adam(0.1), 2))
    state = optimizer.init(PARAMS)
    marked = rv.map_params(lambda x, p, name: name, state, PARAMS, {"w": "W", "b": "B"}, others=str)
    assert marked.masked.inner_state.trace == {"w": "W", "b": None}
    multi = marked.multi_steps
    adam = multi.inner_state.scale_by_adam
    assert multi.acc_grads == adam.mu == adam.nu == {"w": "W", "b": "B"}
    assert multi.mini_step == "0"


def test_a_map_over_a_bare_array_goes_by_its_shape():
    params = jnp.ones(3)
    state = rv.map_params(lambda x, p: "own", rv.Adam(0.1).init(params), params, others=lambda x: 0)
    assert state.scale_by_adam == (0, "own", "own")
    with pytest.raises(ValueError, match="cannot tell a bare number"):
        rv.map_params(lambda x, p: x, rv.Adam(0.1).init(1.0), 1.0)


# Citations.


def test_one_can_cite_what_one_runs():
    optimizer = rv.chain(
        rv.ClipByGlobalNorm(1.0),
        rv.MultiSteps(rv.SAM(rv.Adam(rv.schedules.InverseSqrtDecay(0.0, 0.1, 9))), 2),
        rv.SWA(1),
    )
    found = rv.cite(optimizer)
    for work in ("1211.5063", "2010.01412", "1412.6980", "1706.03762", "1803.05407"):
        assert sum(work in x for x in found) == 1
    assert rv.cite(rv.Scale(1.0)) == []


@parametrize(OPTIMIZERS)
def test_every_optimizer_has_something_to_cite(entry):
    assert rv.cite(entry.rule)


def test_every_reference_can_be_read():
    for cls in {type(e.rule) for e in CLASSES} | {getattr(ro, n) for n in ro.__all__}:
        if "Reference:" in (inspect.getdoc(cls) or ""):
            assert references(cls), cls
