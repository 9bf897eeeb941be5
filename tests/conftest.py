"""Strict settings for every test, and the fixtures that most of them share.

Implicit promotion is an error, of dtypes and of ranks; warnings are errors (pyproject.toml);
double precision is a test's own choice; random numbers are the same in every run.
"""

import _thread
import gc
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import numpy as np
import pytest

from ravine.engine import executable

ROOT = Path(__file__).resolve().parents[1]
MAPPINGS, TESTS = Path("/proc/self/maps"), count()
CACHE = os.environ.get("RAVINE_TEST_CACHE", str(ROOT / ".cache" / "jax"))

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Compiled programs are kept between runs and shared by the workers of one run.
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

# The same examples each time, however long a first compilation takes.
hypothesis.settings.register_profile(
    "ravine", derandomize=True, deadline=None, database=None, max_examples=25
)
hypothesis.settings.load_profile("ravine")


@pytest.fixture(autouse=True)
def forget_programs() -> Iterator[None]:
    """Drop compiled programs before they are in more pieces than Linux lets a process have.

    Beyond 65,530 mappings, a few hundred sweeps, the process would die.
    """
    yield
    if next(TESTS) % 10 == 0 and MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()
        executable._made.clear()
        gc.collect()


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for one test."""
    # Older releases of JAX know this context manager only under its experimental name.
    if hasattr(jax, "enable_x64"):
        context = jax.enable_x64(True)
    else:
        from jax.experimental import enable_x64  # type: ignore[attr-defined]

        context = enable_x64()
    with context:
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator that draws the same numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def key() -> jax.Array:
    """A JAX random key, the same in every run."""
    return jax.random.key(0)


@pytest.fixture
def interrupt_after(monkeypatch):
    """Ctrl-C as soon as a worker has come so many times with trials that ended."""
    # What runs in the background of a shell may have been told to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    from ravine.engine import workers
    from ravine.engine.ledger import Ledger

    def arm(visits):
        stops, seen = [], []
        make, add = workers.Event, Ledger.add

        def remembered():
            stops.append(make())
            return stops[-1]

        def added(ledger, rows, worker):
            add(ledger, rows, worker)
            seen.append(rows)
            if len(seen) == visits:
                _thread.interrupt_main()
                assert stops[-1].wait(20)

        monkeypatch.setattr(workers, "Event", remembered)
        monkeypatch.setattr(Ledger, "add", added)

    yield arm
    signal.signal(signal.SIGINT, before)
