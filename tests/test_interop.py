"""To Optax and back."""

import copy
import inspect
import pickle
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.rule import rule
from ravine.core.types import NonNegative, Schedule
from ravine.engine.sweep import sweep
from ravine.interop.optax import FromOptax, from_optax, to_optax
from ravine.spaces import Uniform
from tests.registry import inverse_time, matrices, steps

PARAMS = {"w": jnp.array([[1.0, -2.0]]), "b": jnp.array([0.5])}


@pytest.fixture(autouse=True)
def _standard_promotion() -> Any:
    """Optax mixes dtypes freely."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@rule
class Warm(Schedule):
    """Rises to its peak and stays."""

    peak: NonNegative

    def __call__(self, count: Any) -> jax.Array:
        return self.peak * jnp.minimum(1.0, (count + 1) / 4)


def aliases() -> dict[str, Any]:
    """Every optimizer that Optax offers, by name, with the arguments that it cannot do without."""
    names = [
        "adabelief",
        "adadelta",
        "adafactor",
        "adagrad",
        "adam",
        "adamax",
        "adamaxw",
        "adamw",
        "adan",
        "amsgrad",
        "fromage",
        "lamb",
        "lars",
        "lion",
        "nadam",
        "nadamw",
        "noisy_sgd",
        "novograd",
        "optimistic_adam_v2",
        "optimistic_gradient_descent",
        "polyak_sgd",
        "radam",
        "rmsprop",
        "rprop",
        "sgd",
        "sign_sgd",
        "signum",
        "sm3",
        "yogi",
    ]
    needs = {"noisy_sgd": {"key": 0}, "polyak_sgd": {"max_learning_rate": 1.0}}
    found = {}
    for name in names:
        factory = getattr(optax, name)
        rate = (
            {"learning_rate": 0.1}
            if "learning_rate" in inspect.signature(factory).parameters
            else {}
        )
        found[name] = (factory, {**rate, **needs.get(name, {})})
    return found


ALIASES = aliases()


def test_the_list_of_aliases_is_the_design_s():
    assert len(ALIASES) == 29


@pytest.mark.parametrize("name", ALIASES)
def test_every_alias_works_as_data(name):
    factory, given = ALIASES[name]
    optimizer = from_optax(factory, **given)
    extra = {"value": jnp.array(2.0)}

    def first(o: Any, params: Any) -> Any:
        return o.update(params, o.init(params), params, **extra)[0]

    theirs = factory(**given)
    expected, _ = optax.with_extra_args_support(theirs).update(
        PARAMS, theirs.init(PARAMS), PARAMS, **extra
    )
    chex.assert_trees_all_close(first(optimizer, PARAMS), expected, rtol=1e-6)
    jax.eval_shape(first, optimizer, PARAMS)
    lanes = jax.tree.map(lambda x: jnp.stack([jnp.asarray(x)] * 2), optimizer)
    jax.eval_shape(jax.vmap(first, in_axes=(0, None)), lanes, PARAMS)
    names = {"from_optax": from_optax, "optax": optax}
    assert eval(repr(optimizer), names) == optimizer
    again = pickle.loads(pickle.dumps(optimizer))
    assert again == optimizer == copy.deepcopy(optimizer)
    assert hash(again) == hash(optimizer)
    assert jax.tree.structure(again) == jax.tree.structure(optimizer)


def test_lanes_of_an_optax_optimizer_are_its_single_runs():
    rates = jnp.array([0.1, 0.01, 0.001])

    def run(rate: Any) -> Any:
        return steps(from_optax(optax.adam, learning_rate=rate, b1=0.8), PARAMS, [PARAMS] * 3)[-1]

    together = jax.jit(jax.vmap(run))(rates)
    for i, rate in enumerate(rates):
        alone = optax.adam(float(rate), b1=0.8)
        state = alone.init(PARAMS)
        for _ in range(3):
            updates, state = alone.update(PARAMS, state, PARAMS)
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), updates, rtol=1e-4)


def test_one_trace_serves_all_numbers_and_settings_make_programs():
    traces = []

    @jax.jit
    def first(o: Any) -> Any:
        traces.append(None)
        return o.update(PARAMS, o.init(PARAMS), PARAMS)[0]

    for rate in (0.1, 0.2):
        jax.eval_shape(first, from_optax(optax.adamw, rate, mask=matrices, mu_dtype=jnp.float32))
    assert len(traces) == 1
    jax.eval_shape(first, from_optax(optax.adamw, 0.1, mask=matrices, nesterov=True))
    assert len(traces) == 2


def test_numbers_are_leaves_and_the_rest_is_structure():
    optimizer = from_optax(
        optax.adamw, Uniform(0.1, 0.2), 0.8, weight_decay=np.float32(0.5), mu_dtype="bfloat16",
        mask=matrices, nesterov=True,
    )  # fmt: skip
    assert set(optimizer.hyperparams) == {"learning_rate", "b1", "weight_decay"}
    assert dict(optimizer.settings) == {"mu_dtype": "bfloat16", "mask": matrices, "nesterov": True}
    assert repr(optimizer) == (
        "from_optax(optax.adamw, learning_rate=Uniform(low=0.1, high=0.2), b1=0.8, "
        "mu_dtype='bfloat16', weight_decay=0.5, mask=matrices, nesterov=True)"
    )
    with pytest.raises(TypeError, match=r"is a space, and only ravine\.sweep draws from it"):
        optimizer.init(PARAMS)


def test_scalar_types_and_dtypes_are_one_setting():
    a, b = (from_optax(optax.adam, 0.1, mu_dtype=d) for d in (jnp.bfloat16, jnp.dtype("bfloat16")))
    assert a == b
    assert repr(a) == "from_optax(optax.adam, learning_rate=0.1, mu_dtype='bfloat16')"


def test_partials_are_taken_apart():
    assert from_optax(optax.nadam, 0.1) == from_optax(optax.adam, 0.1, nesterov=True)
    assert repr(from_optax(optax.nadam, 0.1, nesterov=False)) == (
        "from_optax(optax.adam, learning_rate=0.1, nesterov=False)"
    )


def test_schedules_of_both_kinds_are_taken():
    for schedule in (Warm(0.4), inverse_time, optax.linear_schedule(0.1, 0.2, 4)):
        optimizer = from_optax(optax.sgd, learning_rate=schedule)
        expected = [-schedule(jnp.array(t)) * PARAMS["b"] for t in range(3)]
        found = [u["b"] for u in steps(optimizer, PARAMS, [PARAMS] * 3)]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert jax.tree.leaves(from_optax(optax.sgd, Warm(0.4))) == [0.4]


def test_transforms_may_be_arguments():
    inner = ro.SGD(0.5)
    wrapped = from_optax(optax.apply_if_finite, inner=inner, max_consecutive_errors=3)
    assert jax.tree.leaves(wrapped) == [0.5]
    bad = {**PARAMS, "b": jnp.array([jnp.nan])}
    first, second = steps(wrapped, PARAMS, [bad, PARAMS])
    np.testing.assert_array_equal(first["w"], [[0.0, 0.0]])
    np.testing.assert_array_equal(second["b"], [-0.25])
    every = from_optax(optax.MultiSteps, opt=from_optax(optax.sgd, 0.5), every_k_schedule=2)
    np.testing.assert_allclose([u["b"] for u in steps(every, PARAMS, [PARAMS] * 2)], [[0], [-0.25]])


def test_extra_arguments_reach_those_that_take_them():
    optimizer = rt.chain(rt.Identity(), from_optax(optax.polyak_sgd, scaling=0.5))
    state = optimizer.init(PARAMS)
    updates, _ = optimizer.update(PARAMS, state, PARAMS, value=jnp.array(2.0), key="unused")
    theirs = optax.polyak_sgd(scaling=0.5)
    expected, _ = theirs.update(PARAMS, theirs.init(PARAMS), PARAMS, value=jnp.array(2.0))
    chex.assert_trees_all_close(updates, expected, rtol=1e-6)
    with pytest.raises(TypeError, match="value"):
        optimizer.update(PARAMS, state, PARAMS)
    # One that takes none is given none.
    plain = from_optax(optax.scale, 2.0)
    assert plain.update(PARAMS, plain.init(PARAMS), value=1.0)[0]["b"] == 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_optax(optax.adam(0.1)), "got a GradientTransformationExtraArgs"),
        (lambda: from_optax(optax.adam(0.1)), r"from_optax\(optax.adam, learning_rate=1e-3\)"),
        (lambda: from_optax(ro.Adam(0.1)), "got a Adam"),
        (lambda: from_optax("adam", 0.1), "got a str"),
        (lambda: from_optax(optax.adam, lr=0.1), r"optax.adam does not take these arguments"),
        (lambda: from_optax(optax.adam, lr=0.1), r"optax.adam\(learning_rate, b1=0.9, b2=0.999"),
        (lambda: from_optax(optax.adam), "missing a required argument: 'learning_rate'"),
        (lambda: from_optax(optax.adam, 0.1, learning_rate=0.1), "multiple values"),
        (lambda: from_optax(optax.chain, optax.sgd(0.1)), "any number of arguments"),
        (lambda: from_optax(optax.adamw, 0.1, mask={"w": True}), "mask is structure and"),
        (lambda: from_optax(optax.linear_schedule, 0.1, 0.2, 3).build(), "returned a function"),
        (lambda: to_optax(optax.adam(0.1)), "needs no conversion"),
        (lambda: to_optax(0.1), "takes a ravine transform or optimizer, got float"),
        (lambda: to_optax(ro.SGD(Uniform(0.1, 0.2))), "is a space"),
        (lambda: rt.chain(optax.adam(0.1)), r"from_optax\(optax.adam, learning_rate=...\)"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_a_wrong_call_says_what_to_do(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_optax_wraps_our_optimizers_like_its_own():
    ours, theirs = to_optax(ro.Adam(0.1)), optax.adam(0.1)
    for wrap in (
        lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx),
        lambda tx: optax.masked(tx, {"w": True, "b": False}),
        lambda tx: optax.apply_if_finite(tx, 3),
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: optax.partition({"a": tx, "b": optax.sgd(0.1)}, {"w": "a", "b": "b"}),
    ):
        a, b = wrap(ours), wrap(theirs)
        s, t = a.init(PARAMS), b.init(PARAMS)
        for _ in range(2):
            u, s = a.update(PARAMS, s, PARAMS)
            v, t = b.update(PARAMS, t, PARAMS)
            chex.assert_trees_all_close(u, v, rtol=1e-6)


def test_optax_finds_its_way_in_our_states():
    optimizer = ro.SGD(0.1, momentum=0.9)
    state = optimizer.init(PARAMS)
    np.testing.assert_array_equal(optax.tree.get(state, "trace")["b"], [0.0])
    doubled = optax.tree.map_params(to_optax(optimizer), lambda x: x + 1, state)
    np.testing.assert_array_equal(doubled.trace_state.trace["b"], [1.0])
    assert optax.tree.get(ro.Adam(0.5).init(PARAMS), "learning_rate") == 0.0


def test_flax_steps_with_our_optimizers():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    start = model.kernel[...]
    optimizer = nnx.Optimizer(model, to_optax(ro.SGD(0.5)), wrt=nnx.Param)
    gradients = jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param))
    optimizer.update(model, gradients)
    np.testing.assert_allclose(model.kernel[...], start - 0.5, rtol=1e-6)


def test_there_and_back_again():
    optimizer = from_optax(optax.sgd, 0.5)
    updates = steps(optimizer, PARAMS, [PARAMS])[0]
    tx = to_optax(optimizer)
    chex.assert_trees_all_equal(tx.update(PARAMS, tx.init(PARAMS), PARAMS)[0], updates)
    assert isinstance(optimizer, FromOptax)


def test_a_sweep_draws_the_numbers_of_an_optax_optimizer():
    optimizer = from_optax(optax.adam, learning_rate=Uniform(0.1, 0.2), b1=0.5)
    results = sweep(
        lambda p: jnp.sum(p**2), jnp.array([1.0, -2.0]), optimizer, trials=4, steps=5, key=0
    )
    rate = float(results.best.optimizer.hyperparams["learning_rate"])
    assert 0.1 < rate < 0.2
    alone = optax.adam(rate, b1=0.5)
    params = jnp.array([1.0, -2.0])
    state = alone.init(params)
    for _ in range(5):
        updates, state = alone.update(2 * params, state)
        params = params + updates
    np.testing.assert_allclose(results.best.params, params, rtol=1e-4)
