"""The command line: what it prints, what it writes, and how it refuses."""

import csv
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import ravine as rv
from ravine.cli import main
from ravine.report import job as jobs
from ravine.report.choose import choose, hyperparameters, registry
from ravine.report.find import find
from ravine.report.folder import OWN, open_folder
from ravine.report.options import PRUNERS, SAMPLERS
from ravine.report.prepare import _prune_after

pytest.importorskip("matplotlib")

SMALL = ["rosenbrock", "--optimizers", "sgd,adam", "--trials", "6", "--steps", "20", "--lanes", "4"]
USER = """
import jax.numpy as jnp
from ravine.problems import Problem

def loss(params, batch):
    x, y = batch
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)

x = jnp.linspace(-1, 1, 12).reshape(6, 2)
line = Problem(
    loss, {"w": jnp.zeros(2), "b": jnp.zeros(())}, data=(x, 2 * x[:, 0] + 1), batch_size=2,
    metrics={"validation_loss": lambda p: loss(p, (x, 2 * x[:, 0] + 1)), "steps": lambda p: p["b"]},
)

def problem():
    return line

def with_arguments(n):
    return line

number = 3
not_scalar = Problem(lambda x: x, jnp.ones(2))
raises = Problem(lambda x: x.nonsense, jnp.ones(2))
bad_metric = Problem(lambda x: jnp.sum(x**2), jnp.ones(2), metrics={"m": lambda x: x})
bad_init = Problem(lambda x: jnp.sum(x**2), lambda key: 1 / 0)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Every test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """One small sweep: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("swept") / "out"
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda *a, **k: printed.append(" ".join(a)))
        assert main(["sweep", *SMALL, "--output", str(folder)]) == 0
    return folder, "\n".join(printed)


def rows_of(folder):
    with (Path(folder) / "trials.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refused(capsys, *argv, status=2):
    """The one line with which a call is refused."""
    assert main(list(argv)) == status
    out, err = capsys.readouterr()
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert "Traceback" not in out + err
    return err


# What a sweep writes and prints.


def test_a_sweep_writes_its_folder(swept):
    folder, _ = swept
    assert sorted(p.name for p in folder.iterdir()) == sorted(set(OWN) - {"hyperparameter.png"})
    for name in ("learning_rate.png", "curves.png", "lanes.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
        assert 5_000 < (folder / name).stat().st_size < 300_000


def test_the_table_has_a_row_a_trial(swept):
    rows = rows_of(swept[0])
    header = ["trial", "optimizer", "learning_rate", "value", "best_value", "steps", "status"]
    assert list(rows[0]) == header
    assert [int(r["trial"]) for r in rows] == list(range(12))
    assert [r["optimizer"] for r in rows] == ["sgd"] * 6 + ["adam"] * 6
    assert {r["status"] for r in rows} <= {"max_steps", "diverged"}
    assert all(1e-5 <= float(r["learning_rate"]) <= 10 for r in rows)


def test_results_can_be_loaded(swept):
    results = rv.load(swept[0] / "results.npz")
    rows = rows_of(swept[0])
    np.testing.assert_array_equal(results.values, np.array([r["value"] for r in rows], "f4"))
    best = min((r for r in rows if r["status"] == "max_steps"), key=lambda r: float(r["value"]))
    assert results.best.id == int(best["trial"])
    assert results.best.params is not None
    assert len(results.kept_ids) == 2


def test_the_winners_parameters_give_their_loss(swept):
    results = rv.load(swept[0] / "results.npz")
    problem = rv.problems.get("rosenbrock")
    with np.load(swept[0] / "best.npz") as best:
        assert sorted(best.files) == ["adam/params", "sgd/params"]
        for name in ("sgd", "adam"):
            mine = [i for i in results.ranking if results.names[i] == name]
            loss = problem.loss(best[f"{name}/params"])
            np.testing.assert_allclose(loss, results.values[mine[0]], rtol=1e-5)


def test_what_is_printed(swept):
    folder, text = swept
    lines = text.splitlines()
    assert lines[0] == "rosenbrock: 12 trials of 20 steps"
    assert "6 x SGD(learning_rate=LogUniform(0.0001, 10.0), momentum=0.9)" in lines[1]
    assert lines[4].split() == ["optimizer", "learning_rate", "loss", "steps", "status"]
    told = [line.split() for line in lines[5 : lines.index("", 5)]]
    results = rv.load(folder / "results.npz")
    for name in ("sgd", "adam"):
        mine = [r for r in told if r[0] == name]
        assert 1 <= len(mine) <= 3
        ranked = [i for i in results.ranking if results.names[i] == name]
        assert [float(r[2]) for r in mine] == pytest.approx(results.values[ranked[:3]], rel=1e-3)
    assert "12 trials in" in lines[-2]
    assert lines[-1].startswith(f"Written to {folder}: results.npz, trials.csv, best.npz")


def test_the_same_seed_writes_the_same_numbers(swept, capsys):
    assert main(["sweep", *SMALL, "-o", "again", "--no-pictures", "--no-progress"]) == 0
    assert (swept[0] / "trials.csv").read_bytes() == Path("again/trials.csv").read_bytes()
    assert main(["sweep", *SMALL, "-o", "other", "--no-pictures", "--seed", "1"]) == 0
    assert (swept[0] / "trials.csv").read_bytes() != Path("other/trials.csv").read_bytes()
    assert not Path("other/curves.png").exists()


def test_digits_have_validation_numbers(capsys):
    argv = ["sweep", "digits(model='softmax')", "--optimizers", "adam", "--steps", "20"]
    argv += ["--set", "learning_rate=0.01,0.1", "--trials", "4", "--no-pictures", "--keep", "all"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "val. loss  val. accuracy  train loss" in out
    assert "test" not in out
    rows = rows_of("ravine-digits_softmax")
    accuracy = np.array([float(r["validation_accuracy"]) for r in rows])
    assert np.all((accuracy >= 0) & (accuracy <= 1))
    assert 0.5 < accuracy.max() < 1
    assert {float(r["test_accuracy"]) > 0 for r in rows} == {True}
    with np.load("ravine-digits_softmax/best.npz") as best:
        assert sorted(best.files) == ["adam/dense_0/bias", "adam/dense_0/kernel"]
        params = {"dense_0": {k: best[f"adam/dense_0/{k}"] for k in ("bias", "kernel")}}
    problem = find("digits(model='softmax')")
    loss = min(float(r["validation_loss"]) for r in rows)
    assert float(problem.metrics["validation_loss"](params)) == pytest.approx(loss, rel=1e-5)
    assert len(rv.load("ravine-digits_softmax/results.npz").kept_ids) == 4


@pytest.mark.parametrize("name", ["line", "problem"])
def test_a_problem_of_ones_own(capsys, name):
    Path("mine.py").write_text(USER)
    argv = ["sweep", f"mine.py:{name}", "--optimizers", "sgd", "--batch-size", "full"]
    argv += ["--set", "learning_rate=grid(0.01,0.1)", "--steps", "5", "--no-pictures"]
    assert main([*argv, "-o", "out"]) == 0
    assert "loss: 2 trials of 5 steps on batches of 6" in capsys.readouterr().out
    rows = rows_of("out")
    # Of the same batch, at the same parameters.
    for row in rows:
        assert float(row["validation_loss"]) == pytest.approx(float(row["value"]), rel=1e-5)
    # A metric called as a column hides nothing.
    assert {row["steps"] for row in rows} == {"5"}
    assert "metrics.steps" in rows[0]


def test_without_a_varied_learning_rate_the_picture_is_of_another(capsys):
    argv = ["sweep", "booth", "--optimizers", "a=sgd,b=sgd", "--steps", "20", "--seeds", "2"]
    argv += ["--set", "learning_rate=0.01", "--set", "a.momentum=grid(0.1,0.5,0.9)", "-o", "out"]
    assert main(argv) == 0
    assert "a  6 x" in capsys.readouterr().out
    assert Path("out/hyperparameter.png").exists()
    assert not Path("out/learning_rate.png").exists()
    rows = rows_of("out")
    assert [r["optimizer"] for r in rows] == ["a"] * 6 + ["b"] * 2
    assert [r["seed"] for r in rows] == ["0", "1"] * 4
    # An earlier sweep's files give way, and those of others stay.
    Path("out/notes.txt").write_text("keep me")
    assert main([*argv, "--no-pictures"]) == 0
    assert sorted(p.name for p in Path("out").iterdir()) == [
        "best.npz", "notes.txt", "results.npz", "trials.csv"
    ]  # fmt: skip


def test_a_sweep_in_which_all_diverge(capsys):
    argv = ["sweep", "booth", "--optimizers", "sgd", "--set", "learning_rate=grid(1e20,1e30)"]
    assert main([*argv, "--steps", "20"]) == 0
    assert "No trial ended with a finite loss" in capsys.readouterr().out
    assert not Path("ravine-booth/best.npz").exists()
    assert {r["status"] for r in rows_of("ravine-booth")} == {"diverged"}


def test_stopping_options(capsys):
    argv = ["sweep", "booth", "--optimizers", "sgd", "--set", "learning_rate=grid(0.02,0.5)"]
    argv += ["--grad-norm", "1e-3", "--target", "1e-8", "--diverged-above", "1e4"]
    assert main([*argv, "--no-pictures", "--steps", "2000", "--top", "1"]) == 0
    rows = rows_of("ravine-booth")
    assert [r["status"] for r in rows] == ["converged", "diverged"]
    assert float(rows[0]["value"]) < 1e-3
    assert 1e4 < float(rows[1]["value"]) < 1e8


@pytest.mark.parametrize("how", sorted(PRUNERS))
def test_trials_that_fall_behind_are_pruned(capsys, how):
    argv = ["sweep", "booth", "--optimizers", "sgd", "--trials", "24", "--steps", "40"]
    argv += ["--set", "learning_rate=loguniform(1e-9,0.05)", "--lanes", "4", "--prune", how]
    assert main([*argv, "--prune-after", "4", "-o", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("booth: 24 trials of 40 steps, pruned by ")
    assert lines[0].endswith(" on the loss")
    rows = rows_of("out")
    assert "metric" not in rows[0]
    given_up = [row for row in rows if row["status"] == "pruned"]
    assert lines[-2].startswith("24 trials in")
    assert lines[-2].endswith(f"; 0 diverged, {len(given_up)} pruned.")
    assert 4 <= len(given_up) < 24
    assert {int(row["steps"]) % 4 for row in given_up} == {0}
    assert {int(row["steps"]) for row in rows if row not in given_up} == {40}
    assert {p.name for p in Path("out").iterdir()} >= {"lanes.png", "learning_rate.png"}


def test_the_validation_loss_is_what_pruning_goes_by(capsys, monkeypatch):
    calls = []

    def sweep(*args, **kwargs):
        calls.append(kwargs)
        return rv.sweep(*args, **kwargs)

    monkeypatch.setattr(jobs, "sweep", sweep)
    Path("mine.py").write_text(USER)
    argv = ["sweep", "mine.py:line", "--optimizers", "sgd", "--batch-size", "full", "--trials", "8"]
    argv += ["--set", "learning_rate=grid(1e-5,1e-3,0.01,0.1)", "--steps", "9", "--workers", "1"]
    assert main([*argv, "-o", "all", "--no-pictures"]) == 0
    assert main([*argv, "-o", "some", "--keep", "all", "--prune", "halving"]) == 0
    assert calls[0]["metric"] is calls[0]["prune"] is None
    assert callable(calls[1]["metric"])
    assert calls[1]["prune"] == rv.SuccessiveHalving(min_steps=1)
    assert "on the validation loss" in capsys.readouterr().out
    # The table is as it was; what is in it is still true of each trial's last parameters.
    assert list(rows_of("some")[0]) == list(rows_of("all")[0])
    validation_loss = find("mine.py:line").metrics["validation_loss"]
    for row, trial in zip(rows_of("some"), rv.load("some/results.npz"), strict=True):
        told = float(row["validation_loss"])
        assert told == pytest.approx(float(validation_loss(trial.params)), rel=1e-5)
    assert {row["status"] for row in rows_of("some")} == {"pruned", "max_steps"}
    assert {row["status"] for row in rows_of("all")} == {"max_steps"}


def test_samplers_and_workers(capsys):
    drawn = {}
    argv = ["sweep", "booth", "--optimizers", "sgd", "--trials", "8", "--steps", "3"]
    for sampler in SAMPLERS:
        how = ["--sampler", sampler, "--workers", "2", "--lanes", "2"]
        assert main([*argv, *how, "-o", sampler, "--no-pictures"]) == 0
        drawn[sampler] = [row["learning_rate"] for row in rows_of(sampler)]
        assert rv.load(f"{sampler}/results.npz").info["workers"] == 2
    assert len({tuple(rates) for rates in drawn.values()}) == len(SAMPLERS)
    # One in each eighth of the range, on a logarithmic scale.
    for sampler in ("latin", "sobol"):
        place = (np.log10(np.array(drawn[sampler], float)) + 4) / 5 * 8
        assert sorted(place.astype(int)) == list(range(8))


@pytest.mark.parametrize("steps", [1, 2, 26, 27, 28, 200, 1000, 5000, 10_000, 10**6])
def test_pruning_begins_early_and_its_last_look_is_worth_it(steps):
    (rungs,) = rv.SuccessiveHalving(min_steps=_prune_after(steps)).rungs(steps)
    assert len(rungs) == 3 or steps < 10
    assert all(rung <= 2 / 3 * steps for rung in rungs)


# Ctrl-C.


def test_interrupted_results_are_written(capsys, monkeypatch):
    def interrupted(*args, **kwargs):
        results = rv.sweep(*args, **kwargs)
        status = results.status.copy()
        status[6:] = rv.Status.RUNNING
        return replace(results, status=status, info=results.info | {"complete": False})

    monkeypatch.setattr(jobs, "sweep", interrupted)
    err = refused(capsys, "sweep", *SMALL, "-o", "out", status=130)
    assert "interrupted" in err
    assert "written" in err
    assert [r["status"] == "running" for r in rows_of("out")] == [False] * 6 + [True] * 6
    assert Path("out/curves.png").exists()


def test_interrupted_before_anything_ended(capsys, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "sweep", interrupt)
    assert "interrupted" in refused(capsys, "sweep", *SMALL, "-o", "a/b", status=130)
    assert not Path("a").exists()


def test_a_closed_pipe_spares_the_files(capsys, monkeypatch):
    def closed(*lines):
        if "trials in" in lines[-1]:
            raise BrokenPipeError
        print(*lines)

    monkeypatch.setattr("ravine.cli._say", closed)
    assert main(["sweep", *SMALL, "-o", "out", "--no-pictures"]) == 141
    assert capsys.readouterr().err == ""
    assert len(rows_of("out")) == 12


# Refusals.


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "COMMAND"),
        (["swep"], "invalid choice: 'swep'"),
        (["sweep"], "PROBLEM"),
        (["list", "optimisers"], "invalid choice"),
        (["sweep", "digit"], "Did you mean 'digits'?"),
        (["sweep", "nothing like it"], "path/to/file.py:name"),
        (["sweep", "rosenbrock(m=3)"], "Its options are n"),
        (["sweep", "rosenbrock(n=1)"], "int >= 2"),
        (["sweep", "rosenbrock(n=n)"], "name(option=value)"),
        (["sweep", "rosenbrock(3)"], "name(option=value)"),
        (["sweep", "missing.py:problem"], "no file 'missing.py'"),
        (["sweep", "booth", "--trails", "3"], "--trails"),
        (["sweep", "booth", "--trials", "0"], "0 is not in [1,"),
        (["sweep", "booth", "--trials", "many"], "no whole number"),
        (["sweep", "booth", "--trials", "9" * 5000], "no whole number"),
        (["sweep", "booth", "--steps", "1.5"], "no whole number"),
        (["sweep", "booth", "--seed", "-1"], "is not in [0,"),
        (["sweep", "booth", "--seeds", "1,1"], "twice"),
        (["sweep", "booth", "--lanes", "0"], "is not in [1,"),
        (["sweep", "booth", "--workers", "0"], "is not in [1,"),
        (["sweep", "booth", "--sampler", "halton"], "invalid choice: 'halton'"),
        (["sweep", "booth", "--prune", "third"], "invalid choice: 'third'"),
        (["sweep", "booth", "--prune", "median", "--prune-after", "0"], "is not in [1,"),
        (["sweep", "booth", "--prune", "median", "--prune-after", "x"], "no whole number"),
        (["sweep", "booth", "--prune-after", "3"], "say how with --prune"),
        (["sweep", "booth", "--prune", "halving", "--prune-after", "1000"], "end at 1000 steps"),
        (["sweep", "booth", "--keep", "some"], "no whole number"),
        (["sweep", "booth", "--target", "nan"], "NaN"),
        (["sweep", "booth", "--target", "low"], "no number"),
        (["sweep", "booth", "--grad-norm=-1"], "GradNorm: tol"),
        (["sweep", "booth", "--batch-size", "8"], "has no data"),
        (["sweep", "linear_regression", "--batch-size", "800"], "100 examples"),
        (["sweep", "booth", "--optimizers", "adm"], "Did you mean adam?"),
        (["sweep", "booth", "--optimizers", ""], "no optimizer ''"),
        (["sweep", "booth", "--optimizers", "adam,adam"], "adam is there twice"),
        (["sweep", "booth", "--optimizers", "a-b=adam"], "cannot name an optimizer"),
        (["sweep", "booth", "--set", "learning_rate"], "write field=value"),
        (["sweep", "booth", "--set", "learning_rate="], "write field=value"),
        (["sweep", "booth", "--set", "learningrate=1"], "Did you mean learning_rate?"),
        (["sweep", "booth", "--set", "adamw.b1=0.5"], "not among the optimizers"),
        (["sweep", "booth", "--set", "sgd.b1=0.5"], "no hyperparameter 'b1' in sgd"),
        (["sweep", "booth", "--set", "adam.b1=1.5"], "Adam: b1 must be in [0, 1)"),
        (["sweep", "booth", "--set", "learning_rate=loguniform(1,0.1)"], "must not exceed"),
        (["sweep", "booth", "--set", "learning_rate=normal(0,1)"], "at least 0"),
        (["sweep", "booth", "--set", "learning_rate=fast"], "cannot read 'fast'"),
        (["sweep", "booth", "--set", "learning_rate=none"], "needs a number"),
        (["sweep", "booth", "--set", "adam.nesterov=1"], "nesterov is true or false"),
        (["sweep", "booth", "--set", "adam.mu_dtype=f99"], "mu_dtype cannot be 'f99'"),
        (["sweep", "mine.py:absent"], "It has line, not_scalar"),
        (["sweep", "mine.py:number"], "got int"),
        (["sweep", "mine.py:with_arguments"], "with_arguments() failed: TypeError"),
        (["sweep", "mine.py:bad_metric"], "the metric 'm' must return a real scalar"),
        (["sweep", "mine.py:bad_init"], "init failed: ZeroDivisionError"),
        (["sweep", "mine.py:raises"], "AttributeError"),
        (["sweep", "mine.py:not_scalar"], "real scalar"),
        (["sweep", "broken.py:problem"], "failed: ZeroDivisionError"),
        (["sweep", "leaves.py:problem"], "failed: SystemExit"),
        (["sweep", "syntax.py:problem"], "failed: SyntaxError"),
        (["sweep", "booth", "-o", "mine.py"], "there is a file of this name"),
        (["sweep", "booth", "-o", "mine.py/below"], "cannot write to the folder"),
        (["sweep", "booth", "-o", "nul\0"], "cannot write to the folder"),
    ],
)
def test_refusals_take_one_line(capsys, argv, told):
    Path("mine.py").write_text(USER)
    Path("broken.py").write_text("1 / 0")
    Path("leaves.py").write_text("raise SystemExit(3)")
    Path("syntax.py").write_text("def problem(:")
    before = sorted(Path().iterdir())
    assert told in refused(capsys, *argv)
    left = [p for p in Path().iterdir() if p.name != "__pycache__"]
    assert sorted(left) == before, "nothing is left behind"


def test_the_folder_is_checked_before_anything_runs(capsys, monkeypatch):
    monkeypatch.setattr(jobs, "sweep", lambda *a, **k: pytest.fail("it ran"))
    Path("out").mkdir()
    Path("out/trials.csv").write_text("my own")
    assert "out holds trials.csv" in refused(capsys, "sweep", *SMALL, "-o", "out")
    assert Path("out/trials.csv").read_text() == "my own"


def test_a_folder_where_nothing_may_be_written(capsys, monkeypatch):
    def forbidden(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ravine.report.folder.TemporaryFile", forbidden)
    assert "Permission denied" in refused(capsys, "sweep", *SMALL, "-o", "out")


def test_a_full_disk_spares_the_table(capsys, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ravine.report.folder.write_csv", full)
    assert main(["sweep", *SMALL, "-o", "out", "--no-pictures"]) == 2
    out, err = capsys.readouterr()
    assert "loss  steps" in out
    assert "No space left" in err
    assert not list(Path("out").glob("*.part"))


@pytest.mark.parametrize("package", ["matplotlib", "sklearn"])
def test_a_missing_package_is_named(capsys, monkeypatch, package):
    import importlib.util

    found = importlib.util.find_spec
    missing = lambda name, *a: None if name == package else found(name, *a)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    assert "pip install" in refused(capsys, "sweep", "digits")


def test_a_traceback_is_shown_on_request(capsys):
    Path("mine.py").write_text(USER)
    assert main(["sweep", "mine.py:raises", "--traceback"]) == 2
    assert "AttributeError" in capsys.readouterr().err.partition("ravine: error")[0]


def test_a_defect_is_told_from_a_refusal(capsys, monkeypatch):
    def defect():
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("ravine.report.listing.problems_text", defect)
    assert "RuntimeError: two lines" in refused(capsys, "list", "problems", status=1)


WORDS = [
    "sweep", "list", "booth", "digits", "rosenbrock(n=3)", "mine.py:line", "x.py:", "optimizers",
    "--set", "--optimizers", "--trials", "--steps", "--seeds", "--seed", "--lanes", "--keep", "-o",
    "--output", "--batch-size", "--top", "--no-pictures", "--target", "--grad-norm", "--help",
    "--diverged-above", "sgd,adam", "a=adam,b=sgd", "adam,,", "learning_rate=0.1", "b1=0.5,1",
    "adam.b1=uniform(0,1)", "momentum=none", "eps=loggrid(1e-9,1e-3,3)", "nesterov=true", "=", "",
    "0", "1", "-1", "3", "1e9", "1e999", "nan", "full", "all", "\0", "\udcff", "é\n\t", "(" * 300,
    "--prune", "halving", "--prune-after", "--sampler", "sobol", "--workers",
    "--", "-", "a/b", ".", "/", "x" * 300, "n=None", "weight_decay=choice()", "%s", "{}",
]  # fmt: skip


def test_random_calls_never_end_in_a_traceback(capsys, monkeypatch):
    def stub(*args, **kwargs):
        raise ValueError("it would have run")

    monkeypatch.setattr(jobs, "sweep", stub)
    Path("mine.py").write_text(USER)
    draw = random.Random(0)
    told = set()
    for _ in range(400):
        head = draw.choice([["sweep", "booth"], ["sweep"], ["sweep", "mine.py:line"], []])
        argv = [*head, *draw.choices(WORDS, k=draw.randrange(6))]
        status = main(argv)
        out, err = capsys.readouterr()
        assert status in (0, 2), (argv, err)
        assert err.count("\n") == (status == 2), (argv, err)
        assert "Traceback" not in out + err, argv
        assert "unexpected" not in err, (argv, err)
        told.add(err)
    assert len(told) > 50


# What there is.


def test_lists_show_everything(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name, cls in registry().items():
        assert f"  {name} " in out
        assert all(field in out for field in hyperparameters(cls))
    assert "b2=0.999" in out
    assert all(f"  {name}" in out for name in rv.problems.ALL)
    assert "loguniform(1e-4, 1)" in out
    assert max(map(len, out.splitlines())) <= 120


def test_help_and_version(capsys):
    for argv in (["--help"], ["sweep", "--help"], ["list", "--help"]):
        assert main(argv) == 0
        out, err = capsys.readouterr()
        assert out.startswith("usage: ravine")
        assert not err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ravine {rv.__version__}\n"


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_optimizer_can_be_chosen(name):
    (optimizer,) = choose(name).values()
    filled = jax.tree.map(lambda x: 0.5, optimizer, is_leaf=lambda x: isinstance(x, rv.Space))
    assert type(filled).__name__.lower() == name


def test_settings_are_for_all_or_for_one():
    chosen = choose("adam,sgd", ["learning_rate=0.1", "adam.learning_rate=0.2", "b1=0,0.5"])
    assert chosen["adam"] == rv.Adam(0.2, b1=rv.Choice([0, 0.5]))
    assert chosen["sgd"] == rv.SGD(0.1, momentum=0.9)
    (plain,) = choose("sgd", ["momentum=none", "accumulator_dtype=bfloat16"]).values()
    assert plain.momentum is None
    assert plain.accumulator_dtype == "bfloat16"


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path):
    folder = open_folder(tmp_path / "a" / "b")
    folder.discard()
    assert not (tmp_path / "a").exists()
    (tmp_path / "c").mkdir()
    open_folder(tmp_path / "c").discard()
    assert (tmp_path / "c").exists()


def test_as_a_module_with_nobody_reading():
    command = [sys.executable, "-m", "ravine", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141
