"""The gallery: the numbers behind every picture are what theory says."""

import re

import numpy as np
import pytest

from ravine.cli import main
from ravine.gallery import book, heavy_ball, trainability
from ravine.gallery.base import Fact, at_least, at_most, close

pytest.importorskip("matplotlib")

SLOW = {"annealing", "basins", "batches", "edge", "newton", "ravine", "saddle"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in book.NAMES]
)
def test_the_facts_of_every_picture_hold(name):
    picture = book.make(name, quick=True)
    assert len(picture.facts) > 2
    assert not picture.wrong, picture.wrong
    picture.figure.canvas.draw()


@pytest.mark.parametrize("name", book.NAMES)
def test_every_picture_says_what_one_sees_and_where_it_is_from(name):
    title, text = book.text_of(name)
    assert 10 < len(title) < 80
    assert len(text) > 300
    assert "Reference: " in text


def test_facts_can_fail():
    assert close("a", 0.5, 0.5, 0.01).holds
    assert not close("a", 0.52, 0.5, 0.01).holds
    assert not close("a", np.nan, 0.5, 0.01).holds
    assert at_most("a", 1.0, 1.0).holds
    assert not at_most("a", np.inf, 1.0).holds
    assert not at_least("a", np.nan, 1.0).holds


def test_the_fitted_rate_is_that_of_a_known_sequence():
    t = np.arange(300)
    history = np.stack([0.9 ** (2 * t), 0.7 ** (2 * t) * (1.5 + np.cos(0.8 * t))])
    np.testing.assert_allclose(heavy_ball.rates(history), [0.9, 0.7], rtol=2e-3)


def test_momentum_theory_in_the_cases_that_are_known():
    low, high = heavy_ball.CURVATURES
    optimum = 4 / (np.sqrt(high) + np.sqrt(low)) ** 2
    root = (np.sqrt(high) - np.sqrt(low)) / (np.sqrt(high) + np.sqrt(low))
    alpha, beta = np.array([2 / (low + high), optimum]), np.array([0.0, root**2])
    expected = [(high - low) / (high + low), root]
    np.testing.assert_allclose(heavy_ball.theory(alpha, beta)[0], expected, rtol=1e-6)


def test_box_dimensions_that_are_known():
    side = 64
    assert trainability.box_dimension(np.ones((side, side), bool)) == pytest.approx(2.0)
    assert trainability.box_dimension(np.eye(side, dtype=bool)) == pytest.approx(1.0)
    dot = np.zeros((side, side), bool)
    dot[5, 7] = True
    assert trainability.box_dimension(dot) == pytest.approx(0.0)


def test_the_command_writes_a_picture_and_a_page(tmp_path, capsys):
    assert main(["gallery", "regimes", "--quick", "--out", str(tmp_path / "made")]) == 0
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["gallery.md", "regimes.png"]
    page = (tmp_path / "made" / "gallery.md").read_text()
    assert "## The four regimes of the learning rate" in page
    assert len(re.findall(r"^\| first learning rate", page, re.MULTILINE)) == 2
    assert "5 of 5 facts hold" in capsys.readouterr().out


def test_the_command_says_what_there_is_and_what_is_unknown(tmp_path, capsys):
    assert main(["gallery", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(book.NAMES)
    assert main(["gallery", "regime", "--out", str(tmp_path)]) == 2
    assert "no picture 'regime'; there are regimes, " in capsys.readouterr().err


def test_a_wrong_number_is_told(tmp_path, capsys, monkeypatch):
    from ravine.gallery import base
    from ravine.plot.style import blank

    wrong = base.Picture(blank(1, 1), (Fact("speed", "3", "2 ± 1%", False),))
    monkeypatch.setattr(book, "make", lambda name, quick: wrong)
    assert main(["gallery", "edge", "--out", str(tmp_path)]) == 1
    assert "speed: 3, not 2 ± 1%" in capsys.readouterr().err
    assert "**(missed)**" in (tmp_path / "gallery.md").read_text()
