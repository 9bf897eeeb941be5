"""Pictures: what is drawn, and where, whatever the numbers are like."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.plot.frame import Window, norm_of, running_median, window
from ravine.report.pictures import curves_picture, main_hyperparameter, rate_picture

matplotlib = pytest.importorskip("matplotlib")
from matplotlib.collections import LineCollection, PathCollection  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

TRIALS, STEPS = 12, 10


def bowl(x):
    return jnp.sum(x**2)


@pytest.fixture(scope="module")
def results():
    """Two optimizers, twelve trials each; the greatest learning rates of the first diverge."""
    optimizers = {
        "sgd": rv.SGD(rv.LogGrid(1e-3, 1e12, TRIALS)),
        "adam": rv.Adam(rv.LogGrid(1e-3, 1.0, TRIALS), b1=0.8),
    }
    return rv.sweep(bowl, jnp.ones(2), optimizers, steps=STEPS, lanes=8, keep="all")


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


def points(ax):
    """The positions of all the markers, apart from the empty ones of the legend."""
    sets = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    return np.concatenate([np.asarray(s).reshape(-1, 2) for s in sets])


def draw(ax):
    ax.figure.canvas.draw()


def test_the_package_offers_the_pictures():
    assert rv.plot.learning_rate is not None
    assert rv.plot.curves is not None


def test_every_trial_is_somewhere(results, ax):
    rv.plot.learning_rate(results, ax=ax)
    draw(ax)
    diverged = np.array([str(s) == "diverged" for s in results.status])
    assert 0 < diverged.sum() < TRIALS
    rates = results.hyperparameters["learning_rate"]
    # A ring a best trial, a marker a trial.
    assert len(points(ax)) == len(results) + 2
    np.testing.assert_allclose(np.unique(points(ax)[:, 0]), np.unique(rates), rtol=1e-6)
    low, high = ax.get_xlim()
    assert low < rates.min()
    assert high > rates.max()


def test_axes_are_logarithmic_and_labelled(results, ax):
    assert rv.plot.learning_rate(results, ax=ax) is ax
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "final loss")
    labels = ax.get_legend_handles_labels()[1]
    assert [label.partition("\n")[0] for label in labels] == ["sgd", "adam"]
    best = results.best
    assert f"best {best.value:.3g}" in labels[["sgd", "adam"].index(best.name)]


def test_optimizers_differ_in_colour_and_in_marker(results, ax):
    rv.plot.learning_rate(results, ax=ax)
    handles = ax.get_legend_handles_labels()[0]
    assert len({tuple(h.get_facecolor()[0]) for h in handles}) == 2
    assert len({h.get_paths()[0].vertices.shape for h in handles}) == 2


def test_diverged_trials_stand_in_a_band_above_the_axes(results, ax):
    rv.plot.learning_rate(results, ax=ax)
    assert [t.get_text() for t in ax.texts] == ["diverged\noff scale"]
    band = [c for c in ax.collections if c.get_transform() is not None and not c.get_clip_on()]
    heights = np.concatenate([np.asarray(c.get_offsets())[:, 1] for c in band])
    assert len(heights) >= sum(str(s) == "diverged" for s in results.status)
    assert np.all((heights > 1.0) & (heights < 1.3))


def test_without_diverged_trials_there_is_no_band(results, ax):
    fine = replace(results, values=np.ones(len(results)), status=results.status[-1:].repeat(24))
    rv.plot.learning_rate(fine, ax=ax)
    assert not ax.texts
    assert all(c.get_clip_on() for c in ax.collections)


@pytest.mark.parametrize("strange", [np.inf, -np.inf, np.nan, 1e30])
def test_a_strange_loss_stretches_no_axis(results, ax, strange):
    values = np.full(len(results), 0.5, np.float32)
    values[:4] = 0.1, 1.5, strange, strange
    status = results.status[-1:].repeat(len(results))
    rv.plot.learning_rate(replace(results, values=values, status=status), ax=ax)
    draw(ax)
    low, high = ax.get_ylim()
    assert 0.05 < low < 0.1
    assert 1.5 < high < 3.0
    assert len(points(ax)) == len(results) + 2
    assert ax.texts[0].get_text() == ("off scale" if strange == 1e30 else "diverged")


def test_other_numbers_can_be_drawn(results, ax):
    y = np.linspace(0.2, 0.9, len(results))
    y[3] = np.nan
    rv.plot.learning_rate(results, y=y, ax=ax)
    assert ax.get_ylabel() == ""
    low, high = ax.get_ylim()
    assert low < 0.2
    assert 0.9 < high < 1.2


def test_a_loss_of_zero_is_drawn_at_the_lower_edge(results, ax):
    values = np.linspace(0.0, 1.0, len(results))
    status = results.status[-1:].repeat(len(results))
    rv.plot.learning_rate(replace(results, values=values, status=status), ax=ax)
    draw(ax)
    assert ax.get_yscale() == "log"
    assert points(ax)[:, 1].min() >= ax.get_ylim()[0] > 0
    assert len(points(ax)) == len(results) + 2


def test_negative_losses_have_a_linear_axis(results, ax):
    values = np.linspace(-2.0, 1.0, len(results))
    values[0] = -1e30
    status = results.status[-1:].repeat(len(results))
    rv.plot.learning_rate(replace(results, values=values, status=status), ax=ax)
    draw(ax)
    assert ax.get_yscale() == "linear"
    assert -5 < ax.get_ylim()[0] < -1.5


def test_trials_that_never_ran_are_not_drawn(results, ax):
    status = results.status.copy()
    status[TRIALS:] = rv.Status.RUNNING
    values = results.values.copy()
    values[TRIALS:] = np.nan
    rv.plot.learning_rate(replace(results, status=status, values=values), ax=ax)
    assert len(points(ax)) == TRIALS + 1


def test_another_hyperparameter_fixed_or_varied(results, ax):
    rv.plot.learning_rate(results, x="b1", ax=ax)
    assert ax.get_xlabel() == "b1"
    assert set(np.round(points(ax)[:, 0], 6)) == {0.8}
    with pytest.raises(ValueError, match=r"no hyperparameter 'b3'.*learning_rate"):
        rv.plot.learning_rate(results, x="b3", ax=ax)


def test_wrong_lengths_are_refused(results, ax):
    with pytest.raises(ValueError, match=r"shape \(24,\); got \(3,\)"):
        rv.plot.learning_rate(results, y=[1.0, 2.0, 3.0], ax=ax)


def pruned(results, ids):
    """``results`` with some trials given up after 4 steps, and nothing diverged."""
    status = results.status[-1:].repeat(len(results))
    status[ids] = rv.Status.PRUNED
    steps = np.full(len(results), STEPS)
    steps[ids] = 4
    history = np.tile(np.geomspace(1.0, 0.1, results.history.shape[1]), (len(results), 1))
    history[np.ix_(ids, results.history_steps > 4)] = np.nan
    values = np.linspace(0.1, 0.9, len(results))
    return replace(results, status=status, steps=steps, history=history, values=values)


def test_pruned_trials_are_hollow(results, ax):
    rv.plot.learning_rate(pruned(results, [1, 2, 14]), ax=ax)
    draw(ax)
    assert not ax.texts, "nothing diverged"
    hollow = [c for c in ax.collections if len(c.get_offsets()) and not len(c.get_facecolor())]
    assert [len(c.get_offsets()) for c in hollow] == [2, 1]
    heights = np.concatenate([c.get_offsets()[:, 1] for c in hollow])
    np.testing.assert_allclose(heights, np.linspace(0.1, 0.9, 24)[[1, 2, 14]])
    assert len(points(ax)) == len(results) + 2
    assert ax.get_legend_handles_labels()[1][-1] == "pruned"
    # Each is outlined in its optimizer's colour, with its optimizer's marker.
    handles = ax.get_legend_handles_labels()[0]
    for drawn, handle in zip(hollow, handles, strict=False):
        np.testing.assert_allclose(drawn.get_edgecolor()[0, :3], handle.get_facecolor()[0, :3])


def test_seeds_that_were_pruned_leave_the_median_to_the_others(ax):
    rates = rv.Grid([0.1, 0.2])
    results = rv.sweep(bowl, lambda key: jnp.ones(2), rv.SGD(rates), steps=STEPS, seeds=4, lanes=4)
    status = results.status.copy()
    status[[0, 4, 5, 6, 7]] = rv.Status.PRUNED
    values = np.arange(1.0, 9.0)
    rv.plot.learning_rate(replace(results, status=status, values=values), ax=ax)
    np.testing.assert_allclose(points(ax)[:2, 1], [3.0, 6.5])
    hollow = [c for c in ax.collections if isinstance(c, PathCollection)][1]
    assert not len(hollow.get_facecolor())


def test_a_pruned_curve_ends_in_a_ring(results, ax):
    rv.plot.curves(pruned(results, [1, 2, 14]), colorbar=False, ax=ax)
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    ends = np.array([s[-1] for s in lines.get_segments()])
    crosses, rings = ax.collections[1:]
    assert len(crosses.get_offsets()) == 0
    np.testing.assert_allclose(rings.get_offsets(), ends[ends[:, 0] == 4])
    assert len(rings.get_offsets()) == 3
    assert not len(rings.get_facecolor())


def test_seeds_show_their_median_and_their_spread(ax):
    rates = rv.Grid([0.1, 0.2, 0.3])

    def start(key):
        return 1.0 + jnp.arange(2.0) * 0

    results = rv.sweep(bowl, start, rv.SGD(rates), steps=2, seeds=4, lanes=4)
    values = np.arange(1.0, 13.0)
    values[-1] = np.nan
    rv.plot.learning_rate(replace(results, values=values), ax=ax)
    medians = points(ax)[:3]
    np.testing.assert_allclose(medians[:, 0], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(medians[:, 1], [2.5, 6.5, 10.0])
    lines = next(c for c in ax.collections if isinstance(c, LineCollection))
    ends = [(s[0][1], s[1][1]) for s in lines.get_segments()]
    assert ends == [(1.0, 4.0), (5.0, 8.0), (9.0, 11.0)]


def test_many_trials_are_small_pale_and_rasterized(results, ax):
    many = 4000
    grown = replace(
        results,
        values=np.geomspace(0.01, 1.0, many),
        status=results.status[-1:].repeat(many),
        names=results.names[:1].repeat(many),
        steps=results.steps[-1:].repeat(many),
        history=results.history[-1:].repeat(many, 0),
        hyperparameters={"learning_rate": np.geomspace(1e-4, 1.0, many)},
    )
    rv.plot.learning_rate(grown, ax=ax)
    cloud = max(ax.collections, key=lambda c: len(c.get_offsets()))
    assert cloud.get_rasterized()
    assert cloud.get_alpha() < 0.4
    assert cloud.get_sizes()[0] < 10


def test_a_single_trial_is_drawn(ax):
    results = rv.sweep(bowl, jnp.ones(2), rv.SGD(rv.Grid([0.1])), steps=STEPS, lanes=1)
    rv.plot.learning_rate(results, ax=ax)
    draw(ax)
    rv.plot.curves(results, ax=Figure(layout="constrained").add_subplot())


def test_nothing_but_divergence_is_drawn(results, ax):
    status = np.array([rv.Status.DIVERGED] * len(results), dtype=object)
    values = np.full(len(results), np.inf)
    history = np.full_like(results.history, np.nan)
    lost = replace(results, values=values, status=status, history=history)
    rv.plot.learning_rate(lost, ax=ax)
    draw(ax)
    other = Figure(layout="constrained").add_subplot()
    rv.plot.curves(lost, ax=other)
    draw(other)
    assert np.all(np.isfinite([*ax.get_ylim(), *other.get_ylim()]))


def test_curves_are_one_collection_with_a_colour_bar(results, ax):
    rv.plot.curves(results, ax=ax)
    draw(ax)
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(lines) == 1
    assert len(lines[0].get_segments()) == len(results)
    assert len(ax.figure.axes) == 2
    assert ax.figure.axes[1].get_ylabel() == "learning rate"
    assert ax.get_yscale() == "log"
    assert ax.get_xlim() == (0, STEPS)
    assert ax.get_ylim()[1] < 100


def test_curves_of_one_optimizer_and_at_most_so_many(results, ax):
    rv.plot.curves(results, name="adam", most=5, colorbar=False, ax=ax)
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    mine = results.names == "adam"
    best = results.history[mine][np.argmin(results.values[mine])]
    assert 5 <= len(lines.get_segments()) <= 6
    # The best lies in front.
    np.testing.assert_allclose(lines.get_segments()[-1][:, 1], best, rtol=1e-6)
    assert len(ax.figure.axes) == 1


def test_a_curve_that_diverges_leaves_through_the_top(results, ax):
    rv.plot.curves(results, name="sgd", colorbar=False, ax=ax)
    crosses = ax.collections[1]
    count = sum(str(s) == "diverged" for s in results.status)
    assert len(crosses.get_offsets()) == count
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    gone = [s for s in lines.get_segments() if s[-1, 1] > ax.get_ylim()[1]]
    assert len(gone) >= count


def test_curves_need_a_history_and_an_optimizer_that_is_there(results, ax):
    with pytest.raises(ValueError, match="record_every=0"):
        rv.plot.curves(replace(results, history=np.zeros((24, 0))), ax=ax)
    with pytest.raises(ValueError, match="no optimizer 'adma'"):
        rv.plot.curves(results, name="adma", ax=ax)


def test_windows():
    assert window(np.array([1.0, 10.0])) == Window(1.0, 10.0, True)
    assert window(np.array([])) == Window(0.1, 1.0, True)
    assert window(np.array([np.nan, np.inf])) == Window(0.1, 1.0, True)
    assert window(np.array([5.0])).low < 5.0 < window(np.array([5.0])).high
    assert window(np.array([0.0, 1.0, 2.0])) == Window(0.1, 2.0, True)
    assert window(np.array([0.0, -1.0])) == Window(-1.0, 0.0, False)
    assert window(np.array([0.0, 0.0])).high > 0
    flat = window(np.array([-3.0]))
    assert flat.low < -3.0 < flat.high
    assert window(np.array([1e-3, 1.0, 50.0]), np.array([2.0])).high == 1.0


def test_the_running_median_ignores_what_is_missing():
    rows = np.array([[1.0, 100.0, 2.0, 3.0, np.nan], [np.nan] * 5])
    smooth = running_median(rows, 3)
    np.testing.assert_array_equal(smooth[0], [50.5, 2.0, 3.0, 2.5, np.nan])
    assert np.all(np.isnan(smooth[1]))
    np.testing.assert_array_equal(running_median(rows, 1), rows)


@pytest.mark.parametrize("x", [[0.1, 1.0], [0.5], [-1.0, 2.0], [np.nan]])
def test_colour_scales(x):
    shade = norm_of(np.array(x))(np.array([x[0]]))
    assert np.all((np.asarray(shade) >= 0) & (np.asarray(shade) <= 1)) or np.isnan(x[0])


def test_files_are_pictures_of_moderate_size(results, tmp_path):
    from PIL import Image

    assert main_hyperparameter(results) == "learning_rate"
    rate_picture(tmp_path / "a.png", results, "learning_rate", None, "final loss", "bowl")
    curves_picture(tmp_path / "b.png", results, "learning_rate", "bowl", 3)
    for name in ("a.png", "b.png"):
        assert (tmp_path / name).stat().st_size < 300_000
        with Image.open(tmp_path / name) as image:
            assert image.size[0] > 800
            assert len(image.convert("RGB").getcolors(2**24) or []) > 20
