"""Batches from any iterable: the same as from memory, and clear when it fails."""

import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine import stream
from ravine.engine.stream import DataError, Stream

X = np.random.default_rng(0).normal(size=(20, 4, 3)).astype(np.float32)
TRUE = np.array([1.0, 2.0, 3.0], np.float32)
BATCHES = [{"x": x} for x in X]


def loss(params, batch):
    return jnp.mean((batch["x"] @ params - batch["x"] @ TRUE) ** 2)


def streamed(batches, **change):
    arguments = {"trials": 10, "steps": 50, "lanes": 4, "keep": "all", "record_every": 1} | change
    optimizer = arguments.pop("optimizer", rv.SGD(rv.LogUniform(1e-3, 1.0)))
    return rv.sweep(loss, jnp.zeros(3), optimizer, batches=batches, **arguments)


def generated(n, fails=None):
    for i in range(n):
        if i == fails:
            raise OSError("the disk is gone")
        yield BATCHES[i % len(BATCHES)]


@pytest.fixture(scope="module")
def in_memory():
    data = rv.Batches({"x": X.reshape(-1, 3)}, size=4, shuffle=False)
    return streamed(data, workers=1)


@pytest.mark.parametrize("longest", [1, 7, 64])
def test_a_list_is_what_the_same_data_in_memory_is(in_memory, longest, monkeypatch):
    monkeypatch.setattr(stream, "_MOST_BATCHES", longest)
    out = streamed(BATCHES)
    np.testing.assert_allclose(out.history, in_memory.history, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out.params, in_memory.params, rtol=1e-5, atol=1e-6)
    assert out.info["workers"] == 1


def test_several_optimizers_each_begin_anew(in_memory):
    both = {"a": rv.SGD(rv.LogUniform(1e-3, 1.0)), "b": rv.SGD(0.1)}
    out = streamed(BATCHES, optimizer=both)
    np.testing.assert_allclose(out.values[:10], in_memory.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("more", [0, 1, 5])
def test_a_generator_serves_one_optimization(more):
    out = rv.minimize(loss, jnp.zeros(3), rv.Adam(0.1), steps=30, batches=generated(30 + more))
    assert out.steps == 30
    assert np.isfinite(out.history).all()


def test_what_fails_half_way_says_where_and_keeps_what_there_is():
    with pytest.raises(DataError, match=r"failed at batch 60: OSError\('the disk is gone'\)") as e:
        streamed(generated(99, fails=60), steps=90, lanes=10, stop=rv.Target(1e-4) | rv.Diverged())
    partial = e.value.results
    assert not partial.info["complete"]
    assert len(partial) == 10


def test_too_few_batches_of_a_generator():
    with pytest.raises(DataError, match="ended after 10 batches, and the trials take 50 steps"):
        streamed(generated(10), lanes=10)


def test_a_batch_of_another_shape():
    with pytest.raises(DataError, match="drop_last=True"):
        streamed([*BATCHES, {"x": X[0, :2]}], steps=30)


@pytest.mark.parametrize(
    ("batches", "change", "message"),
    [
        ([], {}, "the iterable holds no batch"),
        (generated(9), {}, "can be gone through once, and 10 trials in 4 lanes"),
        (generated(9), {"optimizer": {"a": rv.SGD(0.1), "b": rv.Adam(0.1)}}, "each optimizer"),
        (BATCHES, {"checkpoint": "folder"}, "checkpoint needs data in memory"),
    ],
    ids=["empty", "generator", "dict", "checkpoint"],
)
def test_what_cannot_be_is_said_before_anything_runs(batches, change, message):
    with pytest.raises(ValueError, match=message):
        streamed(batches, **change)


@pytest.mark.parametrize(
    "batches", [(X, X), {"x": X}, X, "data", 3], ids=lambda b: type(b).__name__
)
def test_data_is_no_stream(batches):
    with pytest.raises(TypeError, match=r"Batches\(data, size=\.\.\.\) or an iterable"):
        streamed(batches)


def test_an_iterable_that_fails_at_once():
    with pytest.raises(DataError, match="failed at its first batch"):
        Stream(generated(3, fails=0))


def test_words_are_no_numbers():
    with pytest.raises(DataError, match="no numbers"):
        Stream([{"x": np.array(["a"])}])
