"""The width: chosen by the clock, halved where memory runs out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine import width, workers
from ravine.engine.executable import executable


def bowl(x):
    return jnp.sum(x * x)


def run(**change):
    arguments = {"trials": 40, "steps": 20, "lanes": 16, "workers": 1, "keep": 3} | change
    callback = arguments.pop("callback", None)
    return rv.sweep(
        bowl, jnp.ones(3), rv.SGD(rv.LogUniform(1e-3, 1.0)), callback=callback, **arguments
    )


class TestAuto:
    @pytest.fixture(autouse=True)
    def forget(self, monkeypatch):
        monkeypatch.setattr(width, "_chosen", {})

    def test_a_width_is_chosen_once_for_a_program(self, monkeypatch):
        monkeypatch.setattr(width, "_MOST", 32)
        first = run(lanes="auto", trials=400)
        assert first.info["lanes"] == 32
        monkeypatch.setattr(width, "_search", pytest.fail)
        assert run(lanes="auto", trials=400).values.tobytes() == first.values.tobytes()

    def test_a_short_sweep_compiles_one_width_and_trusts_it(self, monkeypatch):
        made = []
        monkeypatch.setattr(width, "executable", lambda *x: made.append(x[0]) or executable(*x))
        out = run(lanes="auto", trials=2000)
        assert [p.lanes for p in made] == [out.info["lanes"]]

    def test_lanes_that_may_end_apart_are_filled_several_times(self):
        stop = {"stop": rv.GradNorm(1e-3) | rv.Diverged()}
        assert run(lanes="auto", trials=400, **stop).info["lanes"] <= 400 // 8

    @pytest.mark.parametrize(
        ("seconds", "want"),
        [
            ({16: 1.0, 64: 0.5, 256: 0.49}, 64),  # not worth it
            ({16: 0.51, 64: 0.5, 256: 0.49}, 16),
            ({16: 3.0, 64: 2.0, 256: 1.0}, 256),
        ],
    )
    def test_the_fastest_wins_and_ties_go_to_the_narrow(self, monkeypatch, seconds, want):
        self.pretend(monkeypatch, lambda p: seconds[p])
        assert self.search(10**6) == want
        assert self.search(1) == 64  # too short to look for another

    def test_no_wider_than_memory_allows(self, monkeypatch):
        self.pretend(monkeypatch, lambda p: 1 / p, memory=lambda p: 10 * p)
        monkeypatch.setattr(width, "free_memory", lambda _: 700)
        assert self.search(10**6) == 64
        assert self.search(10**6, sets=4) == 16

    def pretend(self, monkeypatch, seconds, memory=lambda _: 0):
        class Compiled:
            def __init__(self, lanes, *_):
                self.lanes = lanes

            def get(self):
                return self.lanes, 1.0

        monkeypatch.setattr(width, "step_bytes", lambda *_: 2**14)
        monkeypatch.setattr(width, "executable", Compiled)
        monkeypatch.setattr(width, "memory", memory)
        monkeypatch.setattr(width, "_seconds_a_lane_step", lambda _, p, *rest: seconds(p))

    def search(self, lane_steps, sets=1):
        return width._search(lambda n: (n, None), 10**4, lane_steps, jax.devices()[0], sets)

    @pytest.mark.parametrize("lanes", ["best", 0, -1, 1.5, True])
    def test_other_widths_are_refused(self, lanes):
        with pytest.raises((TypeError, ValueError), match="lanes must be"):
            run(lanes=lanes)


class Tight:
    """An executable on a device with room for six lanes."""

    pace = np.inf

    def __init__(self, program, *rest):
        self.lanes, self.made = program.lanes, executable(program, *rest)

    def get(self):
        run, seconds = self.made.get()

        def tried(*args):
            if self.lanes > 6:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return run(*args)

        return tried, seconds


def test_half_as_many_lanes_where_memory_runs_out(monkeypatch):
    want = run(lanes=4)
    monkeypatch.setattr(workers, "executable", Tight)
    out = run()
    assert out.info["lanes"] == 4
    assert out.values.tobytes() == want.values.tobytes()
    assert np.array_equal(out.kept_ids, want.kept_ids)


def test_other_errors_of_the_device_are_passed_on(monkeypatch):
    def fails(*args):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    monkeypatch.setattr(workers, "executable", fails)
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        run()


def test_a_callback_sees_how_far_it_is_and_may_end_it():
    seen = []
    out = run(callback=seen.append)
    assert out.info["complete"]
    assert seen[-1].finished == seen[-1].trials == 40
    assert seen[-1].best == out.best.value
    out = run(trials=100_000, steps=200, callback=lambda p: p.finished > 0, keep=1)
    assert not out.info["complete"]
    assert 0 < np.sum(out.status == rv.Status.MAX_STEPS) < 100_000
    with pytest.raises(TypeError, match="callback must be"):
        run(callback=3)


def test_scores_over_seeds():
    def start(key):
        return jax.random.normal(key, (3,))

    out = rv.sweep(bowl, start, rv.SGD(rv.Grid([0.1, 0.4, 2.0])), steps=200, seeds=4)
    table = out.over_seeds()
    scores = out.values.reshape(3, 4)
    np.testing.assert_allclose(table["mean"][:2], scores[:2].mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(table["std"][:2], scores[:2].std(axis=1), rtol=1e-5)
    assert np.isnan(table["mean"][2])
    assert table["ended_well"].tolist() == [4, 4, 0]
    assert table["first_trial"].tolist() == [0, 4, 8]
    assert "mean" in repr(out)
    with pytest.raises(ValueError, match="needs a sweep with seeds"):
        run().over_seeds()
