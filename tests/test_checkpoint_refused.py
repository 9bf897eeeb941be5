"""Which calls do not belong to the folder of a sweep, and are told so before anything runs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine import workers
from ravine.engine.journal import Journal
from tests.test_checkpoint import bits, reused
from tests.test_checkpoint_reuse import DRAWN, NAMED, SGD, START, bowl, first, grids, run, size


def closing_over(weights, wrap=lambda f: f):
    weights = jnp.asarray(weights, jnp.float32)
    return wrap(lambda x: jnp.sum(weights * x * x))


def with_gradient(factor):
    @jax.custom_vjp
    def loss(x):
        return jnp.sum(x * x)

    loss.defvjp(lambda x: (jnp.sum(x * x), x), lambda x, g: (g * factor * x,))
    return loss


DATA = np.arange(12, dtype=np.float32).reshape(6, 2)


def fit(x, batch):
    return jnp.mean((batch @ x - 1) ** 2)


def scaled(x, args):
    return bowl(x) * jnp.sum(args["w"]) + args["z"]


def args_of(end=1.0, w=1.0):
    # Longer than what is shown of it.
    return {"w": jnp.full(40, w) * jnp.arange(40, dtype=float), "z": rv.Uniform(0.0, end)}


plain = partial(run, DRAWN, trials=4)
data = partial(
    rv.sweep, fit, START, DRAWN, trials=4, steps=8, lanes=3, workers=1, batches=rv.Batches(DATA, 2)
)
halved = partial(plain, metric=size, prune=rv.SuccessiveHalving(min_steps=2))
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
    "start": (
        plain,
        partial(jitted, bowl, init=START + 1),
        "params was",
    ),
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
        "args was .* Only the first grid may grow",
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
        want = bits(right(checkpoint=tmp_path))
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=f"checkpoint: .*{text}"):
            wrong(checkpoint=tmp_path)
        assert contents(tmp_path) == before
        again = right(checkpoint=tmp_path)
        assert bits(again) == want
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


def test_no_folder_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "executable", pytest.fail)
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        with pytest.raises(OSError, match="checkpoint must be a folder"):
            run(first(3), checkpoint=folder)
    assert file.read_text() == "mine"


def test_random_keys_among_the_arguments(tmp_path):
    def loss(x, args):
        return bowl(x) + jax.random.uniform(args)

    out = [jitted(loss, args=jax.random.key(5), checkpoint=tmp_path) for _ in range(2)]
    assert bits(out[0]) == bits(out[1])
    with pytest.raises(ValueError, match="args was"):
        jitted(loss, args=jax.random.key(6), checkpoint=tmp_path)
