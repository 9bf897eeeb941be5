"""Optimizers: they descend, they abbreviate their chain, and their doors are guarded."""

import dataclasses
import inspect
import math
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.apply import apply_updates
from ravine.core.rule import static_fields
from ravine.spaces import Uniform
from tests.registry import OPTIMIZERS, parametrize, random_tree, steps
from tests.registry.entry import our_name

OWN_ARGUMENTS: set[type] = {
    ro.AdaBelief,
    ro.ADOPT,
    ro.DAdaptAdamW,
    ro.Muon,
    ro.Prodigy,
    ro.ScheduleFreeAdamW,
    ro.ScheduleFreeSGD,
    ro.Sophia,
}
"""Optimizers whose arguments mean to differ from Optax's."""
CLASSES = [getattr(ro, name) for name in ro.__all__ if name != "Optimizer"]
SHORT = [e for e in OPTIMIZERS if "-" not in e.name]
BOWL = [e for e in SHORT if e.bowl is not None]


@parametrize(OPTIMIZERS)
def test_an_optimizer_is_the_chain_that_it_abbreviates(entry, rng):
    params, g = random_tree(rng, np.float32), random_tree(rng, np.float32)
    chain = entry.rule.as_chain()
    assert isinstance(chain, rt.Chain)
    state, parts = entry.rule.init(params), chain.init(params)
    chex.assert_trees_all_equal_structs(state, parts)
    ours = entry.update(g, state, params)
    theirs = entry._replace(rule=chain).update(g, parts, params)
    jax.tree.map(np.testing.assert_array_equal, ours[0], theirs[0])


@parametrize(OPTIMIZERS)
def test_an_optimizer_goes_downhill_from_the_first_step(entry):
    # Far enough that neither noise nor decay turns a step around.
    params = jnp.array([30.0, -40.0])
    *_, first = steps(entry, params, [params] * (entry.still + 1))
    assert (first * params < 0).all()


@parametrize(BOWL)
def test_an_optimizer_finds_the_bottom_of_a_bowl(entry):
    entry = entry._replace(rule=dataclasses.replace(entry.rule, **entry.bowl))
    scale = jnp.array([1.0, 0.3])

    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def run(params: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            params, state = carry
            updates, state = entry.update(scale * params, state, params)
            return (apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, entry.rule.init(params)), length=500)[0][0]

    # Steps of constant length end on a circle of about that length.
    start = jnp.array([1.0, -2.0])
    assert jnp.linalg.norm(run(start)) < 0.15 * jnp.linalg.norm(start)


def test_first_steps_by_hand():
    g = jnp.array([3.0, -4.0])
    cases = {
        ro.SGD(0.1): [-0.3, 0.4],
        ro.SGD(0.1, momentum=0.5, nesterov=True): [-0.45, 0.6],
        ro.Adagrad(0.1, initial_accumulator_value=16.0, eps=0.0): [-0.06, 0.4 / 32**0.5],
        ro.RMSProp(0.1, decay=0.75, eps=0.0): [-0.2, 0.2],
        ro.RMSProp(0.1, decay=0.75, eps=1.0, eps_in_sqrt=False): [-0.3 / 2.5, 0.4 / 3.0],
        ro.RMSProp(0.1, decay=0.5, eps=0.0, centered=True): [-0.2, 0.2],
        ro.Adam(0.1): [-0.1, 0.1],
        ro.NAdam(0.1, b1=0.5): [-0.1 * (1 / 3 + 1), 0.1 * (1 / 3 + 1)],
        ro.AdamW(0.1, weight_decay=0.5): [-0.1 - 0.15, 0.1 + 0.2],
        ro.AMSGrad(0.1, b1=0.5, b2=0.75, bias_correction_mu=False): [-0.05, 0.05],
        ro.Adamax(0.1, eps=1.0): [-0.075, 0.08],
        ro.Adadelta(0.1, rho=0.75, eps=4.0): [-0.6 / 2.5, 0.8 / 8**0.5],
        ro.NoisySGD(0.1, eta=0.0): [-0.3, 0.4],
    }
    for optimizer, expected in cases.items():
        np.testing.assert_allclose(steps(optimizer, g, [g])[0], expected, rtol=2e-5)


def test_adadelta_descends_where_optax_climbs():
    g = jnp.array([1.0])
    with jax.numpy_dtype_promotion("standard"):
        theirs = optax.adadelta()
        climbing, _ = theirs.update(g, theirs.init(g), g)
    ours = steps(ro.Adadelta(), g, [g])[0]
    assert climbing > 0
    np.testing.assert_allclose(ours, -climbing, rtol=1e-6)
    with pytest.raises(TypeError, match="Adadelta: learning_rate needs a number, got None"):
        ro.Adadelta(None)


def test_amsgrad_never_lengthens_a_step_that_adam_would():
    gradients = [jnp.array([10.0]), *[jnp.array([0.1])] * 50]
    for make, low, high in ((ro.Adam, 0.09, 0.11), (ro.AMSGrad, 0.0, 0.01)):
        last = steps(make(0.1, b1=0.0, b2=0.5), gradients[0], gradients)[-1]
        assert low < abs(last[0]) < high


# Doors.


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ro.SGD(-0.1), ValueError, r"SGD: learning_rate must be at least 0, got -0.1\."),
        (lambda: ro.SGD(math.nan), ValueError, "SGD: learning_rate must be at least 0, got nan"),
        (lambda: ro.SGD("0.1"), TypeError, "must be a number, an array, a space or a sch"),
        (lambda: ro.SGD(None), TypeError, "SGD: learning_rate needs a number, got None"),
        (lambda: ro.SGD(True), TypeError, "learning_rate must be a number"),
        (lambda: ro.SGD(1j), TypeError, "learning_rate must be a number"),
        (lambda: ro.SGD(0.1, momentum=1.0), ValueError, r"momentum must be in \[0, 1\), got 1.0"),
        (lambda: ro.SGD(0.1, 0.9, 1), TypeError, "nesterov must be True or False, got 1"),
        (lambda: ro.SGD(0.1, accumulator_dtype="flot32"), TypeError, "'flot32' not understood"),
        (lambda: ro.Adam(0.1, b1=1.0), ValueError, r"Adam: b1 must be in \[0, 1\), got 1.0"),
        (lambda: ro.Adam(0.1, b2=-0.5), ValueError, r"Adam: b2 must be in \[0, 1\)"),
        (lambda: ro.Adam(0.1, b1=jnp.array([0.5, 2.0])), ValueError, "Adam: b1 must be in"),
        (lambda: ro.Adam(0.1, b1=lambda t: 0.9), TypeError, "b1 must be a number and cannot be a"),
        (lambda: ro.Adam(0.1, b1=Uniform(0.5, 1.5)), ValueError, "Adam: b1 must be in"),
        (lambda: ro.Adam(0.1, eps=-1e-8), ValueError, "Adam: eps must be at least 0"),
        (lambda: ro.Adam(0.1, nesterov=jnp.array(True)), TypeError, "nesterov is structure"),
        (lambda: ro.AdamW(0.1, weight_decay=-1.0), ValueError, "weight_decay must be at least 0"),
        (lambda: ro.AdamW(0.1, weight_decay_mask=Uniform(0, 1)), TypeError, "mask is structure"),
        (lambda: ro.Adadelta(eps=0.0), ValueError, "Adadelta: eps must be greater than 0, got 0.0"),
        (lambda: ro.NoisySGD(0.1, eta=-1.0), ValueError, "NoisySGD: eta must be at least 0"),
        (lambda: ro.RMSProp(0.1, centered=None), TypeError, "centered must be True or False"),
        (lambda: ro.Adam(0.1, 0.9, 0.999, 1e-8, 0.0, None, True), TypeError, "positional argument"),
        (lambda: ro.Adam(lr=0.1), TypeError, "unexpected keyword argument 'lr'"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)  # fmt: skip
def test_a_wrong_call_names_the_argument_and_what_it_takes(call, error, words):
    with pytest.raises(error, match=words):
        call()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.floats(),
    st.integers(-3, 3),
    st.lists(st.floats(-1, 2), max_size=2),
    st.sampled_from([object(), jnp.array(0.5), np.float32(0.5), Uniform(0.1, 0.2), math.sqrt, int]),
)


@given(data=st.data())
def test_random_calls_make_an_optimizer_or_a_clear_error(data):
    cls = data.draw(st.sampled_from(CLASSES))
    parameters = inspect.signature(cls).parameters
    names = list(parameters)
    needed = {n: 0.1 for n, p in parameters.items() if p.default is p.empty}
    given = data.draw(st.dictionaries(st.sampled_from(names), ODD, max_size=3))
    refusal, optimizer = "", None
    try:
        optimizer = cls(**{**needed, **given})
    except (TypeError, ValueError) as error:
        refusal = str(error)
    if optimizer is None:
        assert refusal.startswith(f"{cls.__name__}: ")
        assert any(name in refusal for name in given)
    else:
        assert repr(optimizer).startswith(cls.__name__)
        hash(jax.tree.structure(optimizer))


def test_gradients_of_another_shape_or_structure_are_noticed():
    params = {"w": jnp.ones((2, 3)), "b": jnp.ones(3)}
    optimizer = ro.Adam(0.1)
    state = optimizer.init(params)
    with pytest.raises(ValueError, match="'b' is missing from the gradients"):
        optimizer.update({"w": params["w"]}, state, params)
    with pytest.raises(ValueError, match=r"differ in shape at w: \(5, 2, 3\) against \(2, 3\)"):
        optimizer.update({**params, "w": jnp.ones((5, 2, 3))}, state, params)


def test_a_space_is_for_sweeps_and_says_so_elsewhere():
    for optimizer in (ro.Adam(Uniform(0.1, 0.2)), ro.Adam(0.1, b2=Uniform(0.9, 0.99))):
        with pytest.raises(TypeError, match=r"is a space, and only ravine.sweep draws from it"):
            steps(optimizer, jnp.ones(1), [jnp.ones(1)])


def test_arguments_are_optax_s_in_name_order_and_default():
    pairs = {type(e.rule): e.optax.func for e in SHORT if isinstance(e.optax, partial)}
    assert len(pairs) > 9
    for ours, theirs in pairs.items():
        a, b = (list(inspect.signature(f).parameters.values()) for f in (ours, theirs))
        if ours in OWN_ARGUMENTS:
            continue
        b = [p.replace(name=our_name(ours, p.name)) for p in b]
        assert [(p.name, p.kind) for p in a] == [(p.name, p.kind) for p in b]
        known = [(p.name, p.default) for p in b if p.default is not None or ours is not ro.Adadelta]
        assert [(p.name, p.default) for p in a if p.name in dict(known)] == known


def test_every_class_is_documented_alike():
    for cls in CLASSES:
        text = inspect.getdoc(cls)
        assert text is not None
        for part in (".. math::", "Reference:", ">>> "):
            assert part in text, f"{cls.__name__} lacks {part}"
        if cls is not ro.NAdam:
            for field in cls.__dataclass_fields__:
                assert f"    {field}: " in text, f"{cls.__name__} says nothing of {field}"
        assert set(static_fields(cls)) <= set(cls.__dataclass_fields__)
