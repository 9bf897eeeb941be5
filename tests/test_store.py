"""Saved sweeps: everything comes back, nothing is pickled, and no half file appears."""

import io
import json
import pickle
import zipfile
from dataclasses import fields, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import Status
from ravine.core.types import Real, Transform
from ravine.engine.result import load
from ravine.engine.store import Opaque
from ravine.optimizers import SGD


class Pair(NamedTuple):
    first: Any
    second: Any


@jax.tree_util.register_pytree_with_keys_class
class Layer:
    """Somebody's own container."""

    def __init__(self, w: Any, b: Any) -> None:
        self.w, self.b = w, b

    def tree_flatten_with_keys(self):
        keys = jax.tree_util.GetAttrKey("w"), jax.tree_util.GetAttrKey("b")
        return list(zip(keys, (self.w, self.b), strict=True)), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


@rv.rule
class Mine(Transform):
    """A transform from outside the package."""

    factor: Real

    def init(self, params):
        return ()

    def update(self, updates, state, params=None, **extra):
        return jax.tree.map(lambda u: u * self.factor, updates), state


def halves(count):
    return 0.5 ** count.astype(float)


def make(n=3, **changes):
    """A result as a sweep would make it, without the sweep."""
    word = np.array(["", "adam ä", "x"], object)
    made = rv.SweepResult(
        values=np.array([1.5, np.nan, np.inf], np.float32)[:n],
        best_values=np.array([0.5, np.nan, -1e30], np.float32)[:n],
        metrics=np.array([0.1, np.inf, np.nan], np.float32)[:n],
        steps=np.arange(n, dtype=np.int32),
        status=np.array([Status.CONVERGED, Status.DIVERGED, Status.RUNNING], object)[:n],
        names=word[:n],
        hyperparameters={"learning_rate": np.float32([0.1, 0.2, np.nan])[:n]},
        seeds=np.array([7, 0, 3], np.int32)[:n],
        history=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        history_steps=np.array([0, 5]),
        aux={"n": np.arange(n, dtype=np.int32)[:, None]},
        metric_history=np.zeros((n, 0), np.float32),
        metric_steps=np.arange(0),
        placement={"worker": np.full(n, -1, np.int32)},
        kept_ids=np.array([0]),
        params={"w": np.ones((1, 2), np.float32)},
        templates={"": SGD(rv.Grid([0.1, 0.2])), "adam ä": rv.Adam(0.1), "x": SGD(0.5)},
        swept={"": ("learning_rate",), "adam ä": (), "x": ()},
        info={"seconds": 0.25, "lanes": 4, "occupancy": np.float64(0.5), "complete": True},
    )
    return replace(made, **changes)


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype == object:
            assert a.tolist() == b.tolist()
            assert [type(x) for x in a] == [type(x) for x in b]
        else:
            assert np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for k in a:
            same(a[k], b[k])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


def through(results, tmp_path):
    results.save(tmp_path / "run")
    return load(tmp_path / "run.npz")


class TestEverythingComesBack:
    def test_every_field(self, tmp_path):
        before = make(info={"seconds": 0.25, "lanes": 4, "occupancy": 0.5, "complete": True})
        after = through(before, tmp_path)
        for f in fields(before):
            same(getattr(before, f.name), getattr(after, f.name))
        assert repr(after) == repr(before)
        assert after[0].optimizer == SGD(0.1)
        assert after[0].status is Status.CONVERGED

    def test_numpy_numbers_are_numbers(self, tmp_path):
        info = {"a": np.float64(0.1), "b": np.float32(0.1), "c": np.int64(3), "d": float("-inf")}
        after = through(make(info=info), tmp_path).info
        assert {k: float(v) for k, v in after.items()} == {k: float(v) for k, v in info.items()}
        template = {"": SGD(np.float64(0.1), momentum=np.float32(0.5))}
        assert through(make(templates=template), tmp_path).templates == template

    @pytest.mark.parametrize(
        "dtype", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "complex64", "int8"]
    )
    def test_every_dtype(self, dtype, tmp_path):
        x = np.asarray(np.arange(6).reshape(2, 3), jnp.dtype(dtype))
        same(through(make(params=x), tmp_path).params, x)
        same(through(make(params=x[:, 0]), tmp_path).params, x[:, 0].copy())

    def test_every_container(self, tmp_path):
        x = np.ones((1, 2), np.float32)
        tree = {"a": [x, (x, None)], 3: Pair(x, {"deep": ()}), ("t", 1): [], None: x, True: x}
        after = through(make(params=tree), tmp_path).params
        assert list(after) == list(tree)
        same(after["a"], tree["a"])
        assert type(after[3]).__name__ == "Pair"
        assert after[3]._fields == Pair._fields
        same(tuple(after[3]), tuple(tree[3]))

    def test_somebodys_container_comes_back_as_names_and_arrays(self, tmp_path):
        x = np.ones((1, 2), np.float32)
        after = through(make(params=Layer(x, {"bias": 2 * x})), tmp_path).params
        same(after, {"w": x, "b/bias": 2 * x})

    def test_nothing_kept_and_no_trials_of_interest(self, tmp_path):
        after = through(
            make(seeds=None, params={"w": np.ones((0, 2))}, kept_ids=np.ones(0, int)), tmp_path
        )
        assert after.seeds is None
        assert after.params["w"].shape == (0, 2)
        assert after[0].params is None

    def test_optimizers_of_every_kind(self, tmp_path):
        templates = {
            "dtype": rv.Adam(rv.LogUniform(1e-3, 1.0), mu_dtype=jnp.bfloat16, nesterov=True),
            "schedule": SGD(rv.schedules.WarmupCosineDecay(0.0, 1.0, rv.IntUniform(1, 5), 100)),
            "chain": rv.chain(rv.ScaleByAdam(), rv.Scale(-0.1)),
            "array": SGD(np.float32([0.1, 0.2])),
        }
        after = through(make(templates=templates), tmp_path).templates
        assert after == templates
        assert repr(after) == repr(templates)

    def test_functions_become_markers(self, tmp_path):
        templates = {"": SGD(halves), "x": rv.chain(Mine(rv.Grid([1.0])), SGD(rv.Grid([0.1, 0.2])))}
        results = make(
            names=np.array(["", "", "x"], object),
            templates=templates,
            swept={"": (), "x": ("mine.factor", "sgd.learning_rate")},
            hyperparameters={
                "mine.factor": np.float32([np.nan, np.nan, 1.0]),
                "sgd.learning_rate": np.float32([np.nan, np.nan, 0.2]),
            },
        )
        assert results[2].optimizer == rv.chain(Mine(1.0), SGD(0.2))
        after = through(results, tmp_path)
        assert after.templates[""].learning_rate.function == Opaque("halves")
        assert "halves" in repr(after.templates[""])
        assert "Mine(factor=" in repr(after.templates["x"])
        # What is lost does not put a number in the wrong place.
        assert after[2].optimizer == after.templates["x"]
        assert after[2].hyperparameters == {"mine.factor": 1.0, "sgd.learning_rate": 0.2}


class TestFiles:
    def test_the_ending_is_added_once_and_found_again(self, tmp_path):
        make().save(str(tmp_path / "a.b"))
        make().save(tmp_path / "c.npz")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.npz", "c.npz"]
        for name in ("a.b", "a.b.npz", "c", "c.npz"):
            assert len(load(str(tmp_path / name))) == 3

    def test_nothing_is_pickled(self, tmp_path, monkeypatch):
        def never(*args, **kwargs):
            raise AssertionError

        for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
            monkeypatch.setattr(pickle, name, never)
        through(make(), tmp_path)
        with np.load(tmp_path / "run.npz", allow_pickle=False) as archive:
            assert all(archive[name].dtype != object for name in archive.files)

    def test_an_interrupted_save_leaves_the_old_file(self, tmp_path, monkeypatch):
        make().save(tmp_path / "run")

        def half(file, **arrays):
            file.write(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(np, "savez_compressed", half)
        with pytest.raises(KeyboardInterrupt):
            make(n=2).save(tmp_path / "run")
        assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]
        assert len(load(tmp_path / "run")) == 3

    def test_no_file_and_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "nothing")
        with pytest.raises(FileNotFoundError):
            make().save(tmp_path / "nowhere" / "run")

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
    def test_a_file_cut_short(self, share, tmp_path):
        make().save(tmp_path / "run")
        whole = (tmp_path / "run.npz").read_bytes()
        (tmp_path / "cut.npz").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(ValueError, match="is not a saved sweep"):
            load(tmp_path / "cut")

    def test_another_kind_of_file(self, tmp_path):
        path = tmp_path / "other.npz"
        for content in (b"hello", b"PK\x03\x04", self._npz(x=np.ones(3)), self._npy(np.ones(3))):
            path.write_bytes(content)
            with pytest.raises(ValueError, match="is not a saved sweep"):
                load(path)
        path.write_bytes(self._npy(np.array([print], object), allow_pickle=True))
        with pytest.raises(ValueError, match="is not a saved sweep"):
            load(path)

    @pytest.mark.parametrize(
        "meta",
        [
            [],
            {},
            {"format": 1},
            {"format": 1, "results": {}},
            {"format": 1, "results": {"values": {"array": "missing"}}},
            {"format": 1, "results": {"values": {"value": 1}, "surplus": {"value": 1}}},
            {"format": 1, "results": {"values": {"rule": ["os", "system", {}]}}},
            {"format": 1, "results": {"values": {"rule": ["ravine.engine.store", "Path", {}]}}},
            {"format": 1, "results": {"values": {"rule": ["ravine.nowhere", "Adam", {}]}}},
        ],
        ids=str,
    )
    def test_a_description_of_something_else(self, meta, tmp_path):
        (tmp_path / "odd.npz").write_bytes(self._npz(meta=np.array(json.dumps(meta))))
        with pytest.raises(ValueError, match="is not a saved sweep"):
            load(tmp_path / "odd")

    def test_a_file_from_the_future(self, tmp_path):
        content = self._npz(meta=np.array(json.dumps({"format": 99, "results": {"new": 1}})))
        (tmp_path / "new.npz").write_bytes(content)
        with pytest.raises(ValueError, match="newer version of ravine"):
            load(tmp_path / "new")

    def test_the_file_is_an_ordinary_archive(self, tmp_path):
        make().save(tmp_path / "run")
        assert zipfile.is_zipfile(tmp_path / "run.npz")

    @staticmethod
    def _npz(**arrays):
        file = io.BytesIO()
        np.savez(file, **arrays)
        return file.getvalue()

    @staticmethod
    def _npy(array, **kwargs):
        file = io.BytesIO()
        np.save(file, array, **kwargs)
        return file.getvalue()


def cubic(p):
    half = p["half"].astype(jnp.float32)
    return jnp.sum(p["list"][0] ** 2) + jnp.sum(half**2) + p["pair"].second ** 2


def test_a_sweep_through_a_file(tmp_path):
    start = {
        "list": [jnp.ones(2), (None,)],
        "half": jnp.ones(3, jnp.bfloat16),
        "pair": Pair(None, 2.0),
    }
    opt = {"own": rv.chain(rv.ScaleBySchedule(halves), SGD(rv.Grid([0.1, 0.2, 0.3])))}
    before = rv.sweep(cubic, start, opt, steps=4, keep="all", seeds=2, lanes=4)
    after = through(before, tmp_path)
    for f in fields(before):
        if f.name not in ("templates", "params", "again"):
            same(getattr(before, f.name), getattr(after, f.name))
    for x, y in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True):
        same(x, y)
    assert after.params["pair"].first is None
    assert after.names.tolist() == ["own"] * 6
    assert repr(after[5].optimizer) == repr(before[5].optimizer)
    assert after[5].optimizer.transforms[1] == SGD(0.3)
    assert after.best.id == before.best.id
    assert repr(after) == repr(before)
