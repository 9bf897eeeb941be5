"""A sweep that is killed at any moment, or finds the disk full, loses no result."""

import hashlib
import os
import subprocess
import sys

import jax
import pytest

from ravine.engine.ledger import Ledger
from tests.conftest import CACHE, ROOT
from tests.test_checkpoint import bits, hurry, reused, sweep


@pytest.fixture(scope="module")
def plain():
    """The sweep as it is without a checkpoint."""
    if jax.default_backend() != "cpu":
        pytest.skip("bit for bit is promised on CPUs")
    return {keep: sweep(keep=keep) for keep in ("all", 5)}


def digest(out):
    return hashlib.sha256(repr(bits(out)).encode()).hexdigest()


# The process forks before JAX has begun anything, so each run starts fast.
KILLED = """
import os, random, signal, sys
from pathlib import Path
from tests import test_checkpoint as t
from tests.test_checkpoint_killed import die_at

folder, seed, keep, many, kills = Path(sys.argv[1]), *map(int, sys.argv[2:])
draw, finished = random.Random(seed), 0
while kills:
    n, after = draw.randint(1, 70), draw.random() < 0.5
    if not (child := os.fork()):
        die_at(n, after)
        t.sweep(checkpoint=folder / str(finished), keep=keep or "all", workers=many)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    kills -= code != 0
    finished += code == 0
"""


def die_at(n, after):
    """Kill this process at the n-th moment that matters, just before it or just after.

    A write that is the moment is cut in half.
    """
    hurry()
    seen = []

    def watched(owner, name):
        function = getattr(owner, name)

        def call(*args):
            seen.append(name)
            fatal = len(seen) == n
            if fatal and name == "write":
                function(args[0], args[1][: len(args[1]) // 2])
            elif fatal and after:
                function(*args)
            if fatal:
                os.kill(os.getpid(), 9)
            return function(*args)

        setattr(owner, name, call)

    for name in ("write", "fsync", "ftruncate", "replace", "unlink"):
        watched(os, name)
    watched(Ledger, "add")


def python(program, *args):
    """What a process of its own prints."""
    env = os.environ | {"JAX_PLATFORMS": "cpu", "RAVINE_TEST_CACHE": CACHE}
    command = [sys.executable, "-W", "ignore:os.fork", "-c", program, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
class TestKilled:
    @pytest.mark.parametrize(("keep", "many"), [(5, 1), (5, 2), ("all", 2)])
    def test_at_any_moment(self, keep, many, plain, tmp_path):
        python(KILLED, tmp_path, 1, 0 if keep == "all" else keep, many, 7)
        for folder in tmp_path.iterdir():
            out = sweep(checkpoint=folder, keep=keep, workers=many)
            assert bits(out) == bits(plain[keep])
            names = sorted(p.name for p in folder.iterdir())
            assert names == ["sweep.json", "trials-0.journal"]
            again = sweep(checkpoint=folder, keep=keep)
            assert bits(again) == bits(plain[keep])
            assert reused(again) == list(range(40))


FULL = """
import resource, signal, sys, warnings
from tests import test_checkpoint as t
from tests.test_checkpoint_killed import digest

t.hurry()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = t.sweep(checkpoint=sys.argv[1])
    told = [str(w.message) for w in caught if w.category is RuntimeWarning]
    print(digest(out), len(t.reused(out)), *told)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
with warnings.catch_warnings():
    warnings.simplefilter("error")
    out = t.sweep(checkpoint=sys.argv[1])
print(digest(out), len(t.reused(out)))
"""


def test_a_full_disk_loses_no_result(plain, tmp_path):
    pytest.importorskip("resource")
    *full, free = (line.split(" ", 2) for line in python(FULL, tmp_path, 30_000, 12_000, 50_000))
    # The lanes fit where the journal no longer does, and the other way round.
    for found, _, told in full:
        assert found == digest(plain["all"])
        assert "the checkpoint is not complete: " in told
        assert "could not be written" in told
    assert free[0] == digest(plain["all"])
    assert 0 < int(full[1][1]) <= int(full[2][1]) < int(free[1]) < 40
    out = sweep(checkpoint=tmp_path)
    assert bits(out) == bits(plain["all"])
    assert len(reused(out)) == 40
