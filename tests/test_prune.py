"""Pruning: who is given up and when, and that the others do not notice."""

from collections import defaultdict
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import Hyperband, MedianPruning, Status, SuccessiveHalving
from ravine.optimizers import SGD

judge = jax.jit(rv.Pruner.judge, static_argnums=(0, 2))


def bracket_of(ids, brackets):
    """Trials are spread over the brackets by a hash."""
    return (np.asarray(ids).astype(np.uint64) * 0x9E3779B1 % 2**32 >> 16) % brackets


class Plain:
    """The same in plain Python: a list of scores a rung, of which the last 1024 count."""

    def __init__(self, pruner, steps):
        self.pruner, self.brackets, self.seen = pruner, pruner.rungs(steps), defaultdict(list)

    def judge(self, ids, steps, scores, alive):
        """Who of a group that comes together is given up."""
        scores = np.where(np.isfinite(scores), scores, np.inf)
        bracket = bracket_of(ids, len(self.brackets))
        due = [a and s in self.brackets[b] for a, s, b in zip(alive, steps, bracket, strict=True)]
        for i in np.flatnonzero(due):
            self.seen[bracket[i], steps[i]].append(scores[i])
        return [
            d and not self.passes(self.seen[b, s][-1024:], score)
            for d, b, s, score in zip(due, bracket, steps, scores, strict=True)
        ]

    def passes(self, others, score):
        place = np.sum(np.asarray(others) < score)
        if isinstance(self.pruner, MedianPruning):
            return len(others) < self.pruner.min_trials or place <= len(others) / 2
        return place < max(len(others) // self.pruner.eta, 1)


class TestJudge:
    @pytest.mark.parametrize(
        ("pruner", "last", "groups"),
        [
            (SuccessiveHalving(eta=2, min_steps=2), 17, 20),
            (SuccessiveHalving(eta=3, min_steps=5), 6, 90),  # one rung, far more than 1024 scores
            (SuccessiveHalving(eta=4), 70, 20),
            (Hyperband(eta=2, min_steps=3), 13, 30),
            (Hyperband(eta=3), 10, 30),
            (MedianPruning(every=3), 10, 20),
            (MedianPruning(every=5, min_steps=5, min_trials=40), 6, 90),
        ],
        ids=repr,
    )
    def test_random_arrivals(self, pruner, last, groups, rng):
        plain, rungs = Plain(pruner, last), pruner.init(last)
        rung_steps = sorted({step for bracket in pruner.rungs(last) for step in bracket})
        odd = np.array([np.nan, np.inf, -np.inf, 3.0])
        cut_in_all = 0
        for _ in range(groups):
            ids = rng.choice(10_000, 24, replace=False).astype(np.int32)
            steps = rng.choice([*rung_steps, last - 1], 24).astype(np.int32)
            scores = rng.integers(0, 30, 24).astype(np.float32)  # with many ties
            scores[:4] = rng.permutation(odd)
            alive = rng.random(24) < 0.9
            rungs, cut = judge(pruner, rungs, last, ids, steps, scores, alive)
            assert cut.tolist() == plain.judge(ids, steps, scores, alive)
            cut_in_all += int(cut.sum())
        assert 0 < cut_in_all < 24 * groups
        assert np.sum(rungs.seen) == sum(map(len, plain.seen.values()))
        assert (max(map(len, plain.seen.values())) > 1024) == (groups == 90)

    def test_nobody_is_due(self):
        ids, scores = jnp.arange(3), jnp.asarray([1.0, 2.0, 3.0])
        for least, steps, alive in [
            (2, [2, 2, 6], False),
            (2, [0, 1, 3], True),
            (9, [9] * 3, True),
        ]:
            pruner = SuccessiveHalving(min_steps=least)
            before, alive = pruner.init(9), np.full(3, alive)
            after, cut = judge(pruner, before, 9, ids, np.int32(steps), scores, alive)
            assert not cut.any()
            for x, y in zip(before, after, strict=True):
                np.testing.assert_array_equal(x, y)

    def test_no_number_is_worst_and_the_first_one_always_passes(self):
        pruner = SuccessiveHalving(eta=2)
        steps = jnp.ones(4, jnp.int32)
        scores = jnp.asarray([np.nan, 5.0, np.inf, 4.0])
        _, cut = judge(pruner, pruner.init(9), 9, jnp.arange(4), steps, scores, steps > 0)
        assert cut.tolist() == [True, False, True, False]
        _, cut = judge(pruner, pruner.init(9), 9, jnp.arange(4), steps, scores, jnp.arange(4) < 1)
        assert not cut.any()


@pytest.mark.parametrize(
    ("pruner", "steps", "want"),
    [
        (SuccessiveHalving(eta=2), 8, ((1, 2, 4),)),
        (SuccessiveHalving(eta=3, min_steps=100), 101, ((100,),)),
        (SuccessiveHalving(eta=3, min_steps=100), 100, ((),)),
        (SuccessiveHalving(eta=4, min_steps=2), 33, ((2, 8, 32),)),
        (SuccessiveHalving(), 0, ((),)),
        (Hyperband(eta=2), 4, ((1, 2), (2,), ())),
        (Hyperband(eta=4, min_steps=10), 10, ((),)),
        (MedianPruning(every=3), 10, ((3, 6, 9),)),
        (MedianPruning(every=3, min_steps=6), 9, ((6,),)),
    ],
    ids=repr,
)
def test_rungs(pruner, steps, want):
    assert pruner.rungs(steps) == want
    assert all(step % pruner.interval == 0 for bracket in want for step in bracket)
    assert pruner.init(steps).seen.shape == (len(want), max(map(len, want)))


START = np.array([16.0, -8.0], np.float32)
RATES = np.random.default_rng(3).permutation(np.geomspace(2e-3, 0.3, 30)).astype(np.float32)
ROOTS = np.where(np.arange(30) % 7 == 2, -1, 1).astype(np.float32)


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0]))


def rooted(x, args):
    """No number where the argument is negative."""
    return bowl(x) * jnp.sqrt(args)


def far(x):
    """Better the less it moved; no number where it moved a lot."""
    return jnp.where(x[0] < 12.0, jnp.nan, -jnp.sum(x))


sweep = partial(rv.sweep, steps=36, lanes=4, workers=1, keep="all", record_every=1)
plain = partial(sweep, bowl, START, SGD(rv.Grid(RATES)))
halving = SuccessiveHalving(eta=3, min_steps=4)


@pytest.fixture(scope="module")
def whole():
    return plain()


def replayed(out, pruner):
    """Who should have been pruned, from the losses or metrics and from who ran when and where."""
    length = pruner.interval
    cut = np.zeros(len(out), bool)
    for worker in range(out.info["workers"]):
        rule, arrivals = Plain(pruner, 36), defaultdict(list)
        for i in np.flatnonzero(out.placement["worker"] == worker):
            for step in range(length, out.steps[i] + 1, length):
                segment = out.placement["first"][i] + step // length - 1
                arrivals[segment].append((out.placement["lane"][i], i, step))
        for _, group in sorted(arrivals.items()):
            _, ids, steps = (np.array(x) for x in zip(*sorted(group), strict=True))
            if out.metrics is None:
                last = steps[:, None] - 1 - np.arange(length)
                scores = out.history[ids[:, None], last].mean(axis=1)
            else:
                scores = out.metric_history[ids, steps // length - 1]
            cut[ids] |= rule.judge(ids, steps, scores, [True] * len(ids))
    return cut


def check(out, whole, pruner):
    """Those that were pruned are the right ones, and all others are what they were."""
    cut = out.status == Status.PRUNED
    np.testing.assert_array_equal(cut, replayed(out, pruner))
    for i in range(len(out)):
        if cut[i]:
            brackets, n = pruner.rungs(36), int(out.steps[i])
            assert n in brackets[bracket_of(i, len(brackets))]
            np.testing.assert_array_equal(out.history[i, :n], whole.history[i, :n])
            assert np.isnan(out.history[i, n:]).all()
        else:
            assert (out.status[i], out.steps[i]) == (whole.status[i], whole.steps[i])
            for name in ("values", "best_values", "history", "params"):
                assert getattr(out, name)[i].tobytes() == getattr(whole, name)[i].tobytes()
    assert 0 < cut.sum() < len(out)
    assert 0 < out.occupancy <= 1
    return cut


class TestSweep:
    def test_freed_lanes_are_refilled(self, whole):
        out = plain(prune=halving)
        cut = check(out, whole, halving)
        assert set(out.steps[cut]) == {4, 12}
        assert out.steps.sum() < whole.steps.sum() / 2
        first, last = out.placement["first"], out.placement["last"]
        assert np.bincount(out.placement["lane"]).min() >= 4
        segments = last.max() + 1
        assert np.sum(last - first + 1) > 0.75 * segments * 4
        # Segments of 4 steps, and before of 37.
        assert 4 * segments < 37 * (whole.placement["last"].max() + 1) / 2

    @pytest.mark.parametrize(
        "pruner",
        [halving, Hyperband(eta=3, min_steps=4), MedianPruning(every=4, min_steps=8)],
        ids=repr,
    )
    def test_each_of_two_workers_judges_by_its_own_trials(self, pruner, whole):
        check(plain(prune=pruner, workers=2), whole, pruner)

    def test_the_metric_decides_if_there_is_one(self, whole):
        out = plain(prune=halving, metric=far, workers=2)
        assert out.metric_steps.tolist() == list(range(4, 37, 4))
        cut = check(out, whole, halving)
        at_the_first = out.metric_history[:, 0]
        assert np.isnan(at_the_first[cut]).any()
        # Slow trials pass, and the losses would have said otherwise.
        assert RATES[~cut].mean() < RATES[cut].mean()

    def test_with_stop_tests_seeds_and_poisoned_trials(self):
        run = partial(
            sweep, rooted, partial(jax.random.uniform, shape=(2,), minval=8.0, maxval=16.0),
            SGD(rv.Grid(RATES)), args=rv.Grid(ROOTS[:3]), stop=rv.GradNorm(0.25), seeds=[4, 7],
            trials=30, key=1,
        )  # fmt: skip
        before, out = run(), run(prune=halving)
        cut = check(out, before, halving)
        poisoned = out.hyperparameters["args"] < 0
        assert poisoned.sum() == 20
        assert cut[poisoned].mean() > 0.8  # not the first ones, which had no company
        assert set(out.status) == {Status.PRUNED, Status.CONVERGED, *set(out.status[poisoned])}
        assert out.best.status == Status.CONVERGED


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: plain(prune=SuccessiveHalving), TypeError, "prune must be a pruner.*its numbers"),
        (lambda: SuccessiveHalving(eta=1), ValueError, "eta must be an int of at least 2, got 1"),
        (lambda: SuccessiveHalving(min_steps=0), ValueError, "min_steps .* at least 1, got 0"),
        (lambda: MedianPruning(every=0), ValueError, "every must be an int of at least 1, got 0"),
        (lambda: MedianPruning(every=4, min_steps=6), ValueError, "a multiple of every=4, got 6"),
        (lambda: SuccessiveHalving(eta=2.0), TypeError, "eta must be an int, got 2.0"),
        (lambda: SuccessiveHalving(min_steps=1e2), TypeError, "min_steps must be an int"),
        (lambda: MedianPruning(every=True), TypeError, "every must be an int, got True"),
        (lambda: Hyperband(eta=rv.Grid([2, 3])), TypeError, "neither swept nor traced"),
    ],
)
def test_wrong_calls_are_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()
