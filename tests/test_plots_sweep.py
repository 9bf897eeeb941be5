"""Pictures of sweeps: maps, parallel coordinates, importance, steps and profiles."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.plot.frame import is_logarithmic
from ravine.plot.profiles import first_below

pytest.importorskip("matplotlib")
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure


def bowl(x):
    return jnp.sum(jnp.array([1.0, 20.0]) * x**2) / 2


START = jnp.array([3.0, 1.0])


@pytest.fixture(scope="module")
def grid():
    optimizer = rv.SGD(rv.LogGrid(1e-3, 0.4, 8), rv.Grid([0.0, 0.3, 0.6, 0.9]))
    return rv.sweep(bowl, START, optimizer, steps=60, record_every=1)


@pytest.fixture(scope="module")
def drawn():
    optimizer = rv.SGD(rv.LogUniform(1e-3, 0.4), rv.Uniform(0.0, 0.95))
    return rv.sweep(bowl, START, optimizer, trials=400, steps=60, record_every=1)


@pytest.fixture
def ax():
    return Figure(layout="constrained").add_subplot()


def mesh_of(ax):
    return next(c for c in ax.collections if isinstance(c, QuadMesh))


def test_a_grid_is_a_map_with_a_cell_a_point(grid, ax):
    assert rv.plot.heatmap(grid, "learning_rate", "momentum", ax=ax) is ax
    ax.figure.canvas.draw()
    cells = mesh_of(ax).get_array()
    assert cells.shape == (4, 8)
    diverged = np.array([str(s) == "diverged" for s in grid.status])
    assert diverged.any()
    expected = np.full((4, 8), np.nan)
    rows = np.searchsorted([0.0, 0.3, 0.6, 0.9], grid.hyperparameters["momentum"] - 1e-4)
    columns = np.unique(grid.hyperparameters["learning_rate"], return_inverse=True)[1]
    expected[rows, columns] = np.where(diverged, np.nan, grid.values)
    np.testing.assert_array_equal(np.ma.getmaskarray(cells), np.isnan(expected))
    np.testing.assert_allclose(cells.compressed(), expected[~np.isnan(expected)])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "momentum")
    assert ax.figure.axes[1].get_ylabel() == "final loss"
    assert "diverged" in ax.get_title(loc="right")
    ring = ax.collections[-1].get_offsets()[0]
    best = grid.best.hyperparameters
    np.testing.assert_allclose(ring, [best["learning_rate"], best["momentum"]], rtol=1e-6)


def test_random_trials_are_medians_of_cells(drawn, ax):
    values = np.where(np.isfinite(drawn.values), 7.0, np.nan)
    rv.plot.heatmap(drawn, "learning_rate", "momentum", values=values, name="seven", ax=ax)
    cells = mesh_of(ax).get_array()
    assert cells.shape == (11, 11)
    assert set(cells.compressed()) == {7.0}
    assert mesh_of(ax).get_rasterized()
    assert ax.figure.axes[1].get_ylabel() == "seven"
    with pytest.raises(ValueError, match=r"shape \(400,\); got \(2,\)"):
        rv.plot.heatmap(drawn, "learning_rate", "momentum", values=[1.0, 2.0], ax=ax)
    with pytest.raises(ValueError, match="no hyperparameter 'beta'"):
        rv.plot.heatmap(drawn, "learning_rate", "beta", ax=ax)


@pytest.mark.parametrize("count", [0, 1])
def test_a_map_of_next_to_nothing(grid, ax, count):
    status = grid.status.copy()
    status[count:] = rv.Status.RUNNING
    rv.plot.heatmap(replace(grid, status=status), "learning_rate", "momentum", ax=ax)
    ax.figure.canvas.draw()


def test_what_is_spread_evenly_on_which_scale():
    rng = np.random.default_rng(0)
    assert not is_logarithmic(rng.uniform(0, 1, 1000))
    assert is_logarithmic(np.exp(rng.uniform(-7, 0, 1000)))
    assert is_logarithmic(np.array([0.01, 0.1]))
    assert not is_logarithmic(np.array([0.1, 0.2]))
    assert not is_logarithmic(np.array([-1.0, 100.0]))


def test_a_line_a_trial_with_the_best_in_front(drawn, ax):
    rv.plot.parallel_coordinates(drawn, most=100, ax=ax)
    ax.figure.canvas.draw()
    lines = [c for c in ax.collections if isinstance(c, LineCollection) and len(c.get_segments())]
    bad, rest, front = (c for c in lines if c.get_segments()[0].shape == (3, 2))
    assert len(front.get_segments()) == 10
    total = sum(len(c.get_segments()) for c in (bad, rest, front))
    assert 100 <= total <= 101
    # The last line drawn is the best trial, at its places on the axes.
    best = front.get_segments()[-1]
    lowest = min(s[-1, 1] for c in (rest, front) for s in c.get_segments())
    assert best[-1, 1] == lowest
    rates = drawn.hyperparameters["learning_rate"]
    place = np.log(drawn.best.hyperparameters["learning_rate"] / rates.min())
    assert best[0, 1] == pytest.approx(place / np.log(rates.max() / rates.min()), abs=1e-4)
    assert all(s[-1, 1] > 1 for s in bad.get_segments())
    labels = [t.get_text() for t in ax.get_xticklabels()]
    assert labels == ["learning rate", "momentum", "final loss"]


def test_parallel_coordinates_are_of_one_optimizer(ax):
    both = {"a": rv.SGD(rv.Grid([0.1, 0.2])), "b": rv.SGD(rv.Grid([0.3]), 0.5)}
    results = rv.sweep(bowl, START, both, steps=3)
    with pytest.raises(ValueError, match=r"name one of the optimizers: name='a'"):
        rv.plot.parallel_coordinates(results, ax=ax)
    with pytest.raises(ValueError, match="no optimizer 'c'"):
        rv.plot.parallel_coordinates(results, name="c", ax=ax)
    rv.plot.parallel_coordinates(results, name="a", ax=ax)
    ax.figure.canvas.draw()


def test_what_matters_is_found_to_matter(drawn, ax):
    pytest.importorskip("sklearn")
    # Of these numbers the learning rate explains all, and the momentum nothing.
    values = np.log(drawn.hyperparameters["learning_rate"])
    calm = replace(drawn, status=drawn.status[:1].repeat(len(drawn)))
    rv.plot.importance(calm, values=values, repeats=2, ax=ax)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["momentum", "learning rate"]
    least, most = (bar.get_width() for bar in ax.patches)
    assert abs(least) < 0.02 < 1 < most
    assert float(ax.get_title().split("=")[1].split()[0]) > 0.95
    status = calm.status.copy()
    status[3:] = rv.Status.RUNNING
    with pytest.raises(ValueError, match="only 3 trials ended"):
        rv.plot.importance(replace(calm, status=status), ax=ax)


def test_steps_to_tolerance(grid, ax):
    needed = first_below(grid, 1e-3)
    below = grid.history <= 1e-3
    assert np.isfinite(needed).sum() == below.any(axis=1).sum()
    one = int(np.flatnonzero(np.isfinite(needed))[0])
    assert grid.history[one, int(needed[one])] <= 1e-3 < grid.history[one, int(needed[one]) - 1]
    rv.plot.steps_to_tolerance(grid, 1e-3, ax=ax)
    ax.figure.canvas.draw()
    (line,) = ax.lines
    assert line.get_ydata()[-1] == pytest.approx(np.isfinite(needed).mean())
    assert ax.get_xscale() == "log"
    assert "≤ 0.001" in ax.get_ylabel()
    with pytest.raises(ValueError, match="record_every=0"):
        first_below(replace(grid, history=np.zeros((32, 0))), 1e-3)
    assert not np.isfinite(first_below(grid, None)).any(), "nothing had a test to converge by"


def test_performance_profiles(ax):
    costs = {"a": [1.0, 2.0, 4.0, np.inf], "b": [2.0, 1.0, 1.0, np.nan]}
    rv.plot.performance_profile(costs, ax=ax)
    ax.figure.canvas.draw()

    def share(line, tau):
        x, y = line.get_data()
        return y[np.searchsorted(x, tau, "right") - 1]

    a, b = ax.lines
    assert [share(a, tau) for tau in (1.0, 2.0, 4.0)] == [0.25, 0.5, 0.75]
    assert [share(b, tau) for tau in (1.0, 2.0)] == [0.5, 0.75]
    assert a.get_linestyle() != b.get_linestyle()
    with pytest.raises(ValueError, match=r"one cost a problem.*\(2,\)"):
        rv.plot.performance_profile({"a": [1.0], "b": [1.0, 2.0]}, ax=ax)
    with pytest.raises(ValueError, match="positive"):
        rv.plot.performance_profile({"a": [0.0]}, ax=ax)
