"""Batches: which examples a step sees, in which order, and from which key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine.engine.trial import order_keys
from ravine.optimizers import SGD

N = 10
# Powers of two: the sum over a batch says which examples are in it.
TAGS = np.float32(2.0) ** np.arange(N, dtype=np.float32)


def tags(x, batch):
    """A loss that shows its batch; the point does not matter and does not move."""
    return jnp.sum(batch["tag"]) + 0 * jnp.sum(x)


def members(value):
    return {i for i in range(N) if int(value) >> i & 1}


def seen(size, *, key=0):
    batches = rv.Batches({"tag": TAGS}, size)
    out = rv.minimize(tags, jnp.zeros(1), SGD(0.0), steps=9, batches=batches, key=key)
    assert len(out.history) == 10
    return [members(v) for v in out.history]


class TestInTheLoop:
    def test_the_full_batch_has_everything_each_time(self):
        assert seen(None) == [set(range(N))] * 10

    def test_a_mini_batch_visits_each_example_at_most_once_an_epoch(self):
        steps = seen(4)
        assert all(len(s) == 4 for s in steps)
        epochs = [steps[t : t + 2] for t in range(0, 10, 2)]
        assert all(not (a & b) for a, b in epochs)
        assert len({tuple(map(frozenset, e)) for e in epochs}) == 5
        assert seen(4) == steps
        assert seen(4, key=1) != steps
        assert seen(4, key=jax.random.key(0)) == steps
        assert seen(4, key=np.int64(0)) == steps


def order(size, *, seeds=(0,), steps=10, key=0, n=N, shuffle=True):
    keys = order_keys(jax.random.key(key), jnp.asarray(seeds, jnp.int32))
    batches = rv.Batches(np.zeros(n), size, shuffle=shuffle)
    return np.asarray(batches.order(keys, steps))


class TestOrder:
    @pytest.mark.parametrize(("size", "steps"), [(1, 10), (3, 10), (10, 1000)])
    def test_an_epoch_is_a_permutation_short_of_the_last_incomplete_batch(self, size, steps):
        rows = order(size, steps=steps)
        per_epoch = N // size
        assert rows.dtype == np.int32
        assert rows.shape[2] == size
        assert rows.shape[1] % per_epoch == 0
        assert steps <= rows.shape[1] < steps + per_epoch
        for epoch in rows.reshape(-1, per_epoch * size):
            assert len(set(epoch.tolist())) == per_epoch * size
            assert set(epoch.tolist()) <= set(range(N))

    def test_without_shuffling_the_data_keep_their_own_order(self):
        rows = order(4, shuffle=False, seeds=(0, 3))
        assert rows.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]] * 2

    def test_a_longer_run_begins_with_the_orders_of_a_shorter_one(self):
        np.testing.assert_array_equal(order(3, steps=30)[:, :12], order(3))

    def test_seeds_have_orders_of_their_own_whatever_their_company(self):
        both = order(3, seeds=(4, 7))
        assert np.any(both[0] != both[1])
        np.testing.assert_array_equal(both[1:], order(3, seeds=(7,)))
        assert np.any(order(3, key=1) != order(3))

    def test_every_example_comes_first_about_equally_often(self):
        firsts = order(N, steps=1000)[0, :, 0]
        counts = np.bincount(firsts, minlength=N)
        assert np.all(np.abs(counts - 100) < 50)

    def test_the_full_batch_needs_no_order(self):
        keys = order_keys(jax.random.key(0), jnp.zeros(1, jnp.int32))
        assert rv.Batches(np.zeros(4)).order(keys, 10) is None


class TestDoor:
    def test_what_it_says_of_itself(self):
        x = rv.Batches((np.zeros((10, 3)), np.zeros(10)), 4)
        assert repr(x) == "Batches(10 examples, size=4, 2 batches an epoch)"
        assert (x.examples, x.size, x.per_epoch) == (10, 4, 2)
        assert rv.Batches(np.zeros((10, 3))).per_epoch == 1
        assert type(rv.Batches(np.zeros(3), np.int64(2)).size) is int

    @pytest.mark.parametrize(
        ("args", "kwargs", "error", "text"),
        [
            ((np.zeros(10), 11), {}, ValueError, "between 1 and the 10 examples, got 11"),
            ((np.zeros(10), 0), {}, ValueError, "size must lie between"),
            ((np.zeros(10), -1), {}, ValueError, "size must lie between"),
            ((np.zeros(10), 2.0), {}, TypeError, "size must be an int"),
            ((np.zeros(10), "all"), {}, TypeError, "size must be an int"),
            ((np.zeros(10), True), {}, TypeError, "size must be an int"),
            ((np.zeros(10), 2), {"shuffle": "yes"}, TypeError, "shuffle must be True or False"),
            ((np.zeros(0),), {}, ValueError, "0 examples"),
            ((np.float32(1.0),), {}, ValueError, "data at the root is a scalar"),
            (([[1.0, 2.0], [3.0, 4.0]],), {}, ValueError, r"data at 0/0 is a scalar.*np.asarray"),
            ((None,), {}, ValueError, "no arrays"),
            ((("a", "b"),), {}, TypeError, "data at 0 is a str"),
            ((np.array(["a", "b"]),), {}, TypeError, "data at the root is a ndarray"),
            ((lambda: 0,), {}, TypeError, "data at the root is a function"),
            (
                ({"x": np.zeros((10, 2)), "y": np.zeros(9)},), {}, ValueError,
                "10 at x, 9 at y",
            ),
        ],
    )  # fmt: skip
    def test_wrong_data_are_refused(self, args, kwargs, error, text):
        with pytest.raises(error, match=text):
            rv.Batches(*args, **kwargs)

    def test_a_data_frame_is_refused_with_the_fix(self):
        frame = pytest.importorskip("pandas").DataFrame({"x": [1.0, 2.0]})
        with pytest.raises(TypeError, match="to_numpy"):
            rv.Batches(frame)


def least_squares(w, batch, ridge):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2) + ridge * jnp.sum(w**2)


def test_a_sweep_shows_every_trial_the_same_single_samples(rng):
    x, y = np.float32(rng.normal(size=(N, 3))), np.float32(rng.normal(size=N))
    batches = rv.Batches((x, y), 1)
    rates = [0.0, 0.0625, 0.125]
    out = rv.sweep(
        least_squares, jnp.zeros(3), SGD(rv.Grid(rates)),
        steps=9, batches=batches, args=0.25, lanes=2, keep="all", key=3,
    )  # fmt: skip
    index = order(1, key=3)[0]
    step = jax.jit(jax.value_and_grad(least_squares))
    for i, rate in enumerate(rates):
        w = np.zeros(3, np.float32)
        for t in range(10):
            batch = x[index[t]], y[index[t]]
            value, gradient = step(w, batch, 0.25)
            np.testing.assert_allclose(out.history[i, t], value, rtol=1e-5)
            w = w - np.float32(rate) * np.asarray(gradient) if t < 9 else w
        np.testing.assert_allclose(out.params[i], w, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(out.values[i], least_squares(w, batch, 0.25), rtol=1e-5)
