"""Pictures of losses of one and two parameters, with paths; still and moving."""

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv

pytest.importorskip("matplotlib")
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

X, Y = (-4.0, 4.0), (-2.0, 2.0)
PATH = np.array([[-3.0, 1.0], [-2.0, 0.5], [-1.0, 0.2], [np.nan, np.nan]])


def bowl(x):
    return x[0] ** 2 + 10 * x[1] ** 2


@pytest.fixture
def ax():
    return Figure(figsize=(4, 3), dpi=60, layout="constrained").add_subplot()


def paths_of(ax):
    return [c for c in ax.collections if isinstance(c, LineCollection)]


def test_a_path_on_a_map(ax):
    assert rv.plot.contour(bowl, X, Y, {"one": PATH}, minima=[(0, 0)], points=41, ax=ax) is ax
    ax.figure.canvas.draw()
    (drawn,) = paths_of(ax)
    np.testing.assert_array_equal(drawn.get_segments()[0], PATH[:3])
    assert (ax.get_xlim(), ax.get_ylim()) == (X, Y)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one"]
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_many_paths_are_a_pale_cloud(ax):
    many = np.random.default_rng(0).normal(size=(500, 7, 2))
    rv.plot.contour(bowl, X, Y, {"cloud": many}, points=21, ax=ax)
    (drawn,) = paths_of(ax)
    assert len(drawn.get_segments()) == 500
    assert drawn.get_rasterized()
    assert drawn.get_alpha() <= 0.05
    assert ax.get_legend().get_texts()[0].get_text() == "cloud (500)"


@pytest.mark.parametrize(
    "loss",
    [lambda x: jnp.sum(x) * 0, lambda x: x[1] ** 2 - x[0] ** 2, lambda x: jnp.log(x[0]) + x[1]],
    ids=["flat", "saddle", "partly NaN"],
)
def test_maps_of_any_loss(ax, loss):
    rv.plot.contour(loss, X, Y, points=21, ax=ax)
    ax.figure.canvas.draw()


def test_wrong_paths_are_refused(ax):
    with pytest.raises(ValueError, match=r"paths\['one'\] must be of shape \(T, 2\), got \(4,\)"):
        rv.plot.contour(bowl, X, Y, {"one": np.zeros(4)}, points=5, ax=ax)
    with pytest.raises(ValueError, match="finite nowhere"):
        rv.plot.contour(lambda x: jnp.nan * x[0], X, Y, points=5, ax=ax)
    with pytest.raises(ValueError, match=r"iterates\['one'\] must be of shape \(T,\)"):
        rv.plot.line(lambda x: x**2, X, {"one": PATH}, ax=ax)


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_surface_with_a_path_upon_it(logarithmic):
    ax = Figure(figsize=(4, 3), dpi=60).add_subplot(projection="3d")
    rv.plot.surface(bowl, X, Y, {"one": PATH}, logarithmic=logarithmic, points=15, ax=ax)
    ax.figure.canvas.draw()
    heights = ax.lines[0].get_data_3d()[2]
    expected = [19.0, 6.5, 1.4]
    if logarithmic:
        assert np.all(np.diff(heights) < 0)
    else:
        np.testing.assert_allclose(heights, expected, rtol=1e-5)
    assert ax.get_zlabel() == ("log₁₀ loss" if logarithmic else "loss")


def test_a_surface_needs_space(ax):
    with pytest.raises(ValueError, match='projection="3d"'):
        rv.plot.surface(bowl, X, Y, points=5, ax=ax)


def test_a_curve_with_iterates(ax):
    found = {"a": np.array([3.0, 1.0, np.nan]), "b": np.array([-3.0, 2.0])}
    rv.plot.line(lambda x: x**2, X, found, ax=ax)
    ax.figure.canvas.draw()
    curve, a, b = ax.lines
    np.testing.assert_allclose(a.get_ydata(), [9.0, 1.0])
    assert (a.get_linestyle(), a.get_marker()) != (b.get_linestyle(), b.get_marker())
    assert len(curve.get_xdata()) > 100


def frames_of(path):
    with Image.open(path) as film:
        return film.n_frames


def test_trajectories_move(ax, tmp_path):
    file = tmp_path / "moving.gif"
    moving = rv.plot.animate_trajectories(
        bowl, X, Y, {"one": PATH, "two": -PATH[:2]}, path=file, fps=5, ax=ax
    )
    assert type(moving).__name__ == "FuncAnimation"
    assert frames_of(file) == 3
    trails = [line for line in ax.lines if line.get_linestyle() != "None"]
    np.testing.assert_array_equal(trails[0].get_xydata(), PATH[:3])
    assert ax.get_title() == "step 2"


def test_a_line_finds_its_data(ax, tmp_path):
    x = np.linspace(0, 4, 20)
    steps = np.linspace([0.0, 0.0], [5.0, 2.0], 30)
    file = tmp_path / "line.gif"
    rv.plot.animate_regression(x, 5 + 2 * x, {"descent": steps}, path=file, seconds=1, fps=4, ax=ax)
    assert frames_of(file) == 4
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_ydata(), 5 + 2 * line.get_xdata())
    assert ax.get_legend().get_texts()[0].get_text() == "descent: y = 5.00 + 2.00 x"


def test_endings_that_cannot_be_written(ax, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"\.gif or \.mp4, got 'film\.avi'"):
        rv.plot.animate_trajectories(bowl, X, Y, {"one": PATH}, path="film.avi", ax=ax)
    from matplotlib.animation import writers

    monkeypatch.setattr(writers, "is_available", lambda name: False)
    with pytest.raises(RuntimeError, match="ffmpeg"):
        rv.plot.animate_trajectories(bowl, X, Y, {"one": PATH}, path="film.mp4", ax=ax)
