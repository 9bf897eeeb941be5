"""What one does with this checkout, by name: `nox -l` lists it, `nox -s tests` does it.

`nox` alone runs what a change must pass: tests, lint, types and doctests.
"""

import os
import re
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
# One compile cache for all sessions and the tests run by hand; JAX keys it by version.
ENVIRONMENT = {
    "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
    "RAVINE_TEST_CACHE": str(ROOT / ".cache" / "jax"),
    "MPLBACKEND": "agg",
}

# What hangs on JAX itself more than on the packages around it.
CORE = (
    "batches", "checkpoint", "classify", "contract", "data_order", "dtypes", "implicit", "inspect",
    "linesearch", "masks", "metric", "minimize", "muon", "oracle", "population", "precision",
    "products", "proximal", "prune", "qmc", "rule", "schedules", "spaces", "stop", "store",
    "stream", "sweep", "transforms", "width", "workers", "wrappers",
)  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """Run the fast tests on the newest JAX, on all cores."""
    session.install("-e", ".[test]")
    _pytest(session, "-n", "auto", "--maxprocesses=8", "-m", "not slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting; `nox -s lint -- --fix` repairs what can be repaired."""
    session.install("ruff")
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the package, strictly, and of the tests."""
    session.install("-e", ".[test]", "mypy")
    session.run("mypy", *session.posargs)


@nox.session
def doctests(session: nox.Session) -> None:
    """Run every example in the docstrings and pages."""
    session.install("-e", ".[test]")
    pages = [path for path in ("README.md", "CONTRIBUTING.md", "docs") if (ROOT / path).exists()]
    what = ("--doctest-modules", "--doctest-glob=*.md", "--ignore-glob=docs/*.py")
    _pytest(session, "-n", "auto", "--maxprocesses=8", *what, "src/ravine", *pages)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the site in .nox/site; a broken link is an error. `doctests` runs its examples."""
    session.install("-e", ".[docs]")
    site = ROOT / ".nox" / "site"
    session.run("sphinx-build", "-WEq", "--keep-going", "docs", str(site), env=ENVIRONMENT)
    session.log(f"open {site / 'index.html'}")


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """Run the tests that take more than a few seconds each."""
    session.install("-e", ".[test]")
    # Exit status 5 says that no test is marked so.
    marked = ("-n", "auto", "--maxprocesses=8", "-m", "slow", *session.posargs)
    session.run("python", "-m", "pytest", *marked, env=ENVIRONMENT, success_codes=[0, 5])


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Try the report in the machine's Chromium; without one, its tests say so and are skipped."""
    session.install("-e", ".[test,browser]")
    _pytest(session, "tests/test_report_browser.py", *session.posargs)


@nox.session(default=False, python="3.11")
def oldest(session: nox.Session) -> None:
    """Run the tests of the core and the engine on the oldest releases that we support."""
    session.install("-e", ".[test]", *_floors("all"))
    session.run("python", "-c", "import jax; print('JAX', jax.__version__)")
    files = session.posargs or [f"tests/test_{name}.py" for name in CORE]
    fast = ("-n", "auto", "--maxprocesses=8", "-m", "not slow", *files)
    session.run("python", "-m", "pytest", *fast, env=ENVIRONMENT | {"RAVINE_TEST_EVERY": "8"})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run each benchmark once on a tiny problem, so that none rots."""
    session.install("-e", ".[test]")
    for script in sorted(ROOT.glob("benchmarks/*.py")):
        # What the benchmarks share lies beside them.
        if "__main__" in script.read_text(encoding="utf-8"):
            session.run("python", str(script), "--quick", env=ENVIRONMENT)


@nox.session(default=False, reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """Build what is published, and use it where only its own dependencies are installed."""
    session.install("build")
    folder = Path(session.create_tmp()).resolve()
    session.run_install("python", "-m", "build", "--outdir", str(folder), ".", silent=True)
    session.install(*map(str, folder.glob("*.whl")))
    session.chdir(folder)
    session.run("python", "-c", _SMOKE, env=ENVIRONMENT)
    session.run("ravine", "--help", env=ENVIRONMENT, silent=True)


_SMOKE = """
from importlib import resources

import jax.numpy as jnp
import ravine as rv

assert (resources.files(rv) / "py.typed").is_file()
assert (resources.files(rv) / "report" / "page" / "page.html").is_file()
optimizer, params = rv.Adam(0.1), jnp.array([1.0, -2.0])
updates, state = optimizer.update(params, optimizer.init(params), params)
print(rv.__version__, rv.apply_updates(params, updates))
"""


def _pytest(session: nox.Session, *arguments: str) -> None:
    session.run("python", "-m", "pytest", *arguments, env=ENVIRONMENT)


def _floors(extra: str) -> list[str]:
    """Every requirement of the package and of an extra, at the lowest version it admits."""
    pins = []
    for requirement in PROJECT["dependencies"] + _expanded(extra):
        name, floor = requirement.split(">=")
        pins.append(f"{name}=={floor}")
    return pins


def _expanded(extra: str) -> list[str]:
    """The requirements of an extra, with those of the extras that it names."""
    out = []
    for requirement in PROJECT["optional-dependencies"][extra]:
        nested = re.fullmatch(r"ravine\[(.+)\]", requirement)
        for name in nested.group(1).split(",") if nested else []:
            out += _expanded(name)
        if nested is None:
            out.append(requirement)
    return out
