"""The picture of the lanes: every trial's bar is where and when the trial was."""

from dataclasses import replace
from time import perf_counter

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.plot.placement import SHADES, blocks
from ravine.report.pictures import lanes_picture

pytest.importorskip("matplotlib")
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure


def bowl(x):
    return jnp.sum(x**2)


@pytest.fixture(scope="module")
def results():
    """One optimizer on two workers of three lanes; some trials converge, some diverge."""
    optimizer = rv.SGD(rv.LogGrid(1e-3, 1e3, 24))
    stop = rv.Target(1e-6) | rv.Diverged()
    return rv.sweep(bowl, jnp.ones(2), optimizer, steps=150, stop=stop, lanes=3, workers=2)


@pytest.fixture(scope="module")
def several():
    """Two optimizers, whose trials are placed by hand."""
    optimizers = {"sgd": rv.SGD(rv.Grid([0.1, 0.2, 0.3])), "adam": rv.Adam(rv.Grid([0.1, 0.2]))}
    swept = rv.sweep(bowl, jnp.ones(2), optimizers, steps=3, trials=3, workers=1)
    placement = {
        "worker": [0, 0, 2, 0, 0, 0],
        "lane": [0, 1, 0, 0, 0, 1],
        "first": [0, 0, 0, 0, 4, 1],
        "last": [2, 5, 1, 3, 9, 1],
    }
    return replace(swept, placement={k: np.array(v, np.int32) for k, v in placement.items()})


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


def bars(ax):
    """The corners of the bars by the words of the legend; without the frames of the workers."""
    drawn = [c for c in ax.collections if isinstance(c, PolyCollection)]
    named = [c for c in drawn if not c.get_label().startswith("_")]
    return {
        c.get_label(): np.array([[*p.vertices.min(0), *p.vertices.max(0)] for p in c.get_paths()])
        for c in named
    }


def test_a_bar_a_trial_from_its_first_segment_to_its_last(results, ax):
    assert rv.plot.lanes(results, ax) is ax
    ax.figure.canvas.draw()
    drawn = np.concatenate(list(bars(ax).values()))
    assert len(drawn) == len(results)
    placed, gap = results.placement, blocks(results)[1].top - 3
    rows = placed["lane"] + placed["worker"] * (3 + gap)
    expected = np.column_stack([placed["first"], rows, placed["last"] + 1, rows + 1])
    np.testing.assert_allclose(np.unique(drawn, axis=0), np.unique(expected, axis=0))
    assert gap >= 1
    assert ax.get_xlim() == (0, placed["last"].max() + 1)
    low, high = ax.get_ylim()
    assert low == rows.max() + 1
    assert high == 0


def test_bars_do_not_overlap(results, ax):
    rv.plot.lanes(results, ax)
    drawn = np.concatenate(list(bars(ax).values()))
    for row in np.unique(drawn[:, 1]):
        mine = drawn[drawn[:, 1] == row]
        mine = mine[np.argsort(mine[:, 0])]
        assert np.all(mine[1:, 0] >= mine[:-1, 2])


def test_colours_tell_how_trials_ended(results, ax):
    rv.plot.lanes(results, ax)
    words = [str(s) for s in results.status]
    counts = {word: words.count(word) for word in ("converged", "max_steps", "diverged")}
    assert all(counts.values())
    assert list(bars(ax)) == [f"{k.replace('_', ' ')} ({n})" for k, n in counts.items()]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(bars(ax))
    assert [len(b) for b in bars(ax).values()] == list(counts.values())
    # Colours of a kind in colour are not of a kind in grey.
    assert set(SHADES) == set(rv.Status)
    usual = [np.array(to_rgb(c)) for status, c in SHADES.items() if status != "failed"]
    grey = np.sort([np.dot(c, [0.3, 0.59, 0.11]) for c in usual])
    assert np.all(np.diff(grey) > 0.1)


def test_labels_and_occupancy(results, ax):
    rv.plot.lanes(results, ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["worker 0", "worker 1"]
    assert ax.get_xlabel() == "segment"
    assert ax.get_title() == f"occupancy {100 * results.occupancy:.3g}%"


def test_each_optimizer_has_rows_of_its_own(several, ax):
    rv.plot.lanes(several, ax)
    labels = ["sgd, worker 0", "sgd, worker 2", "adam, worker 0"]
    assert [t.get_text() for t in ax.get_yticklabels()] == labels
    frames = blocks(several)
    assert [f.ids.tolist() for f in frames] == [[0, 1], [2], [3, 4, 5]]
    assert [(f.lanes, f.end) for f in frames] == [(2, 6), (2, 2), (2, 10)]
    within, between = frames[1].top - frames[0].bottom, frames[2].top - frames[1].bottom
    assert 0 < within < between
    (drawn,) = bars(ax).values()
    top = frames[2].top
    expected = [[0, top, 4, top + 1], [4, top, 10, top + 1], [1, top + 1, 2, top + 2]]
    np.testing.assert_allclose(drawn[3:], expected)
    assert "anew" in ax.get_xlabel()


def test_lanes_that_stood_idle_have_room(ax):
    results = rv.sweep(bowl, jnp.ones(2), rv.SGD(rv.Grid([0.1])), steps=3, lanes=5, workers=1)
    rv.plot.lanes(results, ax)
    assert ax.get_ylim() == (5, 0)


def test_trials_that_never_began_are_not_drawn(results, ax):
    placement = {k: v.copy() for k, v in results.placement.items()}
    for column in placement.values():
        column[5:] = -1
    status = results.status.copy()
    status[5:] = rv.Status.RUNNING
    rv.plot.lanes(replace(results, placement=placement, status=status), ax)
    assert sum(map(len, bars(ax).values())) == 5
    assert ax.get_title().endswith(f"{len(results) - 5} trials never began")
    # One that had begun when the sweep was interrupted is drawn.
    other = Figure().add_subplot()
    rv.plot.lanes(replace(results, status=status), other)
    assert len(bars(other)[f"running ({len(results) - 5})"]) == len(results) - 5


@pytest.mark.parametrize("count", [0, 3])
def test_where_nothing_began_the_picture_is_empty(results, ax, tmp_path, count):
    nothing = replace(
        results,
        values=results.values[:count],
        names=results.names[:count],
        status=np.array([rv.Status.RUNNING] * count, dtype=object),
        placement={k: np.full(count, -1, np.int32) for k in results.placement},
    )
    rv.plot.lanes(nothing, ax)
    ax.figure.canvas.draw()
    assert not bars(ax)
    lanes_picture(tmp_path / "lanes.png", nothing, "nothing")
    assert (tmp_path / "lanes.png").exists()


def test_results_without_a_placement_are_refused(results, ax):
    with pytest.raises(ValueError, match=r"lacks lane, first, last.*run the sweep again"):
        rv.plot.lanes(replace(results, placement={"worker": results.placement["worker"]}), ax)
    with pytest.raises(ValueError, match="lacks worker"):
        rv.plot.lanes(replace(results, placement={}), ax)


def test_a_loaded_result_can_be_drawn(results, ax, tmp_path):
    results.save(tmp_path / "results.npz")
    rv.plot.lanes(results, ax)
    other = Figure().add_subplot()
    rv.plot.lanes(rv.load(tmp_path / "results.npz"), other)
    for label, drawn in bars(ax).items():
        np.testing.assert_array_equal(bars(other)[label], drawn)


def test_many_trials_are_a_few_collections_quickly_drawn(results, ax, tmp_path):
    many = 20_000
    ids = np.arange(many, dtype=np.int32)
    status = np.array([rv.Status.PRUNED, rv.Status.MAX_STEPS], dtype=object)[ids % 2]
    placement = {"worker": ids % 2, "lane": ids // 2 % 32, "first": ids // 64, "last": ids // 64}
    grown = replace(
        results,
        values=np.ones(many),
        status=status,
        names=results.names[:1].repeat(many),
        placement=placement,
    )
    began = perf_counter()
    rv.plot.lanes(grown, ax)
    ax.figure.canvas.draw()
    assert perf_counter() - began < 10.0  # about one second on a machine that is not busy
    assert [len(b) for b in bars(ax).values()] == [many // 2, many // 2]
    assert len(ax.collections) == 3
    assert all(c.get_rasterized() for c in ax.collections[:2])
    lanes_picture(tmp_path / "lanes.png", grown, "many")
    assert (tmp_path / "lanes.png").stat().st_size < 300_000
