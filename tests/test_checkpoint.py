"""A sweep that was interrupted, or damaged on disk, goes on to the same bits."""

import random
import shutil
import threading
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine import drive, journal, workers
from ravine.engine.ledger import Ledger
from ravine.engine.queue import Queue

RATES = np.geomspace(2e-3, 3.0, 40).astype(np.float32)
START = np.array([9.0, -5.0, 2.0], np.float32)


def noisy(x, key):
    value = jnp.sum(x * x * jnp.asarray([1.0, 3.0, 0.5], x.dtype))
    return value + 0.01 * jax.random.uniform(key), {"first": x[0]}


def distance(x):
    return jnp.max(jnp.abs(x))


def optimizer(rates=RATES, momentum=0.5):
    return rv.SGD(rv.Grid(rates), momentum=momentum)


STOP = rv.GradNorm(0.05) | rv.Diverged(1e6)
STEPS = 200
settings = dict(
    steps=STEPS, stop=STOP, lanes=4, workers=1, keep="all", key=3, record_every=9, has_aux=True,
    stochastic=True, metric=distance, metric_every=50,
)  # fmt: skip
sweep = partial(rv.sweep, noisy, START, optimizer(), **settings)


def bits(out):
    """Everything that is known of each trial, as bytes by name."""
    assert out.info["complete"]
    arrays = {
        name: getattr(out, name)
        for name in ("values", "best_values", "metrics", "steps", "history", "metric_history",
                     "kept_ids", "params", "aux", "hyperparameters")
    }  # fmt: skip
    found = {n: [np.asarray(x).tobytes() for x in jax.tree.leaves(a)] for n, a in arrays.items()}
    return found | {"status": [str(s) for s in out.status]}


def lane_steps(out):
    """How many steps all lanes took, those of earlier runs among them."""
    return float(np.sum(out.steps + (out.status != rv.Status.RUNNING))) / out.info["occupancy"]


def reused(out):
    """The trials that were taken from the folder."""
    return np.flatnonzero(out.placement["worker"] == -1).tolist()


@pytest.fixture(autouse=True)
def save_always(monkeypatch):
    """A checkpoint after every segment."""
    hurry(monkeypatch.setattr)


def hurry(put=setattr):
    """A segment is a call, and by the clock that workers see, saving takes no time."""
    ticks, waiting = threading.local(), Queue.waiting.fget

    def ticking(queue):
        ticks.now = clock() + 1
        return waiting(queue)

    def clock():
        return getattr(ticks, "now", 0)

    put(Queue, "waiting", property(ticking))
    put(drive, "perf_counter", clock)
    put(drive, "SAVE_PERIOD", 0.0)
    put(drive, "PERIOD", 1e-9)


@pytest.fixture(scope="module")
def plain():
    """The sweep as it is without a checkpoint and without anything in its way."""
    if jax.default_backend() != "cpu":
        pytest.skip("bit for bit is promised on CPUs")
    return {keep: sweep(keep=keep) for keep in ("all", 5)}


@pytest.fixture
def stopped(tmp_path, interrupt_after):
    """A folder whose sweep was interrupted, and what came of it."""
    folder = tmp_path / "sweep"

    def run(visits=3, **kwargs):
        interrupt_after(visits)
        out = sweep(checkpoint=folder, **kwargs)
        assert not out.info["complete"]
        return folder, out

    return run


def test_the_trials_differ(plain):
    out = plain["all"]
    assert set(out.status) == {"converged", "max_steps", "diverged"}
    assert len(set(out.steps)) > 6
    assert np.isfinite(out.metrics).sum() > 10


class TestInterrupted:
    @pytest.mark.parametrize("keep", [5, "all"])
    def test_the_lanes_go_on_where_they_stood(self, keep, plain, stopped):
        folder, early = stopped(keep=keep)
        ended = np.flatnonzero(early.status != rv.Status.RUNNING).tolist()
        assert 0 < len(ended) < 30
        running = early.steps > 0
        running[ended] = False
        assert running.sum() >= 2
        out = sweep(checkpoint=folder, keep=keep)
        assert reused(out) == ended
        assert bits(out) == bits(plain[keep])
        # Where the second run begins, a segment of 50 steps may find some lanes idle.
        assert lane_steps(early) < lane_steps(out) <= lane_steps(plain[keep]) + 2 * 50 * 4

    @pytest.mark.parametrize(("before", "then"), [(2, 1), (1, 2), (2, 3)])
    def test_with_another_number_of_workers(self, before, then, plain, stopped):
        folder, _ = stopped(workers=before)
        out = sweep(checkpoint=folder, workers=then)
        assert bits(out) == bits(plain["all"])
        assert reused(out)
        assert not list(folder.glob("*.lanes*"))

    def test_again_before_anything_ran(self, plain, stopped, monkeypatch):
        """The lanes that an earlier run left stay until others have taken their place."""
        folder, _ = stopped()

        def interrupted(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(workers, "executable", interrupted)
            sweep(checkpoint=folder)
        out = sweep(checkpoint=folder)
        assert bits(out) == bits(plain["all"])
        assert lane_steps(out) <= lane_steps(plain["all"]) + 2 * 50 * 4

    def test_an_error_in_a_worker(self, plain, tmp_path, monkeypatch):
        add, seen = Ledger.add, []

        def fails(*args):
            seen.append(args)
            if len(seen) == 4:
                raise RuntimeError("out of luck")
            add(*args)

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "add", fails)
            with pytest.raises(RuntimeError, match="out of luck"):
                sweep(checkpoint=tmp_path)
        out = sweep(checkpoint=tmp_path)
        assert bits(out) == bits(plain["all"])
        assert reused(out)


@pytest.fixture
def copy(stopped, tmp_path):
    """A copy of a folder whose sweep was interrupted; both generations of lanes are there."""
    original, early = stopped(6)
    assert len(list(original.glob("*.lanes*"))) == 2
    ended = np.flatnonzero(early.status != rv.Status.RUNNING).tolist()

    def make(name):
        return shutil.copytree(original, tmp_path / name), ended

    return make


def truncated(content):
    return content[: len(content) // 2]


def flipped(content, at=0.5):
    place = int(at * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGES = [truncated, flipped, partial(flipped, at=0.0), lambda content: b"", lambda content: None]


class TestDamaged:
    """Every byte of a journal on its own is cut and flipped in test_journal."""

    def test_the_last_record_of_the_journal_cut(self, copy, plain):
        whole, ended = copy("whole")
        size = (whole / "trials-0.journal").stat().st_size

        def known(folder):
            rows = [np.asarray(r["0"]) for r in journal.read(folder / "trials-0.journal")[0]]
            return sorted(np.concatenate([np.int32([]), *rows]).tolist())

        assert known(whole) == ended
        draw = random.Random(0)
        for cut in {0, 5, 17, 18, size - 1, *draw.sample(range(size), 5)}:
            folder, _ = copy(f"cut {cut}")
            with (folder / "trials-0.journal").open("r+b") as file:
                file.truncate(cut)
            left = known(folder)
            assert set(left) <= set(ended)
            out = sweep(checkpoint=folder)
            assert bits(out) == bits(plain["all"])
            assert reused(out) == left

    @pytest.mark.parametrize("both", [False, True])
    def test_the_lanes(self, both, copy, plain):
        for i, damage in enumerate(DAMAGES):
            folder, ended = copy(str(i))
            for path in folder.glob("*.lanes*"):
                if both or path.suffix == ".lanes":
                    content = damage(path.read_bytes())
                    path.unlink() if content is None else path.write_bytes(content)
            out = sweep(checkpoint=folder)
            assert bits(out) == bits(plain["all"])
            assert reused(out) == ended
            # The lanes before them are a segment behind.
            assert both or lane_steps(out) <= lane_steps(plain["all"]) + 3 * 50 * 4
            assert not list(folder.glob("*.lanes*"))
