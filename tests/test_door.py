"""The door: every wrong call is refused before anything runs, by the name of the argument."""

import functools
import re
import traceback
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine.optimizers import SGD

START = np.array([16.0, -8.0], np.float32)
SPACE = rv.Uniform(0.1, 0.2)


def bowl(x):
    return jnp.sum(x * x)


def with_batch(x, batch):
    return jnp.sum((x - jnp.mean(batch)) ** 2)


class Unhashable:
    """A loss that is an object with an equality of its own."""

    def __eq__(self, other):
        return True

    def __call__(self, x):
        return jnp.sum(x * x)


class Wrong(NamedTuple):
    """Arguments to change, the error, and what its text must say."""

    change: dict[str, Any]
    error: type[Exception]
    text: str


def wrong(error, text, **change):
    return Wrong(change, error, text)


DATA = rv.Batches(np.ones((6, 2), np.float32), 2)
SCALAR = "must return a real scalar"

# Wrong for minimize and for sweep alike.
BOTH = [
    wrong(TypeError, "loss must be a function", loss=3),
    wrong(TypeError, "loss must be a function", loss=None),
    wrong(TypeError, "loss must be a function", loss="bowl"),
    wrong(TypeError, "loss must be hashable", loss=Unhashable()),
    wrong(TypeError, r"called as loss\(params\), and yours", loss=lambda: 0.0),
    wrong(TypeError, r"called as loss\(params\), and yours", loss=with_batch),
    wrong(TypeError, r"called as loss\(params\), and yours", loss=lambda x, *, scale: bowl(x)),
    wrong(TypeError, r"called as loss\(params, batch\)", batches=DATA),
    wrong(TypeError, r"called as loss\(params, args\)", args={"a": 1.0}),
    wrong(TypeError, r"called as loss\(params, key\)", stochastic=True),
    wrong(
        TypeError, r"called as loss\(params, batch, args, key\)",
        loss=with_batch, batches=DATA, args=1.0, stochastic=True,
    ),
    wrong(TypeError, SCALAR + r" array, got float32\[2\]", loss=lambda x: x),
    wrong(TypeError, SCALAR + r" array, got float32\[1\]", loss=lambda x: jnp.sum(x)[None]),
    wrong(TypeError, SCALAR + r" array, got complex64\[\]", loss=lambda x: jax.lax.complex(*x)),
    wrong(TypeError, SCALAR + " array, got None", loss=lambda x: None),
    wrong(TypeError, SCALAR + " array, got int", loss=lambda x: 1),
    wrong(TypeError, SCALAR + " array, got float", loss=lambda x: 1.0),
    wrong(TypeError, SCALAR + " array, got str", loss=lambda x: "small"),
    wrong(TypeError, SCALAR + r" array, got bool\[\]", loss=lambda x: jnp.all(x > 0)),
    wrong(TypeError, SCALAR + r" array, got int32\[\]", loss=lambda x: jnp.argmax(x)),
    wrong(TypeError, SCALAR + " array, got function", loss=lambda x: bowl),
    wrong(TypeError, SCALAR + r" array, got \{a: float32", loss=lambda x: {"a": jnp.sum(x)}),
    wrong(TypeError, "For .value, aux. say has_aux=True", loss=lambda x: (jnp.sum(x), x)),
    wrong(TypeError, "with has_aux=True.*must return .value, aux.", has_aux=True),
    wrong(TypeError, r"has_aux=True.*got \(float32\[\], float32\[2\], int\)", has_aux=True,
          loss=lambda x: (jnp.sum(x), x, 1)),
    wrong(TypeError, SCALAR, has_aux=True, loss=lambda x: (x, jnp.sum(x))),
    wrong(TypeError, "has_aux must be True or False", has_aux="yes"),
    wrong(TypeError, "stochastic must be True or False", stochastic=1),
    wrong(TypeError, "progress must be True or False", progress=0.1),
    wrong(TypeError, "params at the root has dtype int32", init=jnp.arange(3)),
    wrong(TypeError, "params at w has dtype int64", init={"w": np.arange(3)}),
    wrong(TypeError, "params at w has dtype bool", init={"w": True, "v": 1.0}),
    wrong(TypeError, "params at w has dtype int32", init={"w": 1, "v": 1.0}),
    wrong(TypeError, "params at the root has dtype key", init=jax.random.key(0)),
    wrong(TypeError, "params at act is <", init={"act": jnp.tanh, "w": 1.0}),
    wrong(TypeError, "params at 1 is 'relu'", init=[1.0, "relu"]),
    wrong(TypeError, "params at the root is 'x'", init="x"),
    wrong(TypeError, "params at 0 is <object", init=[object()]),
    wrong(TypeError, "params at the root is array", init=np.array(["a"])),
    wrong(TypeError, "params at the root is array", init=np.array([None])),
    wrong(TypeError, "params hold no arrays", init=None),
    wrong(TypeError, "params hold no arrays", init={"a": [None, ()]}),
    wrong(TypeError, r"init is called as init\(key\)", init=lambda: START, seeds=2),
    wrong(TypeError, "params that init makes.*dtype int32", init=lambda k: jnp.arange(2), seeds=2),
    wrong(TypeError, "params that init makes.*is 'a'", init=lambda k: {"x": "a"}, seeds=2),
    wrong(TypeError, "params that init makes hold no arrays", init=lambda k: None, seeds=2),
    wrong(TypeError, "optimizer must be a ravine optimizer, got type. Give it", optimizer=SGD),
    wrong(TypeError, "optimizer must be.*from_optax", optimizer=optax.adam(0.1)),
    wrong(TypeError, "optimizer must be.*got function", optimizer=optax.adam),
    wrong(TypeError, "optimizer must be.*got str", optimizer="adam"),
    wrong(TypeError, "optimizer must be.*got NoneType", optimizer=None),
    wrong(TypeError, "optimizer must be.*got float", optimizer=0.1),
    wrong(TypeError, "optimizer must be.*got list", optimizer=[SGD(0.1)]),
    wrong(TypeError, "optimizer must be.*got LogUniform", optimizer=rv.LogUniform(0.1, 1.0)),
    wrong(ValueError, r"optimizer: learning_rate is an array of shape \(2,\).*Grid",
          optimizer=SGD(np.array([0.1, 0.2]))),
    wrong(ValueError, r"optimizer: learning_rate/init_value is an array.*Grid",
          optimizer=SGD(rv.schedules.Linear(jnp.ones(3), 0.0, 5))),
    wrong(ValueError, r"stop: tol is an array of shape \(3,\)", stop=rv.GradNorm(jnp.ones(3))),
    wrong(TypeError, "stop must be a stopping test", stop=0.1),
    wrong(TypeError, "stop must be a stopping test", stop=rv.GradNorm),
    wrong(TypeError, "stop must be a stopping test", stop=[rv.GradNorm(0.1)]),
    wrong(TypeError, "stop must be a stopping test", stop=lambda value: value < 1),
    wrong(TypeError, "batches must be Batches", batches=np.ones((6, 2))),
    wrong(TypeError, "batches must be Batches", batches=(np.ones(3), np.ones(3))),
    wrong(TypeError, "args at mode is 'mean'", args={"mode": "mean"}),
    wrong(TypeError, "args at the root is <", args=bowl),
    wrong(TypeError, "steps must be an int", steps="10"),
    wrong(TypeError, "steps must be an int", steps=10.0),
    wrong(TypeError, "steps must be an int", steps=None),
    wrong(TypeError, "steps must be an int", steps=True),
    wrong(TypeError, "steps must be an int", steps=SPACE),
    wrong(TypeError, "steps must be an int", steps=jnp.float32(3.0)),
    wrong(ValueError, "steps must be at least 0", steps=-1),
    wrong(ValueError, "steps must be less than", steps=2**31),
    wrong(ValueError, "record_every must be at least 0", record_every=-1),
    wrong(TypeError, "record_every must be an int", record_every=0.5),
    wrong(TypeError, "key must be a seed or a JAX random key", key="abc"),
    wrong(TypeError, "key must be a seed or a JAX random key", key=None),
    wrong(TypeError, "key must be a seed or a JAX random key", key=1.5),
    wrong(TypeError, "key must be a seed or a JAX random key", key=True),
    wrong(TypeError, "key must be a seed or a JAX random key", key=np.ones(3)),
    wrong(ValueError, "key must be one random key", key=jax.random.split(jax.random.key(0), 3)),
    wrong(ValueError, "key must lie within 32 bits", key=2**32),
]  # fmt: skip

SWEEP = [
    wrong(TypeError, "trials must be an int", trials=2.5),
    wrong(TypeError, "trials must be an int", trials="many"),
    wrong(TypeError, "trials must be an int", trials=True),
    wrong(TypeError, "trials must be an int", trials=np.arange(3)),
    wrong(ValueError, "trials must be at least 1", trials=0),
    wrong(ValueError, "trials must be at least 1", trials=-1),
    wrong(ValueError, "trials times seeds must be less", trials=2**20, seeds=2**20),
    wrong(TypeError, "trials is needed", optimizer=SGD(SPACE)),
    wrong(TypeError, "trials is needed", loss=lambda x, a: bowl(x), args={"a": SPACE}),
    wrong(TypeError, "trials is needed", stop=rv.GradNorm(SPACE)),
    wrong(TypeError, "trials is needed", init=lambda k: START),
    wrong(TypeError, "lanes must be an int", lanes=2.0),
    wrong(ValueError, "lanes must be at least 1", lanes=0),
    wrong(TypeError, "seeds must be a number of seeds", seeds=1.5),
    wrong(TypeError, "seeds must be a number of seeds", seeds="12"),
    wrong(TypeError, "seeds must be", seeds=True),
    wrong(ValueError, "seeds must be at least 1", seeds=0),
    wrong(ValueError, "seeds must be at least 1", seeds=-1),
    wrong(ValueError, "seeds must be a number of seeds or distinct", seeds=[]),
    wrong(ValueError, "seeds must be a number of seeds or distinct", seeds=[1, 1]),
    wrong(ValueError, "each of seeds must be at least 0", seeds=[-1, 2]),
    wrong(TypeError, "each of seeds must be an int", seeds=[0.5]),
    wrong(ValueError, "each of seeds must be less", seeds=[2**40]),
    wrong(ValueError, "keep must be", keep="worst"),
    wrong(TypeError, "keep must be an int", keep=None),
    wrong(TypeError, "keep must be an int", keep=1.5),
    wrong(TypeError, "keep must be an int", keep=True),
    wrong(TypeError, "keep must be an int", keep=np.arange(2)),
    wrong(ValueError, "keep must be at least 0", keep=-1),
    wrong(ValueError, "optimizer is an empty dict", optimizer={}),
    wrong(TypeError, r"optimizer\['a'\] must be.*got float", optimizer={"a": 0.1}),
    wrong(TypeError, r"optimizer\['b'\] must be", optimizer={"a": SGD(0.1), "b": optax.sgd(0.1)}),
    wrong(ValueError, "optimizer.*same name", optimizer={1: SGD(0.1), "1": SGD(0.2)}),
]

MINIMIZE = [
    wrong(TypeError, "optimizer must be.*got dict", optimizer={"a": SGD(0.1), "b": SGD(0.2)}),
    wrong(TypeError, "params must be one starting point", init=rv.Starts(np.ones((3, 2)))),
    wrong(TypeError, "learning_rate is a space", optimizer=SGD(SPACE)),
    wrong(TypeError, "learning_rate is a space", optimizer=SGD(rv.Grid([0.1]))),
]


def call(function, change):
    given = {"loss": bowl, "init": START, "optimizer": SGD(0.1), "steps": 3} | change
    first = [given.pop(name) for name in ("loss", "init", "optimizer")]
    return function(*first, **given)


def check(function, case):
    with pytest.raises(case.error, match=case.text) as caught:
        call(function, case.change)
    assert type(caught.value) is case.error
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert "ravine" in last.filename
    assert "/jax/" not in last.filename
    assert not getattr(caught.value, "__notes__", None)
    assert len(str(caught.value)) < 500


def label(case):
    return re.sub("[^a-z_ ]", "", case.text)


def named(cases):
    return [pytest.param(c, id=f"{i} {label(c)}") for i, c in enumerate(cases)]


@pytest.mark.parametrize("case", named(BOTH + SWEEP))
def test_sweep_refuses(case):
    check(rv.sweep, case)


@pytest.mark.parametrize("case", named([c for c in BOTH if "seeds" not in c.change] + MINIMIZE))
def test_minimize_refuses(case):
    check(rv.minimize, case)


@pytest.mark.parametrize("second", BOTH[::7], ids=label)
@pytest.mark.parametrize("first", SWEEP[::5], ids=label)
def test_of_two_mistakes_one_is_named(first, second):
    with pytest.raises((TypeError, ValueError), match=f"{first.text}|{second.text}"):
        call(rv.sweep, first.change | second.change)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"a": np.ones((3, 2)), "b": np.ones((4, 2))}, r"\(3, 2\) at a, \(4, 2\) at b"),
        (np.float32(1.0), "first axis"),
        ([1.0, 2.0], "first axis"),
        (np.ones((0, 2)), "first axis"),
        (None, "no leaves"),
    ],
)
def test_ragged_starts_are_refused_where_they_are_written(params, text):
    with pytest.raises(ValueError, match=text):
        rv.Starts(params)


@rv.rule
class Careless(rv.Transform):
    """Lets its state be what comes out of the arithmetic."""

    factor: rv.types.Real = 0.5
    grows: rv.types.Static[bool] = False

    def init(self, params):
        return {"mean": rv.tree.zeros_like(params)}

    def update(self, updates, state, params=None, **extra):
        mean = jax.tree.map(lambda g: self.factor * g.astype(jnp.float32), updates)
        new = {"mean": jax.tree.map(lambda m: m[None], mean) if self.grows else mean}
        return rv.tree.cast_like(mean, updates), new


def test_a_state_that_changes_on_the_way_is_told_by_leaf():
    start = {"w": np.ones(3, jnp.bfloat16)}
    text = re.escape("state changed at mean/w: Careless.update returned float32[3], after bfloat16")
    with pytest.raises(TypeError, match=text):
        rv.minimize(lambda p: bowl(p["w"]), start, Careless(), steps=3)
    text = re.escape(
        "changed at careless/mean/w: Chain.update returned float32[1, 3], after float32[3]"
    )
    with pytest.raises(TypeError, match=text):
        rv.minimize(
            lambda p: bowl(p["w"]), {"w": np.ones(3, np.float32)},
            rv.chain(Careless(grows=True), SGD(0.1)), steps=3,
        )  # fmt: skip


class TestRight:
    """What looks odd and is right must pass."""

    @pytest.mark.parametrize(
        "loss",
        [
            functools.partial(with_batch, batch=1.0),
            lambda x, scale=1.0: bowl(x),
            lambda *inputs: bowl(*inputs),
            jax.jit(bowl),
            lambda x: bowl(x).astype(jnp.bfloat16),
        ],
        ids=["partial", "default", "star", "jitted", "half"],
    )
    def test_losses_of_all_shapes(self, loss, laid_out):
        laid_out(loss=loss)

    @pytest.mark.parametrize(
        "change",
        [
            {"steps": np.int64(3)},
            {"steps": jnp.int32(3)},
            {"key": np.uint32(7)},
            {"key": -1},
            {"key": 2**32 - 1},
            {"key": jax.random.PRNGKey(0)},
            {"init": 1.0},
            {"init": START.astype(np.float64)},
            {"init": [jnp.ones(2, jnp.bfloat16), None], "loss": lambda p: jnp.sum(p[0])},
            {"args": [], "loss": lambda x, args: bowl(x)},
            {"args": {"key": jax.random.key(0)}, "loss": lambda x, args: bowl(x)},
            {"trials": np.int64(2), "lanes": 5, "seeds": np.array([3, 4]), "keep": np.int32(1)},
            {"optimizer": {"a": SGD(0.1), 2: rv.Adam(0.1)}},
        ],
        ids=lambda change: "-".join(change),
    )
    def test_arguments_of_all_kinds(self, change, laid_out):
        laid_out(**change)

    @pytest.fixture
    def laid_out(self, monkeypatch):
        """Call sweep up to the point where it would compile."""

        class Reached(Exception):
            pass

        def stop(*args):
            raise Reached

        monkeypatch.setattr("ravine.engine.sweep.run", stop)

        def lay_out(**change):
            with pytest.raises(Reached):
                call(rv.sweep, change)

        return lay_out
