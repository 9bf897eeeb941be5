"""Workers: how many there are, and who takes what when, changes no bit of any trial."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ravine as rv
from ravine.engine import drive, executable, plan
from ravine.engine.ledger import Ledger
from ravine.engine.queue import Queue
from ravine.optimizers import SGD
from ravine.transforms.jacobi import SMALL
from tests.conftest import CACHE, ROOT

START = np.array([16.0, -8.0, 2.0], np.float32)


def drained(queue):
    grants = []
    while (grant := queue.take()) is not None:
        grants.append(grant)
    return grants


def ids_of(grants):
    return [int(id) for grant in grants for id in grant]


class Made(NamedTuple):
    """A queue, the ids in it, and what it was made with."""

    queue: Queue
    ids: list[int]
    width: int
    most: int
    whole: bool


@st.composite
def queues(draw, forecast=None):
    """Any queue; the ids in it are in order and may have gaps between them."""
    ids = np.flatnonzero(draw(st.lists(st.booleans(), max_size=600)))
    width, many, whole = draw(st.integers(1, 64)), draw(st.integers(1, 8)), draw(st.booleans())
    most = draw(st.integers(width, 16 * width))
    settings = {"width": width, "workers": many, "most": most, "whole": whole}
    return Made(Queue(ids, forecast=forecast, **settings), ids.tolist(), width, most, whole)


def guess(ids):
    """A forecast that has nothing to say of an odd number of trials."""
    return None if len(ids) % 2 else 1.0 + ids * 7919 % 101


class TestQueue:
    @given(queues())
    def test_every_id_is_handed_out_once_and_in_order(self, made):
        assert made.queue.waiting == len(made.ids)
        grants = drained(made.queue)
        assert ids_of(grants) == made.ids
        for grant in grants:
            assert 0 < len(grant) <= made.most
            # Only the end may cut a helping for lanes in step.
            assert not made.whole or len(grant) % made.width == 0 or grant[-1] == made.ids[-1]

    @given(queues(guess))
    def test_every_id_is_handed_out_once_in_any_order(self, made):
        grants = drained(made.queue)
        assert sorted(ids_of(grants)) == made.ids
        assert all(0 < len(grant) <= made.most for grant in grants)

    def test_the_longest_come_first_where_lengths_are_known(self):
        lengths = np.random.default_rng(0).integers(1, 1000, 200)
        queue = Queue(
            range(200), width=4, workers=2, most=64, whole=False, forecast=lambda ids: lengths[ids]
        )
        grants = drained(queue)
        handed_out = lengths[ids_of(grants)]
        assert (np.diff(handed_out) <= 0).all()
        # A helping is at most half of a worker's share of the work, and a bit.
        assert lengths[grants[0]].sum() <= lengths.sum() / 4 + 1000

    @given(queues(), st.integers(0, 99))
    def test_what_is_given_back_comes_first(self, made, seed):
        random, done = Random(seed), []
        while (grant := made.queue.take()) is not None:
            middle = random.randint(1, len(grant))
            done.append(grant[:middle])
            made.queue.give_back(grant[middle:])
        # In order, so what came back was first in the line.
        assert ids_of(done) == made.ids

    @settings(max_examples=10)
    @given(queues(guess))
    def test_threads_share_it(self, made):
        with ThreadPoolExecutor(4) as pool:
            grants = [g for taken in pool.map(drained, [made.queue] * 4) for g in taken]
        assert sorted(ids_of(grants)) == made.ids


def test_long_trials_are_begun_early_and_end_with_the_others():
    def loss(x):
        return jnp.sum(x * x)

    # A thousandth of the rate takes a thousand times the steps.
    rates = np.random.default_rng(0).permutation(np.geomspace(1e-3, 0.5, 512)).astype(np.float32)
    out = rv.sweep(
        loss, jnp.ones(2), SGD(rv.Grid(rates)), steps=10_000, stop=rv.GradNorm(1e-2), lanes=16,
        workers=1,
    )  # fmt: skip
    # In the order of their ids: 0.83, and 0.4 of the long trials are late.
    assert out.info["occupancy"] > 0.86
    ends = out.placement["last"].max()
    longest = out.steps > 1_000
    late = out.placement["first"][longest] > 0.5 * ends
    assert late.mean() < 0.3


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0, 0.5], x.dtype)) / (1 + 0.01 * jnp.sum(x * x))


def fit(x, batch):
    return jnp.mean((batch @ x - 1) ** 2) + 0.01 * bowl(x)


def noisy(x, key):
    return bowl(x) + jax.random.uniform(key)


def rooted(x, args):
    """No number, and no gradient, where the argument is negative."""
    return bowl(x) * jnp.sqrt(args)


RATES = np.geomspace(1e-2, 30.0, 15).astype(np.float32)  # from far too small to far too large
SQUARES = np.linspace(1.0, 2.0, 10, dtype=np.float32)
STOP = rv.GradNorm(0.5) | rv.Diverged(1e6)
BATCHES = rv.Batches(np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32), 4)
sweep = partial(rv.sweep, steps=40, lanes=4, keep="all", record_every=7, key=2)
early = partial(sweep, rooted, START, SGD(rv.Grid(RATES)), args=rv.Grid(SQUARES), stop=STOP)
PROBLEMS = {
    "early": early,
    "in step": partial(sweep, fit, START, SGD(rv.Grid([*RATES, 1e20])), batches=BATCHES),
    "data": partial(sweep, fit, START, SGD(rv.Grid(RATES)), batches=BATCHES, stop=STOP),
    "noise": partial(
        sweep, noisy, partial(jax.random.uniform, shape=(3,), maxval=9.0),
        SGD(rv.LogUniform(0.1, 3.0)), trials=15, stochastic=True, stop=STOP,
    ),
}  # fmt: skip


def rows(out):
    """Everything that is known of each trial, as bytes."""
    assert out.info["complete"]
    assert out.kept_ids.tolist() == list(range(len(out)))
    arrays = [out.values, out.best_values, out.steps, out.history, *jax.tree.leaves(out.params)]
    return [(str(s), *(a[i].tobytes() for a in arrays)) for i, s in enumerate(out.status)]


TAKE = Queue.take


def shared(many, most, seed):
    """A way to take from a queue in which so many workers take part.

    Up to ``most`` ids at a time, from the middle of a helping, unless it is ``None``.
    """
    random, begin, begun = Random(seed), threading.Barrier(many), set()

    def take(queue):
        if (worker := threading.get_ident()) not in begun:
            begun.add(worker)
            begin.wait(100)
        if (grant := TAKE(queue)) is None or most is None:
            return grant
        first = random.randrange(len(grant))
        last = first + random.randint(1, most)
        queue.give_back(np.concatenate([grant[last:], grant[:first]]))
        return grant[first:last]

    return take


@pytest.fixture(scope="module")
def plain():
    if jax.default_backend() != "cpu":
        pytest.skip("bit for bit is promised on CPUs")
    return {name: rows(problem(workers=1)) for name, problem in PROBLEMS.items()}


class TestContract:
    @pytest.mark.parametrize("name", PROBLEMS)
    def test_the_trials_differ(self, name, plain):
        assert len(set(plain[name])) >= 15
        assert len({steps for _, _, _, steps, *_ in plain[name]}) > (name != "in step") * 2 + 1

    @pytest.mark.parametrize("name", PROBLEMS)
    @settings(max_examples=5)
    @given(
        many=st.integers(1, 3),
        most=st.none() | st.integers(1, 9),
        seed=st.integers(0, 99),
        tight=st.booleans(),
        period=st.sampled_from([0.0, 0.25, 1e9]),
    )
    def test_who_does_what_changes_no_bit(self, name, plain, many, most, seed, tight, period):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drive, "PERIOD", period)
            patch.setattr(Queue, "take", shared(many, most, seed))
            if tight and name in ("early", "in step"):  # another program, slow to compile
                patch.setattr(plan, "_room", lambda lanes, *_: lanes)
            assert rows(PROBLEMS[name](workers=many)) == plain[name]

    @pytest.mark.parametrize("many", [1, 3])
    def test_poisoned_trials_leave_the_others_alone(self, many, plain):
        squares = np.where(np.arange(10) == 3, -1, SQUARES)
        out = early(args=rv.Grid(squares), workers=many)
        hit = out.hyperparameters["args"] < 0
        assert hit.sum() == len(out) // 10
        assert set(out.status[hit]) == {rv.Status.DIVERGED}
        for poisoned, row, want in zip(hit, rows(out), plain["early"], strict=True):
            assert poisoned or row == want


DEVICES = """
import hashlib
import jax
from ravine.engine.workers import places
from tests.test_workers import early, rows

def sweep(workers):
    print(hashlib.sha256(repr(rows(early(workers=workers))).encode()).hexdigest())

first, second = jax.devices()
assert places(3) == [first, second, first]
sweep(1)
sweep(2)
with jax.default_device(second):
    assert places(2) == [second, second]
    sweep(1)
"""


def test_on_which_device_a_trial_runs_changes_no_bit():
    flags = "--xla_force_host_platform_device_count=2"
    env = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "RAVINE_TEST_CACHE": CACHE}
    command = [sys.executable, "-c", DEVICES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    one, two, on_the_second = done.stdout.split()
    assert one == two == on_the_second


class TestSettings:
    """What a context manager sets holds in one thread; the workers must have it too."""

    def test_double_precision(self, x64):
        start = START.astype(np.float64)
        run = partial(sweep, bowl, start, SGD(rv.Grid(RATES)), stop=STOP)
        one, three = run(workers=1), run(workers=3)
        for x in (three.values, three.best_values, three.history, three.params):
            assert x.dtype == np.float64
        assert rows(one) == rows(three)
        np.testing.assert_allclose(three.history[:, 0], bowl(jnp.asarray(start)), rtol=1e-14)

    def test_a_default_device(self, plain):
        with jax.default_device(jax.devices()[0]):
            assert rows(early(workers=3)) == plain["early"]


def test_an_error_in_one_worker_is_raised_and_ends_the_others(monkeypatch):
    def once(*args):
        monkeypatch.undo()
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Ledger, "add", once)
    with pytest.raises(RuntimeError, match="out of luck"):
        early(workers=3)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("ravine")]
    assert early(workers=3).info["complete"]


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [(0, ValueError, "at least 1, got 0"), ("2", TypeError, "an int, got '2'")],
)
def test_a_wrong_number_of_workers_is_refused(wrong, error, text):
    with pytest.raises(error, match=f"workers must be {text}"):
        sweep(bowl, START, SGD(0.1), workers=wrong)


def test_two_workers_never_wait_for_each_other_inside_lapack(monkeypatch):
    # A batched QR on CPU blocks a thread of the pool whose other threads it waits for.
    inside, most = [], []
    call = executable._OneAtATime.__call__

    class Counted:
        def __init__(self, compiled):
            self.compiled = compiled

        def __call__(self, *args):
            inside.append(1)
            most.append(len(inside))
            out = self.compiled(*args)
            inside.pop()
            return out

    def counted(self, *args):
        once = executable._OneAtATime(Counted(self._compiled))
        return call(once, *args)

    monkeypatch.setattr(executable._OneAtATime, "__call__", counted)
    t = jnp.linspace(0.0, 5.0, 60)
    rates = np.linspace(0.2, 1.0, 200).astype(np.float32)

    # With so many parameters as this, LAPACK is called.
    start = jnp.concatenate([jnp.array([1.5, 0.5]), jnp.full(SMALL, 0.1)])

    def residuals(p, rate):
        misfit = p[0] * jnp.exp(-p[1] * t) - 2 * jnp.exp(-rate * t)
        return jnp.concatenate([misfit, p[2:]])

    out = rv.sweep(
        rv.LeastSquares(residuals), start, rv.LevenbergMarquardt(), steps=60,
        stop=rv.StepNorm(1e-4) | rv.Diverged(), args=rv.Grid(rates), workers=2, lanes=8, keep="all",
    )  # fmt: skip
    assert out.info["workers"] == 2
    np.testing.assert_allclose(out.params[:, 1], rates, rtol=1e-3)
    assert set(most) == {1}
