"""Metrics and aux: what is measured beside the loss, when, and what follows from it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import Status
from ravine.engine import workers
from ravine.optimizers import SGD

START = np.array([4.0, -2.0], np.float32)
RATES = np.float32([0.002, 0.004, 0.1, 0.16, 0.25, 0.4, 30.0])
STEPS = 20


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0]))


def held_out(x):
    """Another goal than the loss has."""
    return jnp.sum((x - jnp.asarray([3.0, -1.0])) ** 2)


sweep = partial(
    rv.sweep, bowl, START, SGD(rv.Grid(RATES)), steps=STEPS, stop=rv.GradNorm(0.25) | rv.Diverged(),
    lanes=3, workers=1, keep="all", record_every=1,
)  # fmt: skip


def path(rate):
    """The points of gradient descent, by hand."""
    x, points = START, [START]
    for _ in range(STEPS):
        x = x - rate * np.float32([2.0, 6.0]) * x
        points.append(x)
    return np.stack(points)


@pytest.fixture
def never_begins(monkeypatch):
    """Ctrl-C before anything is compiled."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "executable", interrupted)


@pytest.fixture(scope="module")
def bare():
    return sweep()


@pytest.fixture(scope="module")
def results():
    return sweep(metric=held_out, metric_every=4)


class TestWhen:
    @pytest.mark.parametrize("every", [1, 4, 7, 23])
    def test_at_the_multiples_and_at_the_end(self, every, bare):
        out = sweep(metric=held_out, metric_every=every)
        steps = list(range(every, STEPS + 1, every))
        assert out.metric_steps.tolist() == steps
        assert out.metric_history.shape == (len(RATES), len(steps))
        close = dict(rtol=1e-4, atol=1e-5)
        for i, rate in enumerate(RATES[:-1]):
            points = path(rate)
            want = [held_out(points[t]) if t <= out.steps[i] else np.nan for t in steps]
            np.testing.assert_allclose(out.metric_history[i], want, **close)
            np.testing.assert_allclose(out.metrics[i], held_out(points[out.steps[i]]), **close)
        np.testing.assert_allclose(out.metrics, jax.vmap(held_out)(out.params), rtol=1e-6)
        assert len({*out.steps} - {STEPS}) > 2  # some end between two multiples
        # The loss has no part in it.
        for name in ("values", "best_values", "steps", "history", "params"):
            got, want = getattr(out, name), getattr(bare, name)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-30)
            # A loop of a single step is compiled another way.
            assert every == 1 or got.tobytes() == want.tobytes(), name
        assert out.status.tolist() == bare.status.tolist()

    def test_without_a_metric_there_is_none(self, bare):
        assert bare.metrics is None
        assert bare.metric_history.shape == (len(RATES), 0)
        assert bare.metric_steps.size == 0
        assert bare[0].metric is None
        assert "metric" not in bare.columns()
        np.testing.assert_array_equal(bare.scores, bare.values)

    @pytest.mark.parametrize(
        ("prune", "steps", "want"),
        [
            (rv.MedianPruning(every=5), 20, [5, 10, 15, 20]),
            (None, 20, range(1, 21)),
            (None, 100, range(5, 101, 5)),
            (None, 3, [1, 2, 3]),
            (None, 0, []),
        ],
    )
    @pytest.mark.usefixtures("never_begins")
    def test_by_default(self, prune, steps, want):
        out = rv.sweep(bowl, START, SGD(0.1), steps=steps, prune=prune, metric=held_out)
        assert out.metric_steps.tolist() == list(want)


class TestUse:
    def test_the_ranking_goes_by_the_metric(self, results, bare):
        well = [t for t in results if t.status != Status.DIVERGED]
        ranked = [t.id for t in sorted(well, key=lambda t: (t.metric, t.id))]
        assert results.ranking.tolist() == ranked
        assert results.best.id == ranked[0]
        assert [t.id for t in results.top(3)] == ranked[:3]
        assert ranked != bare.ranking.tolist()
        assert results.status[-1] == Status.DIVERGED
        assert results.best.metric == results.metrics.min(where=results.metrics > 0, initial=9e9)
        np.testing.assert_array_equal(results.scores, results.metrics)

    def test_it_is_shown(self, results):
        pytest.importorskip("pandas")
        _, columns, *rows = repr(results).splitlines()
        names = ["trial", "learning_rate", "metric", "value", "best_value", "steps", "status"]
        assert columns.split() == names == list(results.columns())
        assert [row.split()[0] for row in rows] == [*map(str, results.ranking), "..."]
        np.testing.assert_array_equal(results.to_pandas()["metric"], results.metrics)
        assert f"metric={results[2].metric}" in repr(results[2])

    def test_it_is_saved(self, results, tmp_path):
        results.save(tmp_path / "out")
        again = rv.load(tmp_path / "out.npz")
        for name in ("metrics", "metric_history", "metric_steps", "scores", "ranking"):
            np.testing.assert_array_equal(getattr(again, name), getattr(results, name))
        assert again.best.id == results.best.id
        assert again.aux == ()

    def test_the_best_by_metric_are_kept(self, results, bare):
        out = sweep(metric=held_out, metric_every=4, keep="best")
        assert out.kept_ids.tolist() == results.ranking[:1].tolist() != bare.ranking[:1].tolist()
        np.testing.assert_array_equal(out.params, results.params[out.kept_ids])
        np.testing.assert_array_equal(out.best.params, results.params[results.best.id])

    def test_a_trial_without_a_finite_metric_is_not_ranked(self):
        def root(x):
            return jnp.sqrt(x[0] - 3)

        out = sweep(metric=root, metric_every=4, keep=7)
        lost = ~np.isfinite(out.metrics)
        assert 0 < lost.sum() < len(RATES) - 1
        assert set(out.ranking) == set(np.flatnonzero(~lost)) == set(out.kept_ids)


@pytest.fixture
def nothing_compiles(monkeypatch):
    monkeypatch.setattr(workers, "executable", lambda *_: pytest.fail("it was compiled"))


@pytest.mark.usefixtures("nothing_compiles")
class TestDoor:
    @pytest.mark.parametrize(
        ("metric", "text"),
        [
            (lambda x: x, r"metric\(params\) must return a real scalar array, got float32\[2\]"),
            (lambda x: x[:1], r"got float32\[1\]"),
            (lambda x: jnp.sum(x).astype(jnp.complex64), r"got complex64\[\]"),
            (lambda x: jnp.argmax(x), r"got int32\[\]"),
            (lambda x: x[0] > 0, r"got bool\[\]"),
            (lambda x: (jnp.sum(x), x), r"got \(float32\[\], float32\[2\]\)"),
            (lambda x: None, "got None"),
            (lambda x: 1.0, "got float"),
            (lambda x, y: jnp.sum(x), r"called as metric\(params\), and yours does not take that"),
            (lambda: 0, r"called as metric\(params\)"),
            (3, r"metric must be a function, called as metric\(params\), got 3"),
        ],
    )
    def test_a_wrong_metric_is_refused(self, metric, text):
        with pytest.raises(TypeError, match=text):
            sweep(metric=metric)

    @pytest.mark.parametrize(
        ("every", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
    )
    def test_a_wrong_interval_is_refused(self, every, error):
        with pytest.raises(error, match="metric_every must be"):
            sweep(metric=held_out, metric_every=every)

    def test_an_aux_of_words_is_refused(self):
        with pytest.raises(TypeError, match=r"the aux .* at name is 'bowl'"):
            rv.sweep(
                lambda x: (bowl(x), {"x": x, "name": "bowl"}), START, SGD(0.1), steps=3,
                has_aux=True,
            )  # fmt: skip

    def test_an_aux_has_to_be_said(self):
        with pytest.raises(TypeError, match=r"For \(value, aux\) say has_aux=True"):
            rv.sweep(lambda x: (bowl(x), x), START, SGD(0.1), steps=3)
        with pytest.raises(TypeError, match=r"must return \(value, aux\), got float32"):
            rv.sweep(bowl, START, SGD(0.1), steps=3, has_aux=True)


def with_aux(x):
    return bowl(x), {"size": jnp.sum(jnp.abs(x)), "at": x, "large": jnp.sum(jnp.abs(x) > 0.5)}


run = partial(
    rv.sweep, with_aux, START, SGD(rv.Grid(RATES)), steps=STEPS,
    stop=rv.GradNorm(0.25) | rv.Diverged(), lanes=3, workers=1, keep="all", has_aux=True,
)  # fmt: skip


class TestAux:
    def test_it_is_recorded_with_the_loss(self, bare, tmp_path):
        out = run(record_every=3)
        steps = np.arange(0, STEPS + 1, 3)
        assert out.history_steps.tolist() == steps.tolist()
        np.testing.assert_array_equal(out.values, bare.values)
        np.testing.assert_array_equal(out.history, bare.history[:, steps])
        n, r = len(RATES), len(steps)
        assert {k: (v.shape, v.dtype.kind) for k, v in out.aux.items()} == {
            "size": ((n, r), "f"), "at": ((n, r, 2), "f"), "large": ((n, r), "i")
        }  # fmt: skip
        for i, rate in enumerate(RATES[:-1]):
            seen = steps <= out.steps[i]
            want = path(rate)[steps[seen]]
            np.testing.assert_allclose(out.aux["at"][i, seen], want, rtol=1e-4, atol=1e-5)
            at = out.aux["at"][i]
            np.testing.assert_allclose(out.aux["size"][i], np.abs(at).sum(1), rtol=1e-6)
            np.testing.assert_array_equal(out.aux["large"][i], (np.abs(at) > 0.5).sum(1))
            assert np.isnan(at[~seen]).all()  # so that the count is 0 there
        out.save(tmp_path / "out")
        again = rv.load(tmp_path / "out.npz")
        jax.tree.map(np.testing.assert_array_equal, again.aux, out.aux)

    @pytest.mark.usefixtures("never_begins")
    def test_without_a_history_there_is_no_aux(self):
        assert jax.tree.leaves(run(record_every=0).aux) == []
        assert [x.shape[:2] for x in jax.tree.leaves(run(record_every=50).aux)] == [(7, 1)] * 3
