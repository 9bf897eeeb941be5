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
    def test_a_width_is_chosen_once_for_a_program(self, monkeypatch):
        monkeypatch.setattr(width, "_MOST", 32)
        monkeypatch.setattr(width, "_FEWEST", 8)
        first = run(lanes="auto")
        assert first.info["lanes"] in (8, 32, 40)  # a quarter, the middle, no more than trials
        monkeypatch.setattr(width, "_timed", pytest.fail)
        assert run(lanes="auto").values.tobytes() == first.values.tobytes()
        assert run(lanes="auto", trials=6).info["lanes"] == 6

    def test_the_fastest_wins_and_ties_go_to_the_narrow(self, monkeypatch):
        for seconds, want in (({16: 1.0, 64: 0.5, 256: 0.49}, 64), ({16: 1, 64: 2, 256: 3}, 16)):
            monkeypatch.setattr(width, "step_bytes", lambda *_: 2**14)
            monkeypatch.setattr(width, "executable", lambda *_: self)
            monkeypatch.setattr(width, "memory", lambda _: 0)
            monkeypatch.setattr(width, "_seconds_a_lane_step", lambda c, p, *_, s=seconds: s[p])
            chosen = width._timed(lambda n: (n, None), jax.devices()[0], 1)
            assert chosen == want

    def get(self):
        return None, 0.0

    def test_no_wider_than_memory_allows(self, monkeypatch):
        monkeypatch.setattr(width, "step_bytes", lambda *_: 2**14)
        monkeypatch.setattr(width, "executable", lambda *_: self)
        monkeypatch.setattr(width, "memory", lambda _: 10)
        monkeypatch.setattr(width, "free_memory", lambda _: 15)
        monkeypatch.setattr(width, "_seconds_a_lane_step", lambda c, p, *_: 1 / p)
        device = jax.devices()[0]
        assert width._timed(lambda n: (n, None), device, 1) == 256
        assert width._timed(lambda n: (n, None), device, 2) == 16

    @pytest.mark.parametrize("lanes", ["best", 0, -1, 1.5, True])
    def test_other_widths_are_refused(self, lanes):
        with pytest.raises((TypeError, ValueError), match="lanes must be"):
            run(lanes=lanes)


class Tight:
    """An executable on a device with room for six lanes."""

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
