"""What `import ravine` costs a user who has imported JAX already."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

OPTIONAL = ("chex", "equinox", "flax", "matplotlib", "optax", "pandas", "scipy", "sklearn", "torch")
LIMIT = 0.15  # seconds


def run(program: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", program]
    # With bytecode, as after any first import, wherever it may be written.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(ROOT / ".cache" / "bytecode")
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_adds_little_to_that_of_jax():
    program = """
import time
import jax, jax.numpy
start = time.process_time()
import ravine
print(time.process_time() - start)
"""
    # The processor's time, the best of a few runs: what the package costs, not what else the
    # machine is doing.
    best = float("inf")
    for _ in range(5):
        best = min(best, float(run(program)))
        if best < LIMIT:
            return
    pytest.fail(f"import ravine adds {best:.3f} s to import jax; the limit is {LIMIT} s")


def test_import_loads_no_optional_dependency():
    # JAX loads some of them by itself when they are there; what counts is what we add.
    program = """
import sys
import jax, jax.numpy
before = set(sys.modules)
import ravine
print(*sorted(set(sys.modules) - before))
"""
    added = {name.split(".")[0] for name in run(program).split()}
    assert "ravine" in added
    assert added.isdisjoint(OPTIONAL)
