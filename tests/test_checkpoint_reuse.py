"""What a folder of a sweep is good for: more trials, other workers, and what is refused."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine import workers
from ravine.engine.journal import Journal
from ravine.optimizers import SGD
from tests.test_checkpoint import bits, reused

RATES = [0.01, 0.02, 0.05, 0.1, 0.15, 0.3, 0.2, 0.07]
START = np.array([4.0, -2.0], np.float32)
DRAWN = SGD(rv.LogUniform(0.01, 0.2))
SLOW = SGD(rv.schedules.Linear(0.1, rv.Uniform(0.01, 0.1), 5))


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0], x.dtype))


def tilted(x, args):
    return bowl(x) + args * x[0]


def size(x):
    return jnp.max(jnp.abs(x))


def at_random(key):
    return jax.random.normal(key, (2,))


def first(n):
    return SGD(rv.Grid(RATES[:n]))


run = partial(rv.sweep, bowl, START, steps=8, lanes=3, workers=1, keep=3, key=1)
grids = partial(
    rv.sweep, tilted, START, args=rv.Grid([0.0, 0.5, 1.0]), steps=8, lanes=3, workers=1
)
seeded = partial(rv.sweep, bowl, at_random, seeds=[4, 7], steps=8, lanes=3, workers=1)
NAMED = {"sgd": DRAWN, "slow": SLOW}
CALLS = {
    "draws": (partial(run, DRAWN, trials=5), partial(run, DRAWN, trials=8), range(5)),
    "few": (partial(run, DRAWN, trials=2), partial(run, DRAWN, trials=8), range(2)),
    "even draws": (
        partial(run, DRAWN, trials=5, sampler="sobol"),
        partial(run, DRAWN, trials=8, sampler="sobol"),
        range(5),
    ),
    "all kept": (
        partial(run, DRAWN, trials=5, keep="all"),
        partial(run, DRAWN, trials=8, keep="all"),
        range(5),
    ),
    "a grid": (partial(run, first(3)), partial(run, first(8)), range(3)),
    "grids": (partial(grids, first(2)), partial(grids, first(4)), range(6)),
    "a grid, not all of it": (
        partial(run, first(3), trials=2),
        partial(run, first(8), trials=8),
        range(2),
    ),
    "seeds": (partial(seeded, first(3)), partial(seeded, first(4)), range(6)),
    "named": (partial(run, NAMED, trials=3), partial(run, NAMED, trials=5), [0, 1, 2, 5, 6, 7]),
    "the same": (partial(run, first(8)), partial(run, first(8)), range(8)),
    "none kept": (
        partial(run, DRAWN, trials=5, keep=0),
        partial(run, DRAWN, trials=8, keep=0),
        range(5),
    ),
}


class TestMore:
    @pytest.mark.parametrize("name", CALLS)
    def test_what_is_there_is_not_run_again(self, name, tmp_path):
        few, many, known = CALLS[name]
        assert reused(few(checkpoint=tmp_path)) == []
        out = many(checkpoint=tmp_path)
        assert reused(out) == list(known)
        assert bits(out) == bits(many())
        again = many(checkpoint=str(tmp_path))
        assert reused(again) == list(range(len(out)))
        assert bits(again) == bits(out)

    @pytest.mark.parametrize("keep", [3, "all"])
    def test_fewer(self, keep, tmp_path):
        run(DRAWN, trials=20, keep=keep, checkpoint=tmp_path)
        out = run(DRAWN, trials=9, keep=keep, checkpoint=tmp_path)
        assert bits(out) == bits(run(DRAWN, trials=9, keep=keep))
        # The best of the fewer, where they were not kept, are run for their parameters.
        assert len(reused(out)) >= 9 - (3 if keep == 3 else 0)
        many = run(DRAWN, trials=20, keep=keep, checkpoint=tmp_path)
        assert bits(many) == bits(run(DRAWN, trials=20, keep=keep))
        assert len(reused(many)) == 20

    def test_fewer_after_an_interrupt(self, tmp_path, monkeypatch):
        """Lanes that nobody asks for do not go on."""
        out = run(DRAWN, trials=9, steps=150)

        def fails(*args):
            raise RuntimeError

        with monkeypatch.context() as patch:
            patch.setattr(workers, "_PERIOD", 1e-9)
            patch.setattr(workers, "_SAVE_PERIOD", -1.0)
            patch.setattr(workers, "_drive", stopping(workers._drive))
            run(DRAWN, trials=9, steps=150, checkpoint=tmp_path)
        assert list(tmp_path.glob("*.lanes"))
        few = run(DRAWN, trials=2, steps=150, checkpoint=tmp_path)
        assert bits(few) == bits(run(DRAWN, trials=2, steps=150))
        assert bits(run(DRAWN, trials=9, steps=150, checkpoint=tmp_path)) == bits(out)

    def test_more_kept(self, tmp_path):
        run(DRAWN, trials=9, keep=1, checkpoint=tmp_path)
        out = run(DRAWN, trials=9, keep=4, checkpoint=tmp_path)
        assert bits(out) == bits(run(DRAWN, trials=9, keep=4))
        assert len(reused(out)) == 6


class Once:
    """Says once that it is not set."""

    def __init__(self, event):
        self.event, self.asked = event, 0

    def is_set(self):
        self.asked += 1
        return self.asked > 1 or self.event.is_set()


def stopping(drive):
    """A worker that is stopped after one look at its lanes."""
    return lambda stop, *rest: (drive(Once(stop), *rest), stop.set())


WEIGHTS = np.float32([1.0, 3.0])


def closing_over(weights, wrap=lambda f: f):
    weights = jnp.asarray(weights, jnp.float32)
    return wrap(lambda x: jnp.sum(weights * x * x))


def with_gradient(factor):
    @jax.custom_vjp
    def loss(x):
        return jnp.sum(x * x)

    loss.defvjp(lambda x: (jnp.sum(x * x), x), lambda x, g: (g * factor * x,))
    return loss


def optax_of(factor):
    optax = pytest.importorskip("optax")
    return lambda: rv.from_optax(lambda learning_rate: optax.sgd(factor * learning_rate))


DATA = np.arange(12, dtype=np.float32).reshape(6, 2)


def fit(x, batch):
    return jnp.mean((batch @ x - 1) ** 2)


def scaled(x, args):
    return bowl(x) * jnp.sum(args["w"]) + args["z"]


def args_of(end=1.0, w=1.0):
    # Longer than what is shown of it.
    return {"w": jnp.full(40, w) * jnp.arange(40, dtype=float), "z": rv.Uniform(0.0, end)}


draws = partial(run, DRAWN, trials=4)
plain = partial(draws)
data = partial(
    rv.sweep, fit, START, DRAWN, trials=4, steps=8, lanes=3, workers=1, batches=rv.Batches(DATA, 2)
)
halved = partial(draws, metric=size, prune=rv.SuccessiveHalving(min_steps=2))
jitted = partial(rv.sweep, init=START, optimizer=DRAWN, trials=4, steps=8, lanes=3, workers=1)
ARGS = partial(jitted, scaled)
REFUSED = {
    "lanes": (plain, partial(plain, lanes=4), "lanes was 3 and is 4"),
    "steps": (plain, partial(plain, steps=9), "steps was 8 and is 9"),
    "key": (plain, partial(plain, key=2), "key was"),
    "seeds": (plain, partial(plain, seeds=2), r"seeds was \[\] and is \[0, 1\]"),
    "stop": (
        partial(plain, stop=rv.GradNorm(0.5)),
        partial(plain, stop=rv.GradNorm(0.25)),
        r"stop was 'GradNorm\(tol=0.5\).* and is 'GradNorm\(tol=0.25\)",
    ),
    "keep": (plain, partial(plain, keep="all"), "keep was 'best' and is 'all'"),
    "metric": (plain, partial(plain, metric=size), "the metric was"),
    "prune": (halved, partial(halved, prune=rv.MedianPruning(2)), "prune was 'Succ.*'Med"),
    "sampler": (plain, partial(plain, sampler="sobol"), "sampler was"),
    "latin": (
        partial(plain, sampler="latin"),
        partial(plain, sampler="latin", trials=5),
        r"sampler was \['latin', 4\] and is \['latin', 5\]",
    ),
    "record_every": (plain, partial(plain, record_every=0), "record_every was"),
    "a range": (
        plain,
        partial(run, SGD(rv.LogUniform(0.01, 0.3)), trials=4),
        r"the optimizer was 'SGD\(.*0.2.* and is 'SGD\(.*0.3",
    ),
    "a constant": (
        partial(run, SGD(0.1, momentum=0.5)),
        partial(run, SGD(0.1, momentum=0.25)),
        "the optimizer was",
    ),
    "start": (plain, partial(draws, init=START + 1), "params was"),
    "loss": (
        partial(jitted, closing_over([1, 3])),
        partial(jitted, lambda x: jnp.sum(x**4)),
        "the loss was",
    ),
    "closed over": (
        partial(jitted, closing_over([1, 3])),
        partial(jitted, closing_over([1, 4])),
        "the loss was",
    ),
    "closed over, within jit": (
        partial(jitted, closing_over([1, 3], jax.jit)),
        partial(jitted, closing_over([1, 4], jax.jit)),
        "the loss was",
    ),
    "gradient": (
        partial(jitted, with_gradient(2.0)),
        partial(jitted, with_gradient(1.0)),
        "what a step computes was",
    ),
    "args": (partial(ARGS, args=args_of()), partial(ARGS, args=args_of(w=2.0)), "args was"),
    "a range behind long args": (
        partial(ARGS, args=args_of()),
        partial(ARGS, args=args_of(end=2.0)),
        "args was",
    ),
    "data": (data, partial(data, batches=rv.Batches(DATA + 1, 2)), "the data was"),
    "batch size": (data, partial(data, batches=rv.Batches(DATA, 3)), "the data was"),
    "shuffle": (
        data,
        partial(data, batches=rv.Batches(DATA, 2, shuffle=False)),
        "the order of the data was",
    ),
    "another point": (
        partial(run, first(3)),
        partial(run, SGD(rv.Grid([0.01, 0.03, 0.05]))),
        "learning_rate was .* Only the first grid may grow",
    ),
    "fewer points": (partial(run, first(3)), partial(run, first(2)), "Only the first grid"),
    "a second grid grows": (
        partial(grids, first(2)),
        partial(grids, first(2), args=rv.Grid([0.0, 0.5, 1.0, 2.0])),
        "args was",
    ),
    "one more grid": (
        partial(run, SGD(rv.Grid([0.1, 0.2]))),
        partial(run, SGD(rv.Grid([0.1, 0.2]), momentum=rv.Grid([0.0, 0.5]))),
        "the optimizer was|over 1 grids, not over 2",
    ),
    "a grid gone through twice": (
        partial(run, first(3), trials=6),
        partial(run, first(6), trials=6),
        "holds 6 configurations, which went through the 3 points .* learning_rate cannot grow",
    ),
    "names": (
        partial(run, NAMED, trials=2),
        partial(run, {"sgd": DRAWN}, trials=2),
        r"\['sgd', 'slow'\], not of \['sgd'\]",
    ),
    "one of them": (
        partial(run, NAMED, trials=2),
        partial(run, NAMED | {"slow": DRAWN}, trials=2),
        "the optimizer of 'slow' was",
    ),
}


def contents(folder):
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


class TestRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_another_sweep(self, name, tmp_path):
        right, wrong, text = REFUSED[name]
        want = bits_of(right(checkpoint=tmp_path))
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=f"checkpoint: .*{text}"):
            wrong(checkpoint=tmp_path)
        assert contents(tmp_path) == before
        again = right(checkpoint=tmp_path)
        assert bits_of(again) == want
        assert len(reused(again)) == len(again)

    def test_a_folder_in_use(self, tmp_path):
        pytest.importorskip("fcntl")
        run(first(3), checkpoint=tmp_path)
        before = contents(tmp_path)
        journal, _ = Journal.open(tmp_path / "trials-0.journal")
        with journal, pytest.raises(RuntimeError, match="is in use by another run"):
            run(first(8), checkpoint=tmp_path)
        assert contents(tmp_path) == before
        assert len(reused(run(first(3), checkpoint=tmp_path))) == 3

    @pytest.mark.parametrize("text", ["", "{", "3", "[1]", '{"": 3}', '{"": {}}', "\udcff"])
    def test_not_the_description_of_a_sweep(self, text, tmp_path):
        (tmp_path / "sweep.json").write_bytes(text.encode(errors="surrogateescape"))
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=r"sweep\.json is not the description of a sweep"):
            run(first(3), checkpoint=tmp_path)
        assert contents(tmp_path) == before


def bits_of(out):
    return bits(out)


class TestPruned:
    @pytest.mark.parametrize("metric", [None, size])
    def test_a_checkpoint_changes_nothing(self, metric, tmp_path, monkeypatch):
        monkeypatch.setattr(workers, "_SAVE_PERIOD", 0.0)
        monkeypatch.setattr(workers, "_PERIOD", 1e-9)
        prune = rv.SuccessiveHalving(eta=2, min_steps=10)
        call = partial(run, DRAWN, trials=30, steps=90, metric=metric, prune=prune)
        want = call()
        assert {"pruned", "max_steps"} <= set(want.status)
        assert bits(call(checkpoint=tmp_path)) == bits(want)
        again = call(checkpoint=tmp_path)
        assert bits(again) == bits(want)
        assert len(reused(again)) == 30


def test_random_keys_among_the_arguments(tmp_path):
    def loss(x, args):
        return bowl(x) + jax.random.uniform(args)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = [jitted(loss, args=jax.random.key(5), checkpoint=tmp_path) for _ in range(2)]
    assert bits(out[0]) == bits(out[1])
    with pytest.raises(ValueError, match="args was"):
        jitted(loss, args=jax.random.key(6), checkpoint=tmp_path)
