"""What the report's page is given, how it is written, and what notebooks show."""

import base64
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.cli import main
from ravine.report import contents as told
from ravine.report.folder import open_folder
from ravine.report.html import page
from ravine.report.rerun import recipe
from tests.samples import EVIL, sample

TYPES = {"i4": "<i4", "f4": "<f4", "f8": "<f8"}


def unpacked(column):
    return np.frombuffer(base64.b64decode(column["data"]), TYPES[column["type"]])


def column(shown, name):
    return next(c for c in shown["columns"] if c["name"] == name)


def data_of(html):
    """The data in a page, as a browser would find it."""
    start = html.index(">", html.index('id="data"')) + 1
    return json.loads(html[start : html.index("</script", start)])


class Outline(HTMLParser):
    """The elements of a page, and whatever they would fetch."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.titles, self.inside = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.inside = tag
        self.links += [v for k, v in attrs if k in ("src", "href") and v]

    def handle_data(self, data):
        if self.inside == "title" and data.strip():
            self.titles.append(data)


def outline(html):
    parser = Outline()
    parser.feed(html)
    return parser


def test_columns_come_back_to_the_last_bit():
    results = sample(50)
    shown = told.contents(results)
    for name, x in [
        ("value", results.values),
        ("learning_rate", results.hyperparameters["learning_rate"]),
    ]:
        np.testing.assert_array_equal(unpacked(column(shown, name)), x)
    words = column(shown, "status")
    assert [words["categories"][i] for i in unpacked(words)] == [str(s) for s in results.status]


def test_a_column_takes_the_smallest_type_that_loses_nothing():
    big = np.array([1, 2**40])
    cases = [
        (np.float64([0.1, np.nan]), "f8"),
        (np.float16([0.1, np.inf]), "f4"),
        (big, "f8"),
        (np.int64([3, -4]), "i4"),
    ]
    for x, kind in cases:
        packed = told._packed(x)
        assert packed["type"] == kind
        np.testing.assert_array_equal(unpacked(packed), x)


def test_ranks_are_those_of_the_results():
    results = sample(60)
    rank = unpacked(column(told.contents(results), "rank"))
    np.testing.assert_array_equal(rank[results.ranking], 1 + np.arange(len(results.ranking)))
    assert np.all(rank[results.status == "diverged"] == 0)


def test_a_measured_validation_loss_ranks_as_on_the_command_line():
    results = sample(20)
    measured = np.linspace(2.0, 1.0, 20)
    shown = told.contents(results, measures={"validation_loss": measured, "accuracy": measured})
    rank = unpacked(column(shown, "rank"))
    assert shown["score"] == "validation_loss"
    assert np.all(np.diff(rank[rank > 0]) < 0)
    np.testing.assert_array_equal(unpacked(column(shown, "accuracy")), measured)


def test_too_many_trials_leave_the_best_and_an_even_sample(monkeypatch):
    monkeypatch.setattr(told, "MOST", 40)
    results = sample(1000)
    shown = told.contents(results)
    ids = unpacked(column(shown, "trial"))
    assert shown["trials"] == 1000
    assert len(set(ids.tolist())) == 40
    assert set(results.ranking[:20]) <= set(ids.tolist())
    assert min(ids) < 50
    assert max(ids) > 950


def test_the_room_for_curves_is_kept(monkeypatch):
    monkeypatch.setattr(told, "_CURVES", 21 * 30)
    results = sample(200)
    curves = told.contents(results)["history"]
    ids = unpacked(curves["trials"])
    assert len(ids) == len(set(ids.tolist())) == 30
    assert set(results.ranking[:15]) <= set(ids.tolist())
    np.testing.assert_array_equal(unpacked(curves["values"]).reshape(30, 21), results.history[ids])


def test_a_page_is_one_file_that_fetches_nothing():
    html = page(told.contents(sample(5)))
    found = outline(html)
    assert set(found.links) == {"data:,"}
    assert "default-src 'none'" in html
    assert "link" in found.tags
    assert "img" not in found.tags
    # What runs in it is the same text as what it was made of.
    assert not re.search(r"https?://(?!github\.com/leeoniya/uPlot)", html)


def test_no_name_breaks_out_of_the_page():
    results = sample(6, names=(EVIL, "<!--"))
    shown = told.contents(results, title=EVIL)
    html = page(shown)
    assert data_of(html) == json.loads(json.dumps(shown))
    found = outline(html)
    assert found.titles == [EVIL]
    assert found.tags.count("script") == 2
    assert "b" not in found.tags


def test_nothing_but_diverged_trials_and_no_trial_at_all_have_pages_too():
    lost = np.full(3, np.nan, np.float32)
    diverged = np.array([rv.Status.DIVERGED] * 3, dtype=object)
    for results in (sample(3, values=lost, status=diverged, history=np.zeros((3, 0))), sample(0)):
        shown = data_of(page(told.contents(results)))
        assert {o["best"] for o in shown["optimizers"]} == {None}
    assert shown["history"] is not None


def made(told_recipe, numbers):
    """The optimizer that the code of a recipe makes."""
    text = "".join(
        p if isinstance(p, str) else repr(numbers[p["column"]]) for p in told_recipe["pieces"]
    )
    known = {}
    exec("\n".join([*told_recipe["imports"], f"optimizer = {text}"]), known)
    return known["optimizer"]


@pytest.mark.parametrize(
    ("template", "numbers", "meant"),
    [
        (rv.Adam(rv.LogUniform(1e-4, 1.0)), {"learning_rate": 0.25}, rv.Adam(0.25)),
        (
            rv.chain(
                rv.ClipByGlobalNorm(rv.Grid([1.0, 2.0])), rv.SGD(0.1, momentum=rv.Uniform(0.0, 0.9))
            ),
            {"clip_by_global_norm.max_norm": 2.0, "sgd.momentum": 0.5},
            rv.chain(rv.ClipByGlobalNorm(2.0), rv.SGD(0.1, momentum=0.5)),
        ),
        (
            rv.AdamW(rv.schedules.CosineDecay(rv.LogUniform(1e-4, 1.0), 100)),
            {"learning_rate.init_value": 0.5},
            rv.AdamW(rv.schedules.CosineDecay(0.5, 100)),
        ),
        (
            rv.Lookahead(rv.SGD(0.1), sync_period=rv.IntUniform(2, 9), slow_step_size=0.5),
            {"sync_period": 3},
            rv.Lookahead(rv.SGD(0.1), sync_period=3, slow_step_size=0.5),
        ),
    ],
    ids=["adam", "chain", "schedule", "whole"],
)  # fmt: skip
def test_the_code_for_a_trial_makes_its_optimizer(template, numbers, meant):
    what = recipe(template, list(numbers))
    assert what["plain"]
    assert not what["others"]
    assert made(what, numbers) == meant
    assert [p["whole"] for p in what["pieces"] if isinstance(p, dict)] == [
        isinstance(x, int) for x in numbers.values()
    ]


def test_code_says_what_it_cannot_hold():
    assert not recipe(rv.SGD(lambda t: 0.1 / (1.0 + t)), [])["plain"]
    assert recipe(rv.SGD(0.1), ["args.width"])["others"] == ["args.width"]


def test_report_writes_whole_or_not_at_all_and_spares_other_files(tmp_path, monkeypatch):
    results = sample(4)
    path = results.report(tmp_path / "report.html", title="mine")
    assert "<title>mine</title>" in path.read_text(encoding="utf-8")
    assert results.report(path) == path  # its own report it replaces
    letter = tmp_path / "letter.html"
    letter.write_text("Dear Sir")
    with pytest.raises(ValueError, match="is no report of ravine"):
        results.report(letter)
    with pytest.raises(ValueError, match="is a folder"):
        results.report(tmp_path)
    monkeypatch.setattr("ravine.report.html.page", lambda shown: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        results.report(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["letter.html", "report.html"]


@pytest.fixture(scope="module")
def swept():
    return rv.sweep(
        lambda x: jnp.sum(x**2), jnp.ones(2),
        {"plain<i>": rv.SGD(rv.LogGrid(1e-2, 3.0, 5)), "adam": rv.Adam(rv.LogGrid(1e-2, 0.3, 5))},
        steps=10,
    )  # fmt: skip


def test_the_command_line_reports_a_folder_and_a_file(tmp_path, capsys, swept):
    folder = tmp_path / "my-sweep"
    folder.mkdir()
    swept.save(folder / "results.npz")
    with (folder / "trials.csv").open("w") as file:
        file.write("trial,value,validation_accuracy\n")
        file.writelines(f"{i},0,{i / 10}\n" for i in range(10))
    assert main(["report", str(folder)]) == 0
    assert "my-sweep/report.html" in capsys.readouterr().out.replace("\\", "/")
    shown = data_of((folder / "report.html").read_text(encoding="utf-8"))
    assert shown["title"] == "my-sweep"
    np.testing.assert_array_equal(
        unpacked(column(shown, "validation_accuracy")), np.arange(10) / 10
    )
    assert (
        main(
            [
                "report",
                str(folder / "results.npz"),
                "--title",
                "T",
                "--output",
                str(tmp_path / "r.html"),
            ]
        )
        == 0
    )
    assert data_of((tmp_path / "r.html").read_text(encoding="utf-8"))["title"] == "T"


def test_a_new_sweep_removes_the_report_of_the_earlier_one_and_no_other_page(tmp_path, swept):
    swept.save(tmp_path / "results.npz")
    page = tmp_path / "report.html"
    page.write_text("mine")
    open_folder(tmp_path).clear()
    assert page.read_text() == "mine"
    page.unlink()
    swept.report(page)
    open_folder(tmp_path).clear()
    assert not page.exists()


def test_a_table_of_another_sweep_is_left_out(tmp_path, swept):
    swept.save(tmp_path / "results.npz")
    (tmp_path / "trials.csv").write_text("trial,accuracy\n0,1\n")
    assert main(["report", str(tmp_path)]) == 0
    names = [c["name"] for c in data_of((tmp_path / "report.html").read_text())["columns"]]
    assert "accuracy" not in names


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "there is no"),
        (lambda path: path.mkdir(), "holds no results.npz"),
        (lambda path: path.write_text("x"), "is not a saved sweep"),
    ],
)
def test_a_wrong_path_is_refused_in_one_line(tmp_path, capsys, make, said):
    make(tmp_path / "thing")
    assert main(["report", str(tmp_path / "thing")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_notebooks_show_results_escaped_and_cut_short(swept):
    many = sample(500, names=(EVIL, "other"))._repr_html_()
    assert many.count("<tr>") == 11
    assert "and 490 more" in many
    for html in (many, swept._repr_html_(), swept[0]._repr_html_(), swept.best._repr_html_()):
        assert "<i>" not in html
        assert "<b title" not in html
        assert "</script" not in html
        assert set(outline(html).tags) <= {
            "div",
            "b",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "code",
            "svg",
            "polyline",
            "br",
        }
        assert "color" not in html.replace("currentColor", "")  # the page's own, dark or light
    assert "plain&lt;i&gt;" in swept[0]._repr_html_()


def test_notebooks_show_one_optimization_and_say_so_if_none_ended_well():
    result = rv.minimize(lambda x: jnp.sum(x**2), jnp.ones(2), rv.SGD(0.1), steps=10)
    html = result._repr_html_()
    assert "max_steps" in html
    assert "2 numbers" in html
    assert "<polyline" in html
    lost = sample(
        2, values=np.full(2, np.nan), status=np.array([rv.Status.DIVERGED] * 2, dtype=object)
    )
    assert "No trial ended with a finite loss" in lost._repr_html_()


@pytest.mark.parametrize(
    "y", [[1.0], [np.nan] * 4, [1.0, 1.0], [0.0, -1.0, np.inf], [-3e38, 3e38], [5e-324, 1e308]]
)
def test_a_sparkline_has_finite_points_or_none(y):
    from ravine.core.html import sparkline

    drawn = sparkline(np.array(y))
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert bool(drawn) == (np.isfinite(y).sum() > 1)


@pytest.mark.parametrize(
    "rule",
    [
        rv.Adam(1e-3),
        rv.chain(rv.ClipByGlobalNorm(1.0), rv.SGD(0.1)),
        rv.GradNorm(1e-3) | rv.Target(0.0),
        rv.LogUniform(1e-3, 1.0),
        rv.schedules.CosineDecay(0.1, 10),
        rv.Identity(),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_every_rule_has_a_table_for_notebooks(rule):
    html = rule._repr_html_()
    assert html.startswith(f"<div><b>{type(rule).__name__}</b>")
    assert len(html) < 2000


def test_progress_in_a_notebook_without_widgets_warns_of_nothing():
    # A kernel's shell, as far as tqdm looks at it, and no ipywidgets; warnings are errors.
    script = """
import sys, types
shell = types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell, __version__="9")
sys.modules["ipywidgets"] = sys.modules["IPython.html"] = None
from ravine.engine.watch import watching
ledger = types.SimpleNamespace(
    finished=1, diverged=0, best=0.5, rows=types.SimpleNamespace(ids=[0])
)
with watching([ledger], True) as show:
    show()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "1/1" in done.stderr
