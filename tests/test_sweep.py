"""Sweeps: every trial is the minimization that it says it is."""

import itertools
import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import Status
from ravine.engine import workers
from ravine.engine.ledger import Ledger
from ravine.engine.plan import plan
from ravine.engine.trial import define, starting_point
from ravine.optimizers import SGD

START = np.array([16.0, -8.0], np.float32)
RATES = [0.03125, 0.1, 0.34, 30.0, 1e20]
MOMENTA = [0.0, 0.5, 0.9, 0.99]
STOP = rv.GradNorm(0.5) | rv.Diverged()

DEFAULTS = {"workers": 1, "metric": None, "metric_every": None, "prune": None, "sampler": "random"}


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0], x.dtype))


def grid(lanes=8, keep="all", **kwargs):
    """Twenty trials, of which some converge, some run out of steps, and some diverge."""
    opt = SGD(rv.Grid(RATES), momentum=rv.Grid(MOMENTA))
    return rv.sweep(bowl, START, opt, steps=40, stop=STOP, lanes=lanes, keep=keep, **kwargs)


@pytest.fixture(scope="module")
def results():
    return grid(record_every=1)


class TestGrid:
    def test_trials_are_the_product_in_order(self, results):
        assert len(results) == 20
        assert list(results.hyperparameters) == ["learning_rate", "momentum"]
        want = np.float32(list(itertools.product(RATES, MOMENTA)))
        np.testing.assert_array_equal(np.stack(list(results.hyperparameters.values()), 1), want)
        assert set(results.status) == {Status.CONVERGED, Status.MAX_STEPS, Status.DIVERGED}

    def test_every_trial_is_what_minimize_makes_of_its_optimizer(self, results):
        for trial, (rate, momentum) in zip(results, itertools.product(RATES, MOMENTA), strict=True):
            assert trial.optimizer == SGD(rate, momentum=momentum)
            assert trial.hyperparameters == {"learning_rate": rate, "momentum": momentum}
            alone = rv.minimize(bowl, START, trial.optimizer, steps=40, stop=STOP)
            assert (trial.status, trial.steps) == (alone.status, alone.steps)
            np.testing.assert_allclose(trial.params, alone.params, rtol=1e-4, atol=1e-6)
            close = dict(rtol=1e-4, atol=1e-9)
            np.testing.assert_allclose(trial.value, alone.value, **close)
            np.testing.assert_allclose(trial.best_value, alone.best_value, **close)
            n = trial.steps + 1
            np.testing.assert_allclose(trial.history[:n], alone.history, **close)
            assert np.isnan(trial.history[n:]).all()
            assert trial.seed is None

    def test_values_and_best_values_are_honest(self, results):
        np.testing.assert_array_equal(results.values, results.history[range(20), results.steps])
        finite = np.where(np.isfinite(results.history), results.history, np.inf)
        np.testing.assert_array_equal(results.best_values, finite.min(axis=1))
        for trial in results:
            if trial.status == Status.CONVERGED:
                assert np.linalg.norm(jax.grad(bowl)(trial.params)) <= 0.5
            elif trial.status == Status.MAX_STEPS:
                assert trial.steps == 40
            else:
                assert not math.isfinite(trial.value)

    def test_the_best_is_the_smallest_of_those_that_ended_well(self, results):
        well = [t for t in results if t.status != Status.DIVERGED]
        ranked = sorted(well, key=lambda t: (t.value, t.id))
        assert results.ranking.tolist() == [t.id for t in ranked]
        assert results.best.id == ranked[0].id
        assert [t.id for t in results.top(3)] == [t.id for t in ranked[:3]]
        assert len(results.top(100)) == len(ranked)

    def test_what_is_said_of_the_run(self, results):
        assert results.info["complete"] is True
        assert results.info["lanes"] == 8
        assert results.info["seconds"] > 0
        assert 0 < results.info["occupancy"] <= 1

    @pytest.mark.parametrize(("lanes", "keep", "every"), [(1, 0, 0), (32, 3, 1)], ids=str)
    def test_width_and_bookkeeping_change_nothing(self, results, lanes, keep, every):
        other = grid(lanes=lanes, keep=keep, record_every=every)
        assert other.info["lanes"] == lanes
        np.testing.assert_array_equal(other.steps, results.steps)
        assert other.status.tolist() == results.status.tolist()
        np.testing.assert_allclose(other.values, results.values, rtol=1e-4, atol=1e-9)
        assert other.kept_ids.tolist() == other.ranking[:keep].tolist()
        assert other.params.shape == (keep, 2)
        for place, id in enumerate(other.kept_ids):
            np.testing.assert_array_equal(other[id].params, other.params[place])
            np.testing.assert_allclose(other[id].params, results[id].params, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(other.values[id], bowl(other[id].params), rtol=1e-5)
        assert other[other.ranking[-1]].params is None
        assert other.history.shape == ((20, 41) if every else (20, 0))
        assert 0 < other.info["occupancy"] <= 1

    def test_keeping_all_keeps_them_by_trial(self, results):
        assert results.kept_ids.tolist() == list(range(20))
        assert results.params.shape == (20, 2)

    def test_trials_are_picked_like_items_of_a_list(self, results):
        assert results[-1].id == results[np.int64(19)].id == 19
        with pytest.raises(IndexError, match="trial 20 of 20"):
            results[20]
        for wrong in ("adam", 1.5, slice(2)):
            with pytest.raises(TypeError, match="picked by its id"):
                results[wrong]


class TestShown:
    def test_the_repr_is_a_table_of_the_best(self, results):
        head, columns, *rows = repr(results).splitlines()
        assert head.startswith("SweepResult: 20 trials (")
        assert "8 diverged" in head
        names = ["trial", "learning_rate", "momentum", "value", "best_value", "steps", "status"]
        assert columns.split() == names
        assert [int(row.split()[0]) for row in rows[:10]] == results.ranking[:10].tolist()
        assert rows[10] == "... and 10 more"

    def test_pandas_gets_a_row_a_trial(self, results):
        pytest.importorskip("pandas")
        frame = results.to_pandas()
        assert len(frame) == 20
        assert frame["trial"].tolist() == list(range(20))
        np.testing.assert_array_equal(frame["value"], results.values)
        assert frame["status"].tolist() == [str(s) for s in results.status]
        assert "optimizer" not in frame

    def test_a_bar_shows_how_far_it_is(self, capsys):
        grid(progress=True, record_every=1)
        shown = capsys.readouterr().err
        for part in ("20/20", "8 diverged", "best "):
            assert part in shown
        assert re.search("trials/s|s/ trials", shown)

    def test_without_progress_nothing_is_printed(self, capsys):
        grid(record_every=1)
        assert capsys.readouterr() == ("", "")


class TestInterrupt:
    def test_what_had_ended_is_kept(self, results, interrupt_after):
        interrupt_after(2)
        out = grid(record_every=1, workers=1)
        ended = out.status != Status.RUNNING
        assert not out.info["complete"]
        assert 0 < ended.sum() < 20
        assert 0 < out.info["occupancy"] <= 1
        np.testing.assert_array_equal(out.values[ended], results.values[ended])
        np.testing.assert_array_equal(out.history[ended], results.history[ended])
        np.testing.assert_array_equal(out.params, results.params[ended])
        assert out.kept_ids.tolist() == np.flatnonzero(ended).tolist()
        assert set(out.ranking) <= set(np.flatnonzero(ended))
        assert "running" in repr(out)

    def test_before_the_first_step_there_is_nothing(self, monkeypatch):
        def interrupted(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(workers, "executable", interrupted)
        out = rv.sweep(
            bowl, START, {"a": SGD(rv.Grid(RATES)), "b": SGD(0.1)}, steps=3, seeds=[5, 6]
        )
        assert len(out) == 12
        assert set(out.status) == {Status.RUNNING}
        assert np.isnan(out.values).all()
        assert out.names.tolist() == ["a"] * 10 + ["b"] * 2
        assert out.seeds.tolist() == [5, 6] * 6
        assert out.kept_ids.size == 0
        with pytest.raises(ValueError, match="None of the 12 trials"):
            out.best  # noqa: B018
        assert "No trial ended" in repr(out)


def test_an_interrupt_before_the_second_program_keeps_the_first(named, interrupt_after):
    optimizers, whole = named
    interrupt_after(1)
    out = rv.sweep(bowl, START, optimizers, trials=4, steps=6, keep=5, lanes=4, workers=1)
    np.testing.assert_array_equal(out.values[:4], whole.values[:4])
    assert set(out.status[4:]) == {Status.RUNNING}
    assert out.names.tolist() == whole.names.tolist()
    assert out.kept_ids.tolist() == out.ranking.tolist()
    assert set(out.kept_ids) == {0, 1, 2, 3}
    assert not out.info["complete"]
    assert 0 < out.info["occupancy"] <= 1


def test_a_worker_that_fails_says_so(monkeypatch):
    def failed(*args):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Ledger, "add", failed)
    with pytest.raises(RuntimeError, match="out of luck"):
        grid(record_every=1)


TRACES = []


def ridged(x, args):
    TRACES.append(args)
    return bowl(x) + args["ridge"] * jnp.sum((x - 1) ** 2)


def random_sweep(peak=3.0, low=0.5, ridge=2.0, tol=1.0, key=3):
    schedule = rv.schedules.WarmupCosineDecay(
        0.0, rv.LogUniform(0.1, peak), rv.IntUniform(1, 5), 20
    )
    opt = rv.chain(
        rv.ScaleByAdam(b1=rv.Choice([low, 0.75]), b2=0.9), rv.ScaleByLearningRate(schedule)
    )
    stop = rv.GradNorm(rv.LogUniform(tol, 30.0)) | rv.Diverged()
    return rv.sweep(
        ridged, START, opt, args={"ridge": rv.Uniform(0.0, ridge)}, stop=stop, trials=9, steps=20,
        lanes=4, keep="all", key=key,
    )  # fmt: skip


class TestRandom:
    def test_other_ranges_trace_nothing_anew(self):
        first = random_sweep()
        traces = len(TRACES)
        other = random_sweep(np.float32(4.0), 0.25, jnp.float32(1.0), 2, jax.random.key(8))
        assert len(TRACES) == traces
        for name, x in first.hyperparameters.items():
            assert np.any(x != other.hyperparameters[name])

    def test_what_is_reported_is_what_was_used(self):
        out = random_sweep()
        names = [
            "scale_by_adam.b1",
            "scale_by_learning_rate.learning_rate.peak_value",
            "scale_by_learning_rate.learning_rate.warmup_steps",
            "args.ridge",
            "stop.first.tol",
        ]
        assert list(out.hyperparameters) == names
        assert all(len(np.unique(x)) > 1 for x in out.hyperparameters.values())

        @jax.jit
        def step(opt, x, state, ridge):
            value, g = jax.value_and_grad(ridged)(x, {"ridge": ridge})
            updates, state = opt.update(g, state, x)
            return value, jnp.linalg.norm(g), rv.apply_updates(x, updates), state

        for trial in out:
            h = trial.hyperparameters
            x, state = jnp.asarray(START), trial.optimizer.init(START)
            for t in range(21):
                value, norm, new, state = step(trial.optimizer, x, state, h["args.ridge"])
                np.testing.assert_allclose(trial.history[t], value, rtol=1e-4)
                if norm <= h["stop.first.tol"] or t == 20:
                    break
                x = new
            assert trial.steps == t
            converged = Status.CONVERGED if norm <= h["stop.first.tol"] else Status.MAX_STEPS
            assert trial.status == converged
            np.testing.assert_allclose(trial.params, x, rtol=1e-4, atol=1e-5)
            assert type(h[names[2]]) is int
            assert trial.optimizer.transforms[0].b1 in (0.5, 0.75)
            assert 0.1 <= h[names[1]] <= 3.0


def normal(key):
    return {"x": jax.random.normal(key, (2,))}


def at_x(p):
    return bowl(p["x"])


def starts(**kwargs):
    """The grid's zero rate leaves the value where it started."""
    out = rv.sweep(
        at_x, normal, SGD(rv.Grid([0.0, 0.0, 0.25])), steps=2, keep="all", lanes=4, **kwargs
    )
    return out, out.history[:, 0].reshape(3, -1)


def laid_out(init, rate, trials, seeds=None):
    return plan(
        bowl, init, SGD(rate), trials=trials, steps=1, stop=rv.Diverged(), batches=None, args=None,
        key=0, seeds=seeds, lanes=None, keep=1, **DEFAULTS, record_every=None, has_aux=False,
        stochastic=False,
    )  # fmt: skip


def start_of(laid, id):
    trial = define(laid.program, laid.operands, jnp.int32(id))
    return tuple(np.asarray(starting_point(laid.program, laid.operands, trial)).tolist())


class TestStarts:
    def test_a_seed_fixes_the_start_for_every_configuration(self):
        out, first = starts(seeds=3)
        assert out.seeds.tolist() == [0, 1, 2] * 3
        assert [t.seed for t in out] == out.seeds.tolist()
        np.testing.assert_array_equal(first[0], first[1])
        np.testing.assert_array_equal(first[0], first[2])
        assert len(np.unique(first[0])) == 3
        listed, again = starts(seeds=[2, 0, 9])
        assert listed.seeds.tolist() == [2, 0, 9] * 3
        np.testing.assert_array_equal(again[:, :2], first[:, [2, 0]])
        assert again[0, 2] not in first
        np.testing.assert_array_equal(starts(seeds=np.arange(3))[1], first)
        assert not np.any(starts(seeds=3, key=1)[1] == first)
        np.testing.assert_allclose(out.values[:6], first[:2].ravel())
        assert out.columns()["seed"].tolist() == out.seeds.tolist()

    def test_given_starts_are_the_slowest_axis(self):
        points = np.arange(6, dtype=np.float32).reshape(3, 2)
        rates = [0.0, 0.125]
        out = rv.sweep(
            at_x, rv.Starts({"x": points}), SGD(rv.Grid(rates)), steps=2, keep="all", lanes=4
        )
        assert len(out) == 6
        want = [bowl(p) for p in points for _ in rates]
        np.testing.assert_array_equal(out.history[:, 0], want)
        np.testing.assert_array_equal(out.hyperparameters["learning_rate"], rates * 3)
        np.testing.assert_array_equal(out.params["x"][::2], points)
        np.testing.assert_array_equal(out.values[::2], want[::2])

    @pytest.mark.parametrize(
        ("rate", "trials", "seeds", "want"),
        [
            (0.1, None, None, [0, 1, 2]),
            (0.1, 5, None, [0, 1, 2, 0, 1]),
            (rv.Uniform(0.0, 1.0), None, None, [0, 1, 2]),
            (rv.Grid([0.1, 0.2]), None, None, [0, 0, 1, 1, 2, 2]),
            (rv.Grid([0.1, 0.2]), 8, None, [0, 0, 1, 1, 2, 2, 0, 0]),
            (rv.Grid([0.1, 0.2]), 2, [4, 7], [0, 0, 0, 0]),
            (0.1, None, 2, [0, 0, 1, 1, 2, 2]),
        ],
        ids=str,
    )
    def test_which_trial_gets_which_start(self, rate, trials, seeds, want):
        points = rv.Starts(jnp.arange(3.0)[:, None] * jnp.ones((1, 2)))
        laid = laid_out(points, rate, trials, seeds)
        assert laid.trials == len(want)
        assert [start_of(laid, id)[0] for id in range(len(want))] == want

    def test_without_seeds_every_trial_has_a_start_of_its_own(self):
        init = partial(jax.random.normal, shape=(2,))
        few, many = laid_out(init, 0.1, 3), laid_out(init, rv.Grid([0.1, 0.2]), 5)
        assert len({start_of(many, id) for id in range(5)}) == 5
        assert [start_of(few, id) for id in range(3)] == [start_of(many, id) for id in range(3)]


def hurdle(x, args):
    """Below 4 the value becomes finite, infinite, minus infinite, or no number."""
    fate = jnp.asarray([0.0, jnp.inf, -jnp.inf, jnp.nan])[args]
    return bowl(x) + jnp.where(x[0] < 4, fate, 0.0)


def test_whatever_is_not_finite_is_diverged_and_never_best():
    # Without Diverged() the trials go on to the end, and are told apart there.
    out = rv.sweep(
        hurdle, START, SGD(0.25), args=rv.Grid([1, 2, 0, 3]), stop=rv.GradNorm(0.0), steps=6,
        lanes=2,
    )  # fmt: skip
    assert [str(s) for s in out.status] == ["diverged", "diverged", "max_steps", "diverged"]
    assert out.ranking.tolist() == out.kept_ids.tolist() == [2]
    assert out.best.id == 2
    assert out.best.params.tolist() == (START / 2**6).tolist() == out.params[0].tolist()
    want = [np.inf, -np.inf, bowl(START / 2**6), np.nan]
    np.testing.assert_array_equal(out.values, np.float32(want))
    assert out.steps.tolist() == [6] * 4
    before = float(bowl(START / 4))
    assert out.best_values.tolist() == [before, before, out.values[2], before]
    np.testing.assert_array_equal(out.history[3, :3], out.history[2, :3])


@pytest.fixture(scope="module")
def named():
    optimizers = {
        "sgd": SGD(rv.Grid([0.125, 0.25])),
        "slow": SGD(rv.schedules.Linear(0.0, rv.Uniform(0.1, 0.2), rv.IntUniform(2, 4))),
    }
    return optimizers, rv.sweep(bowl, START, optimizers, trials=4, steps=6, keep=5, lanes=4)


class TestNamed:
    def test_a_dict_is_one_sweep_with_a_column(self, named):
        optimizers, out = named
        assert out.names.tolist() == ["sgd"] * 4 + ["slow"] * 4
        assert out.columns()["optimizer"].tolist() == out.names.tolist()
        h = out.hyperparameters
        assert list(h) == [
            "learning_rate",
            "learning_rate.end_value",
            "learning_rate.transition_steps",
        ]
        np.testing.assert_array_equal(h["learning_rate"][:4], np.float32([0.125, 0.25] * 2))
        assert np.isnan(h["learning_rate"][4:]).all()
        assert np.isnan(h["learning_rate.transition_steps"][:4]).all()
        assert out.templates == optimizers

    def test_a_trial_has_its_own_optimizer_with_short_numbers(self, named):
        _, out = named
        assert (out[1].name, out[1].optimizer) == ("sgd", SGD(0.25))
        slow = out[5]
        assert slow.name == "slow"
        rate, length = slow.hyperparameters.values()
        assert slow.optimizer == SGD(rv.schedules.Linear(0.0, rate, int(length)))
        assert type(slow.optimizer.learning_rate.transition_steps) is int
        assert length in (2, 3, 4)
        assert repr(rate) == str(np.float32(rate))
        assert 0.1 <= rate <= 0.2

    def test_the_best_of_all_are_kept(self, named):
        _, out = named
        assert out.kept_ids.tolist() == out.ranking[:5].tolist()
        want = [bowl(p) for p in out.params]
        np.testing.assert_allclose(out.values[out.kept_ids], want, rtol=1e-5)
