"""What the folder of a sweep is good for: more trials, fewer, and more that is kept."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine import drive
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
grids = partial(rv.sweep, tilted, START, args=rv.Grid([0.0, 0.5, 1.0]), steps=8, lanes=3, workers=1)
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
            patch.setattr(drive, "PERIOD", 1e-9)
            patch.setattr(drive, "SAVE_PERIOD", -1.0)
            patch.setattr(drive.Drive, "run", stopping(drive.Drive.run))
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


def stopping(run):
    """A worker that is stopped after one look at its lanes."""
    return lambda lanes, stop: (run(lanes, Once(stop)), stop.set())


class TestPruned:
    @pytest.mark.parametrize("metric", [None, size])
    def test_a_checkpoint_changes_nothing(self, metric, tmp_path, monkeypatch):
        monkeypatch.setattr(drive, "SAVE_PERIOD", 0.0)
        monkeypatch.setattr(drive, "PERIOD", 1e-9)
        prune = rv.SuccessiveHalving(eta=2, min_steps=10)
        call = partial(run, DRAWN, trials=30, steps=90, metric=metric, prune=prune)
        want = call()
        assert {"pruned", "max_steps"} <= set(want.status)
        assert bits(call(checkpoint=tmp_path)) == bits(want)
        again = call(checkpoint=tmp_path)
        assert bits(again) == bits(want)
        assert len(reused(again)) == 30
