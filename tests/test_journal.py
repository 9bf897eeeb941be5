"""What a journal holds after a crash, a full disk or a damaged byte, and files replaced whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from ravine.engine import journal
from ravine.engine.journal import Journal
from ravine.engine.replace import generations, replace

# What a process begins with that writes a journal: it loads that one file, so it starts fast.
WRITER = f"""
import importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("journal", {journal.__file__!r})
journal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(journal)
log, records = journal.Journal.open(sys.argv[1])
"""


def start(program, path):
    command = [sys.executable, "-c", WRITER + program, str(path)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(program, path):
    """What a process of its own prints."""
    with start(program, path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


def same(a, b):
    assert list(a) == list(b)
    for x, y in zip(a.values(), b.values(), strict=True):
        assert type(x) is type(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


def records_of(path):
    log, records = Journal.open(path)
    log.close()
    return records


def make(path, *records):
    """A journal with these records; return where each ends."""
    log, _ = Journal.open(path)
    ends = []
    with log:
        for record in records:
            log.append(record)
            ends.append(path.stat().st_size)
    return ends


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trials.journal"


@pytest.fixture
def quick(monkeypatch):
    """No waiting for the disk, for tests that open a file very often."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


ONE, TWO, THREE = ({"x": np.full(n, n, np.int16)} for n in (1, 2, 3))


class TestRoundTrip:
    @pytest.mark.parametrize(
        "record",
        [
            {"x": np.arange(6.0).reshape(2, 3), "y": np.float32([np.nan, np.inf, -0.0])},
            {"empty": np.zeros((0, 3), np.float32), "none": np.zeros(0, ml_dtypes.bfloat16)},
            {"zero": np.array(1.5, np.float32), "half": np.array(1.5, ml_dtypes.bfloat16)},
            {"f": np.float64(0.1), "i": np.int8(-3), "b": np.bool_(True), "s": np.str_("ä")},
            {"a": ml_dtypes.bfloat16(0.1), "b": ml_dtypes.float8_e5m2(2.0)},
            {
                "gewähr/β": np.ones(1),
                "": np.ones(2),
                "file": np.ones(3),
                "args/../x.npy": np.ones(4),
            },
            {"arr_0": np.ones(1), "arr_1": np.ones(2), "\ud800": np.ones(3)},
            {"words": np.array(["", "adam ä", "x"]), "bytes": np.array([b"ab", b""])},
            {"big": np.arange(3, dtype=">f4"), "strided": np.arange(10)[::-3]},
            {"rows": np.array([(1, 2.5)], [("n", "i4"), ("x", "f8")])},
            {"when": np.array(["2020-02-02"], "datetime64[D]"), "z": np.complex64([1j])},
            {},
        ],
        ids=lambda record: " ".join(record).encode("ascii", "replace").decode() or "nothing",
    )
    def test_every_array(self, record, path):
        make(path, record, ONE)
        first, second = records_of(path)
        same(first, record)
        same(second, ONE)

    @pytest.mark.parametrize(
        "name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "float16", "uint64", "bool"]
    )
    def test_every_dtype(self, name, path):
        dtype = np.dtype(getattr(ml_dtypes, name, name))
        x = np.arange(6).reshape(2, 3).astype(dtype)
        record = {"x": x, "column": x[:, 1], "transposed": x.T}
        make(path, record)
        same(records_of(path)[0], record)

    def test_it_grows_over_several_runs(self, path):
        for expected, record in enumerate([ONE, TWO, THREE]):
            log, records = Journal.open(str(path))
            with log:
                assert len(records) == expected
                log.append(record)
        for after, before in zip(records_of(path), [ONE, TWO, THREE], strict=True):
            same(after, before)

    def test_objects_are_refused_and_nothing_is_written(self, path):
        log, _ = Journal.open(path)
        with log:
            before = path.read_bytes()
            for x in (np.array([print]), np.array(["a"], np.dtypes.StringDType())):
                with pytest.raises(TypeError, match="'x' has dtype"):
                    log.append({"x": x})
            assert path.read_bytes() == before
            log.append(ONE)
        same(records_of(path)[0], ONE)

    def test_a_closed_journal_takes_nothing(self, path):
        log, _ = Journal.open(path)
        log.close()
        log.close()
        with pytest.raises(ValueError, match="closed"):
            log.append(ONE)


class TestTornTail:
    def test_cut_at_every_byte_of_the_last_record(self, path, quick):
        _, second, third = make(path, ONE, TWO, THREE)
        whole = path.read_bytes()
        for size in range(second, third):
            path.write_bytes(whole[:size])
            log, records = Journal.open(path)
            with log:
                assert len(records) == 2
                assert path.stat().st_size == second
                log.append(THREE)
            assert path.read_bytes() == whole
        for after, before in zip(records_of(path), [ONE, TWO, THREE], strict=True):
            same(after, before)

    def test_cut_within_the_header(self, path, quick):
        (end,) = make(path, ONE)
        whole = path.read_bytes()
        first = len(journal._MAGIC)
        for size in range(first + 1):
            path.write_bytes(whole[:size])
            log, records = Journal.open(path)
            with log:
                assert records == []
                log.append(ONE)
            assert path.read_bytes() == whole
        assert path.stat().st_size == end

    def test_each_byte_of_the_last_record_flipped(self, path, quick):
        first, second = make(path, ONE, TWO)
        whole = path.read_bytes()
        for i in range(first, second):
            damaged = bytearray(whole)
            damaged[i] ^= 1 << i % 8
            path.write_bytes(damaged)
            assert len(records_of(path)) == 1
            assert path.read_bytes() == whole[:first]

    @pytest.mark.parametrize("tail", [bytes(12), bytes(5000), b"\xff" * 100, b"x"])
    def test_a_tail_of_anything(self, tail, path):
        make(path, ONE)
        whole = path.read_bytes()
        path.write_bytes(whole + tail)
        same(*records_of(path), ONE)
        assert path.read_bytes() == whole

    def test_an_intact_file_is_not_touched_on_opening(self, path):
        make(path, ONE)
        before = path.stat().st_mtime_ns
        records_of(path)
        assert path.stat().st_mtime_ns == before


class TestCrash:
    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
    @pytest.mark.parametrize("after", [1, 5, 12])
    def test_a_killed_run_keeps_what_it_was_told_is_safe(self, after, path):
        program = """
i = len(records)
while True:
    log.append({"i": np.array(i), "x": np.full(100_000, i, np.float32)})
    print(i, flush=True)
    i += 1
"""
        expected = 0
        for _ in range(2):  # the second run goes on where the first was killed
            with start(program, path) as process:
                told = [int(process.stdout.readline()) for _ in range(after)]
                process.kill()
                told += [int(line) for line in process.stdout.read().split()]
            assert process.returncode == -signal.SIGKILL
            records = records_of(path)
            assert told[0] == expected
            # Perhaps one more, killed before it could tell.
            assert len(records) - (told[-1] + 1) in (0, 1)
            for i, record in enumerate(records):
                same(record, {"i": np.array(i), "x": np.full(100_000, i, np.float32)})
            expected = len(records)

    def test_a_full_disk(self, path):
        pytest.importorskip("resource")
        program = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
log.append({"x": np.zeros(3)})
before = log.path.read_bytes()
for _ in range(2):
    try:
        log.append({"x": np.ones(10_000)})
    except OSError as error:
        print(error, type(error.__cause__).__name__)
    assert log.path.read_bytes() == before
log.append({"x": np.ones(3)})
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.append({"x": np.ones(10_000)})
"""
        lines = finish(program, path).splitlines()
        assert len(lines) == 2
        for line in lines:
            assert "File too large" in line
            assert "free space and call again" in line
            assert str(path) in line
            assert "OSError" in line
        assert [record["x"].sum() for record in records_of(path)] == [0, 3, 10_000]

    @pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
    @pytest.mark.parametrize("where", ["write", "fsync"])
    def test_a_write_that_stops_half_way(self, stop, where, path, monkeypatch):
        make(path, ONE)
        before = path.read_bytes()
        log, _ = Journal.open(path)
        write = os.write

        def half(fd, data=b""):
            if len(data) > 100:
                return write(fd, data[:100])
            raise stop

        with log:
            with monkeypatch.context() as patch:
                patch.setattr(os, where, half)
                with pytest.raises(type(stop)) as caught:
                    log.append({"x": np.ones(1000)})
            assert isinstance(caught.value, KeyboardInterrupt) or caught.value.errno == 28
            assert path.read_bytes() == before
            log.append(TWO)
        assert len(records_of(path)) == 2

    def test_what_could_not_be_cut_off_is_cut_off_next_time(self, path, monkeypatch):
        log, _ = Journal.open(path)

        def fails(*args):
            raise OSError(5, "Input/output error")

        with log:
            log.append(ONE)
            with monkeypatch.context() as patch:
                patch.setattr(
                    os, "fsync", lambda fd: patch.setattr(os, "ftruncate", fails) or fails()
                )
                with pytest.raises(OSError, match="could not be written"):
                    log.append({"x": np.ones(1000)})
            assert path.stat().st_size > 8000
            log.append(TWO)
        assert len(records_of(path)) == 2
        assert path.stat().st_size < 8000


class TestOpening:
    def test_in_use_in_this_process(self, path):
        pytest.importorskip("fcntl")
        log, _ = Journal.open(path)
        with log:
            with pytest.raises(RuntimeError, match="is in use by another run"):
                Journal.open(path)
            log.append(ONE)
        assert len(records_of(path)) == 1

    def test_in_use_by_another_process(self, path):
        pytest.importorskip("fcntl")
        with start("print('open', flush=True); input()", path) as process:
            pass_on = process.stdout.readline()
            with pytest.raises(RuntimeError, match="is in use by another run"):
                Journal.open(path)
            process.kill()
        assert pass_on == "open\n"
        assert records_of(path) == []

    @pytest.mark.parametrize(
        "content", [b"x", b"hello, this is another file", b"ravine journal 2\n...", bytes(100)]
    )
    def test_not_a_journal(self, content, path):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a journal"):
            Journal.open(path)
        assert path.read_bytes() == content

    def test_a_whole_record_of_something_else_is_not_removed(self, path):
        make(path, ONE)
        payload = b"from the future"
        frame = journal._FRAME.pack(len(payload), journal._checksum(payload))
        content = path.read_bytes() + frame + payload
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be understood"):
            Journal.open(path)
        assert path.read_bytes() == content

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            Journal.open(tmp_path / "nowhere" / "x")
        with pytest.raises(IsADirectoryError):
            Journal.open(tmp_path)


def put(path, text, keep=2):
    replace(path, lambda file: file.write(text.encode()), keep)


def content(path, keep=2):
    return [(p.name, p.read_text()) for p in generations(path, keep)]


class TestReplace:
    @pytest.mark.parametrize("keep", [1, 2, 3])
    def test_so_many_are_kept(self, keep, path):
        assert generations(path, keep) == []
        for i in range(5):
            put(path, str(i), keep)
            told = [p.read_text() for p in generations(path, keep)]
            assert told == [str(j) for j in range(i, -1, -1)][:keep]
            assert len(list(path.parent.iterdir())) == len(told)
        names = [path.name, f"{path.name}.1", f"{path.name}.2"][:keep]
        assert [p.name for p in generations(str(path), keep)] == names

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_a_writer_that_raises(self, error, path):
        def half(file):
            file.write(b"half")
            raise error

        with pytest.raises(type(error)):
            replace(path, half)
        assert list(path.parent.iterdir()) == []
        put(path, "a")
        put(path, "b")
        with pytest.raises(type(error)):
            replace(path, half)
        assert content(path) == [(path.name, "b"), (f"{path.name}.1", "a")]
        assert len(list(path.parent.iterdir())) == 2

    @pytest.mark.parametrize("keep", [1, 2, 3])
    def test_after_every_rename_a_whole_file_is_there(self, keep, path, monkeypatch):
        rename, seen = os.replace, []

        def watched(source, target):
            rename(source, target)
            seen.append([text for _, text in content(path, keep)])

        monkeypatch.setattr(os, "replace", watched)
        for i in range(5):
            put(path, str(i), keep)
            assert seen[-1][0] == str(i)
        assert all(seen)

    @pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("keep", "stop"), [(1, 0), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (3, 3)]
    )
    def test_stopped_at_a_rename(self, keep, stop, done, path, monkeypatch):
        for i in range(keep):
            put(path, str(i), keep)
        before = content(path, keep)
        rename, calls = os.replace, []

        def stopped(source, target):
            calls.append(target)
            if done or len(calls) != stop + 1:
                rename(source, target)
            if len(calls) == stop + 1:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            put(path, "new", keep)
        if done and calls[-1] == path and len(calls) == stop + 1:  # the last: all was done
            assert content(path, keep)[0][1] == "new"
        else:
            assert content(path, keep) == before
            assert len(list(path.parent.iterdir())) == keep

    def test_a_crash_between_two_renames_is_made_good(self, path):
        one, old = (path.with_name(path.name + end) for end in (".1", ".old"))
        one.write_text("a")
        old.write_text("stale")
        path.with_name(path.name + ".part").write_text("half")
        assert content(path) == [(one.name, "a")]
        with pytest.raises(ZeroDivisionError):
            replace(path, lambda file: 1 / 0)
        assert content(path) == [(one.name, "a")]
        put(path, "b")
        assert content(path) == [(path.name, "b"), (one.name, "a")]
        assert len(list(path.parent.iterdir())) == 2

    def test_a_folder_is_not_moved_away(self, path):
        path.mkdir()
        with pytest.raises(IsADirectoryError, match="is a folder"):
            put(path, "a")
        assert [p.name for p in path.parent.iterdir()] == [path.name]

    def test_keep_counts(self, path):
        for call in (lambda: put(path, "a", 0), lambda: generations(path, 0)):
            with pytest.raises(ValueError, match="keep must be 1 or more"):
                call()
        assert not Path(path).exists()
