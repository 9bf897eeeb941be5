"""An optimizer is data: every trap on the way there has a test named after what it prevents."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core import mirror, projections, prox
from ravine.core.rule import is_rule, rule, static_fields
from ravine.core.types import (
    EmptyState,
    NonNegative,
    Params,
    Schedule,
    State,
    Static,
    Transform,
    Updates,
)
from ravine.interop.optax import FromOptax, from_optax, to_optax
from tests import registry
from tests.registry import (
    CLASSES,
    ENTRIES,
    WHOLE,
    Entry,
    parametrize,
    promotion,
    random_tree,
    steps,
)

OURS = [e for e in WHOLE if not isinstance(e.rule, FromOptax)]


def numbers(x: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of a rule that are real numbers, and how to put others in their place."""
    leaves, structure = jax.tree.flatten(x)
    real = [i for i, leaf in enumerate(leaves) if isinstance(leaf, float)]

    def put(values: list[Any]) -> Any:
        new = list(leaves)
        for i, value in zip(real, values, strict=True):
            new[i] = value
        return jax.tree.unflatten(structure, new)

    return [leaves[i] for i in real], put


def counted(f: Callable[..., Any]) -> tuple[Callable[..., Any], list[None]]:
    """``f`` compiled, and a list that grows by one each time it is traced."""
    traces: list[None] = []

    def traced(*args: Any) -> Any:
        traces.append(None)
        return f(*args)

    return jax.jit(traced), traces


quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles in half the time to what runs in twice."""


def with_extra(entry: Entry) -> Callable[..., Any]:
    """``update`` as a function of the rule as well, with the extra arguments of the entry."""
    return lambda rule, g, state, p: entry._replace(rule=rule).update(g, state, p)


def first(entry: Entry, g: Any, params: Any) -> Callable[[Any], Any]:
    """The updates of the first step, as a function of the rule."""
    return lambda rule: with_extra(entry)(rule, g, rule.init(params), params)[0]


def avals(x: Any) -> list[tuple[Any, ...]]:
    """Shape, dtype and weakness of every leaf of an abstract tree."""
    return [(a.shape, a.dtype, a.weak_type) for a in jax.tree.leaves(x)]


# Trap 1 and 7: unflattening calls no __init__, and takes what JAX puts in a field.


@parametrize(CLASSES)
def test_unflattening_with_anything_bypasses_the_checks(entry):
    leaves, structure = jax.tree.flatten(entry.rule)
    for value in (None, object(), -1.0, "x"):
        odd = jax.tree.unflatten(structure, [value] * len(leaves))
        assert type(odd) is type(entry.rule)
    assert jax.tree.unflatten(structure, leaves) == entry.rule


@parametrize(WHOLE)
def test_shapes_alone_are_enough_to_plan_with(entry, rng):
    params = random_tree(rng, np.float32)
    shapes = jax.eval_shape(lambda x: x, entry.rule)
    with promotion(entry):
        state = jax.eval_shape(lambda rule, p: rule.init(p), shapes, params)
        out = jax.eval_shape(with_extra(entry), shapes, params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(out[0], params)


def test_a_batch_axis_can_stand_in_a_field():
    optimizers = ro.Adam(jnp.array([0.1, 0.2]), b1=0.5)
    axes = jax.tree.map(lambda x: 0 if jnp.ndim(x) else None, optimizers)
    rates = jax.vmap(lambda o: o.learning_rate * o.b1, in_axes=(axes,))(optimizers)
    np.testing.assert_allclose(rates, [0.05, 0.1])


# Trap 2: a hyperparameter takes the leaf's dtype where it is used, and not before.


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("traced", [False, True])
def test_a_decay_of_0_999_does_not_become_1_in_half_precision(dtype, traced):
    params = jnp.ones(3, dtype)

    def first(optimizer: Any) -> Any:
        return optimizer.update(params, optimizer.init(params), params)[0]

    optimizer = ro.Adam(0.1)
    updates = jax.jit(first)(optimizer) if traced else first(optimizer)
    assert updates.dtype == dtype
    np.testing.assert_allclose(np.asarray(updates, np.float32), -0.1, rtol=1e-2)


@parametrize(OURS)
def test_traced_numbers_promote_no_leaf(entry, rng):
    params, g = random_tree(rng, jnp.bfloat16), random_tree(rng, jnp.bfloat16)
    updates = jax.eval_shape(first(entry, g, params), entry.rule)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, g)


# Trap 3: one trace for all values.


@parametrize(WHOLE)
def test_one_trace_serves_all_values(entry, rng):
    params = random_tree(rng, np.float32)
    values, put = numbers(entry.rule)
    update, traces = counted(first(entry, params, params))
    with promotion(entry):
        for factor in (1.0, 0.5, 0.25):
            jax.eval_shape(update, put([factor * x for x in values]))
    assert len(traces) == 1


# Trap 4: no Python branch on a number.


@parametrize(ENTRIES)
def test_every_number_can_be_traced(entry, rng):
    params = random_tree(rng, np.float32)
    with promotion(entry):
        jax.eval_shape(first(entry, params, params), entry.rule)


def test_a_momentum_of_zero_is_a_number_and_absent_momentum_is_none():
    g = [jnp.array([1.0, -2.0])] * 3
    absent, zero = ro.SGD(0.1), ro.SGD(0.1, momentum=0.0)
    chex.assert_trees_all_equal(steps(absent, g[0], g), steps(zero, g[0], g))
    assert jax.tree.structure(absent) != jax.tree.structure(zero)
    assert absent.init(g[0])._fields == ("scale_by_learning_rate",)
    assert zero.init(g[0])._fields == ("trace_state", "scale_by_learning_rate")


# Trap 5: structure is hashable, and equal structure is one program.


@parametrize(ENTRIES)
def test_structure_is_hashable_and_equal_calls_make_equal_structure(entry):
    structure = jax.tree.structure(entry.rule)
    again = jax.tree.structure(copy.deepcopy(entry.rule))
    assert hash(structure) == hash(again)
    assert structure == again


def test_equal_rules_made_twice_share_one_program():
    update, traces = counted(lambda o, g: o.update(g, o.init(g), g)[0])
    for rate, dtype in ((1e-3, jnp.bfloat16), (1e-2, "bfloat16"), (1.0, np.dtype("bfloat16"))):
        optimizer = ro.AdamW(rate, weight_decay_mask={"a": True, "b": False}, mu_dtype=dtype)
        jax.eval_shape(update, optimizer, {"a": jnp.ones(2), "b": jnp.ones(3)})
    assert len(traces) == 1


def test_a_schedule_and_a_number_have_the_same_state():
    params = jnp.ones(2)
    for make in (ro.SGD, ro.Adam, ro.RMSProp, ro.AdamW):
        number, schedule = make(0.1).init(params), make(registry.inverse_time).init(params)
        chex.assert_trees_all_equal_shapes_and_dtypes(number, schedule)


# Trap 6: a schedule is the same kind of data, and its numbers are leaves of the optimizer.


@rule
class InverseTime(Schedule):
    """A number over one plus the step."""

    rate: NonNegative

    def __call__(self, count: Any) -> jax.Array:
        return self.rate / (1.0 + jnp.asarray(count, float))


def test_the_numbers_of_a_schedule_are_leaves_of_the_optimizer():
    g = [jnp.ones(1)] * 2
    assert jax.tree.leaves(ro.SGD(InverseTime(0.5))) == [0.5]
    lanes = jax.vmap(lambda x: steps(ro.SGD(InverseTime(x)), g[0], g)[1])(jnp.array([1.0, 4.0]))
    np.testing.assert_array_equal(lanes, [[-0.5], [-2.0]])
    assert repr(ro.SGD(InverseTime(0.5))) == "SGD(learning_rate=InverseTime(rate=0.5))"


# Trap 8: the state holds no buffer of the parameters.


@parametrize(WHOLE)
def test_parameters_and_state_can_be_donated_together(entry, rng):
    params, g = random_tree(rng, np.float32), random_tree(rng, np.float32)
    state = entry.rule.init(params)
    pointers = [
        leaf.unsafe_buffer_pointer()
        for leaf in jax.tree.leaves((params, state))
        if leaf.size and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    ]
    assert len(set(pointers)) == len(pointers)
    with promotion(entry):
        update = quick_jit(entry.update, donate_argnums=(1, 2))
        updates, state = update(g, state, params)
        jax.block_until_ready((updates, state))


# Trap 9: a state keeps its shapes and dtypes, as the carry of a scan must.


DTYPES = [
    (jnp.float32, jnp.float32),
    (jnp.bfloat16, jnp.float32),
    (jnp.float32, jnp.bfloat16),
    (jnp.float16, jnp.bfloat16),
    (jnp.complex64, jnp.complex64),
]
"""Of the parameters, and of the gradients."""


@parametrize(OURS)
def test_the_state_is_a_fixed_carry(entry, rng):
    for params_dtype, dtype in DTYPES:
        params, g = random_tree(rng, params_dtype), random_tree(rng, dtype)
        state = jax.eval_shape(entry.rule.init, params)
        updates, new = jax.eval_shape(entry.update, g, state, params)
        chex.assert_trees_all_equal_structs(new, state)
        assert avals(new) == avals(state)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, g)


# Trap 10: extra arguments pass through every wrapper.


@rule
class Spy(Transform):
    """Multiplies by the extra argument ``value``, which it cannot do without."""

    factor: NonNegative = 1.0

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        factor = self.factor * extra["value"]
        return jax.tree.map(lambda u: factor * u, updates), state


WRAPPED = {
    "chain": rt.chain(rt.Identity(), Spy()),
    "masked": rt.Masked(Spy(), "*"),
    "frozen": rt.Frozen(Spy(), False),
    "partition": rt.Partition({"all": Spy()}, "all"),
    "nested": rt.chain(rt.Masked(rt.chain(rt.Frozen(Spy(), False)), "*")),
    "to_optax": to_optax(Spy()),
    "optax.chain": optax.chain(optax.identity(), to_optax(rt.chain(Spy()))),
    "optax.masked": optax.masked(to_optax(Spy()), True),
    "from_optax": from_optax(optax.masked, inner=Spy(), mask=True),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_extra_arguments_reach_what_is_inside(wrapped):
    params = {"w": jnp.ones(2)}
    state = wrapped.init(params)
    updates, _ = wrapped.update(params, state, params, value=3.0, other="unused")
    np.testing.assert_array_equal(updates["w"], [3.0, 3.0])


@parametrize(WHOLE)
def test_extra_arguments_that_nobody_needs_are_ignored(entry, rng):
    params = random_tree(rng, np.float32)
    extra = {"value": 1.0, "value_fn": lambda p: 0.0, "grad": params, "unheard_of": "x"}

    def update(p: Any) -> Any:
        return entry.rule.update(p, entry.rule.init(p), p, **extra | entry.extra(p, p))[0]

    with promotion(entry):
        jax.eval_shape(update, params)


# Trap 11: Optax and Flax see what they know.


@parametrize(OURS)
def test_optax_sees_an_optax_transformation(entry, rng):
    params, g = random_tree(rng, np.float32), random_tree(rng, np.float32)
    made = to_optax(entry.rule)
    assert isinstance(made, optax.GradientTransformationExtraArgs)
    chained = optax.chain(optax.identity(), made)
    updates, _ = chained.update(g, chained.init(params), params, **entry.extra(g, params))
    chex.assert_trees_all_equal(updates, steps(entry, params, [g])[0])


# What follows from being data.


def public(module: Any) -> dict[str, Any]:
    """What a module offers, by name."""
    return {name: getattr(module, name) for name in module.__all__}


def written(entry: Entry) -> Any:
    """The rule made again from its repr."""
    names = {
        **vars(projections),
        "mirror": mirror,
        "prox": prox,
        **public(rt),
        **public(ro),
        "from_optax": from_optax,
        "optax": optax,
    }
    return eval(repr(entry.rule), {**names, **vars(registry)})


@parametrize(ENTRIES)
def test_the_repr_pastes_back(entry):
    assert written(entry) == entry.rule
    assert jax.tree.structure(written(entry)) == jax.tree.structure(entry.rule)
    assert len(repr(entry.rule)) < 300


@parametrize(ENTRIES)
def test_copies_and_pickles_are_equal_and_hash_alike(entry):
    copies = [copy.copy(entry.rule), copy.deepcopy(entry.rule)]
    copies.append(pickle.loads(pickle.dumps(entry.rule)))
    for other in copies:
        assert other == entry.rule
        assert hash(other) == hash(entry.rule)
    assert entry.rule != rt.Scale(17.0)
    assert entry.rule != 17.0


def test_different_rules_are_different():
    rules = [e.rule for e in ENTRIES]
    assert len(set(rules)) == len(rules)
    assert ro.Adam(0.1) != ro.Adam(0.2)
    assert ro.Adam(0.1) != ro.Adam(0.1, nesterov=True)
    assert ro.Adam(jnp.array([0.1, 0.2])) == ro.Adam(jnp.array([0.1, 0.2]))
    assert ro.Adam(jnp.array([0.1, 0.2])) != ro.Adam(jnp.array([0.1, 0.3]))


@parametrize(ENTRIES)
def test_a_rule_unpacks_as_the_pair(entry):
    init, update = entry.rule
    assert init == entry.rule.init
    assert update == entry.rule.update
    assert is_rule(entry.rule)


@parametrize(WHOLE)
def test_states_pickle(entry, rng):
    state = entry.rule.init(random_tree(rng, np.float32))
    state = jax.tree.map(
        lambda a: jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a,
        state,
    )
    again = pickle.loads(pickle.dumps(state))
    assert jax.tree.structure(again) == jax.tree.structure(state)
    chex.assert_trees_all_equal(again, state)


def test_rules_are_frozen_and_know_their_structure():
    optimizer = ro.Adam(0.1)
    with pytest.raises(AttributeError):
        optimizer.b1 = 0.5
    assert static_fields(ro.Adam) == ("mu_dtype", "nesterov")
    assert not is_rule(optax.adam(0.1))


@parametrize(OURS)
def test_lanes_give_what_single_runs_give(entry, rng):
    values, put = numbers(entry.rule)
    if not values:
        pytest.skip("no numbers")
    params, g = random_tree(rng, np.float32), [random_tree(rng, np.float32) for _ in range(2)]
    lanes = [[np.float32(f * x) for x in values] for f in (1.0, 0.5)]
    stacked = [np.stack(column) for column in zip(*lanes, strict=True)]

    def run(values: Any) -> Any:
        return steps(entry._replace(rule=put(values)), params, g)

    together, alone = quick_jit(jax.vmap(run))(stacked), quick_jit(run)
    for i, lane in enumerate(lanes):
        chex.assert_trees_all_close(
            jax.tree.map(lambda x, i=i: x[i], together), alone(lane), rtol=2e-6, atol=1e-7
        )


@parametrize(OURS)
def test_derivatives_by_every_number_are_finite_at_zero_gradients_too(entry, rng):
    values, put = numbers(entry.rule)
    params = random_tree(rng, np.float32)
    g = random_tree(rng, np.float32)
    normal_and_zero = jax.tree.map(lambda x: jnp.stack([x, jnp.zeros_like(x)]), g)

    def loss(values: Any, params: Any, g: Any) -> Any:
        updates = steps(
            entry._replace(rule=put(values)), params, [g, jax.tree.map(lambda x: 2 * x, g), g]
        )
        return sum(jnp.sum(x**2) for x in jax.tree.leaves(updates))

    grad = quick_jit(jax.vmap(jax.grad(loss, argnums=(0, 1, 2)), in_axes=(None, None, 0)))
    chex.assert_tree_all_finite(grad(values, params, normal_and_zero))


@rule
class Plain(Transform):
    """A user's own transform: three lines and the decorator."""

    factor: NonNegative
    loud: Static[bool] = False

    def init(self, params: Params) -> EmptyState:
        return EmptyState()

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        return jax.tree.map(lambda u: self.factor * u, updates), state


def test_a_transform_of_ones_own_is_as_good_as_any():
    optimizer = rt.chain(Plain(0.5), ro.SGD(0.1))
    assert repr(optimizer) == "chain(Plain(factor=0.5), SGD(learning_rate=0.1))"
    lanes = jax.vmap(lambda f: steps(rt.chain(Plain(f)), jnp.ones(2), [jnp.ones(2)])[0])
    np.testing.assert_array_equal(lanes(jnp.array([1.0, 2.0])), [[1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(ValueError, match="Plain: factor must be at least 0, got -1"):
        Plain(-1)
    with pytest.raises(TypeError, match="Plain: loud must be True or False, got 1"):
        Plain(1.0, loud=1)
