"""Orders that are drawn: of the data, of points in the cube; and that all can be done again."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import Status
from ravine.engine import workers
from ravine.engine.batches import shuffled
from ravine.optimizers import SGD
from ravine.spaces import qmc

N = 12
IDS = np.arange(N, dtype=np.int32)
DATA = np.random.default_rng(1).normal(size=(N, 2)).astype(np.float32)
START = np.array([16.0, -8.0], np.float32)
RATES = np.geomspace(1e-3, 0.3, 9).astype(np.float32)


def orders(n, keys):
    """A permutation of ``range(n)`` for each of so many keys."""
    keys = jax.random.split(jax.random.key(5), keys)
    return np.asarray(jax.jit(jax.vmap(lambda k: shuffled(k, jnp.arange(n), n)))(keys))


class TestShuffled:
    @pytest.mark.parametrize("n", [1, 2, 3, 10, 127, 128, 1000])
    def test_it_is_a_permutation(self, n):
        found = orders(n, 50)
        np.testing.assert_array_equal(np.sort(found), np.broadcast_to(np.arange(n), (50, n)))
        different = len({row.tobytes() for row in found})
        assert different == min(50, [0, 1, 2, 6][n] if n < 4 else 50)

    def test_one_index_goes_where_it_goes_among_all(self, key):
        alone = shuffled(key, jnp.asarray([99]), 127)
        np.testing.assert_array_equal(alone, shuffled(key, jnp.arange(127), 127)[99:100])
        assert alone.dtype == jnp.int32

    @pytest.mark.parametrize("n", [2, 3, 8])
    def test_every_place_is_as_likely_as_any_other(self, n):
        many = 4000
        found = orders(n, many)
        counts = np.stack([np.bincount(column, minlength=n) for column in found.T])
        excess = np.sum((counts - many / n) ** 2 / (many / n))
        freedom = (n - 1) ** 2
        assert excess < freedom + 5 * np.sqrt(2 * freedom) + 5

    def test_every_permutation_comes_up(self):
        _, counts = np.unique(orders(4, 4800), axis=0, return_counts=True)
        assert len(counts) == 24
        assert np.sum((counts - 200) ** 2 / 200) < 23 + 5 * np.sqrt(46)


def fit(x, batch):
    """The aux shows which examples the batch has."""
    return jnp.mean((batch["x"] @ x - 1) ** 2), batch["id"]


def batches(order="own", **kwargs):
    return rv.Batches({"x": DATA, "id": IDS}, 4, order=order, **kwargs)


own = partial(
    rv.sweep, fit, START, optimizer=SGD(rv.Grid(RATES)), steps=14, batches=batches(), lanes=4,
    workers=1, keep="all", record_every=1, has_aux=True, key=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def seen():
    return own()


class TestOwnOrder:
    def test_every_epoch_of_every_trial_has_each_example_once(self, seen):
        assert seen.aux.shape == (9, 15, 4)
        epochs = seen.aux.reshape(9, 5, N)
        np.testing.assert_array_equal(np.sort(epochs), np.broadcast_to(IDS, (9, 5, N)))
        # No two of them alike, in one trial or in two.
        assert len({e.tobytes() for e in epochs.reshape(-1, N)}) == 45

    def test_the_order_follows_from_the_key_and_the_trial(self, seen):
        fewer = own(lanes=2, optimizer=SGD(rv.Grid(RATES[:6])))
        np.testing.assert_array_equal(fewer.aux, seen.aux[:6])
        two = own(workers=2)
        np.testing.assert_array_equal(two.aux, seen.aux)
        np.testing.assert_array_equal(two.values, seen.values)
        assert np.mean(own(key=4).aux == seen.aux) < 0.3

    def test_with_seeds_it_follows_from_the_seed(self, seen):
        out = own(optimizer=SGD(rv.Grid(RATES[:2])), seeds=[1, 5])
        np.testing.assert_array_equal(out.aux[:2], out.aux[2:])
        assert np.any(out.aux[0] != out.aux[1])

    def test_a_shared_order_is_the_same_for_all(self, seen):
        out = own(batches=batches("shared"))
        np.testing.assert_array_equal(out.aux, np.broadcast_to(out.aux[:1], out.aux.shape))
        epochs = np.sort(out.aux[0].reshape(5, N))
        np.testing.assert_array_equal(epochs, np.broadcast_to(IDS, (5, N)))

    def test_a_wrong_order_is_refused(self):
        with pytest.raises(ValueError, match='order must be "shared" or "own", got \'other\''):
            batches("other")
        with pytest.raises(ValueError, match="order='own' draws orders, and shuffle=False"):
            batches("own", shuffle=False)


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0]))


SPACES = SGD(rv.LogUniform(1e-3, 0.3), momentum=rv.Uniform(0.0, 0.9))
sampled = partial(rv.sweep, bowl, START, optimizer=SPACES, steps=5, lanes=4, workers=1)


@pytest.fixture
def never_begins(monkeypatch):
    """Ctrl-C before anything is compiled."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "executable", interrupted)


class TestSampler:
    @pytest.mark.parametrize("sampler", ["sobol", "latin"])
    @pytest.mark.usefixtures("never_begins")
    def test_the_numbers_are_the_quantiles_of_the_points(self, sampler, monkeypatch):
        points, draw = [], qmc.unit_points

        def remembered(*args, **kwargs):
            points.append(draw(*args, **kwargs))
            return points[-1]

        monkeypatch.setattr("ravine.engine.plan.unit_points", remembered)
        out = sampled(trials=8, sampler=sampler)
        assert points[0].shape == (8, 2)
        for space, at, name in zip(
            (SPACES.learning_rate, SPACES.momentum), points[0].T, out.hyperparameters, strict=True
        ):
            used = out.hyperparameters[name]
            np.testing.assert_allclose(used, jax.vmap(space.quantile)(at), rtol=1e-5)
            assert sorted(np.floor(at * 8).astype(int)) == list(range(8))  # one in each part
        again = sampled(trials=8, sampler=sampler, key=1).hyperparameters
        assert np.all(again["momentum"] != out.hyperparameters["momentum"])

    def test_more_trials_change_none_of_the_earlier(self):
        few, many = sampled(trials=5, sampler="sobol"), sampled(trials=11, sampler="sobol")
        np.testing.assert_array_equal(many.values[:5], few.values)
        for name, column in few.hyperparameters.items():
            np.testing.assert_array_equal(many.hyperparameters[name][:5], column)
        rate, momentum = (x[:, None] for x in many.hyperparameters.values())
        x, m = START, 0
        for _ in range(5):
            m = momentum * m + np.float32([2.0, 6.0]) * x
            x = x - rate * m
        np.testing.assert_allclose(many.values, jax.vmap(bowl)(x), rtol=1e-3)

    @pytest.mark.parametrize("wrong", ["halton", "Sobol", None, 3])
    @pytest.mark.usefixtures("never_begins")
    def test_a_wrong_sampler_is_refused(self, wrong):
        with pytest.raises(ValueError, match="sampler must be one of random, latin, sobol, got"):
            sampled(trials=8, sampler=wrong)
        with pytest.raises(ValueError, match="sampler must be one of"):
            sampled(optimizer=SGD(0.1), sampler=wrong)


def noisy(x, batch, key):
    return jnp.mean((batch @ x - 1) ** 2) + jax.random.uniform(key)


def least(x, batch):
    return jnp.mean((batch @ x - 1) ** 2)


RERUNS = {
    "in step": partial(
        rv.sweep, least, START, SGD(rv.Grid([*RATES, 1e20])), batches=rv.Batches(DATA, 5)
    ),
    "own orders, noise, two optimizers, seeds, pruned": partial(
        rv.sweep, noisy, partial(jax.random.normal, shape=(2,)),
        {"sgd": SGD(rv.Grid(RATES)), "heavy": SGD(rv.LogUniform(1e-2, 0.3), momentum=0.5)},
        trials=9, seeds=2, batches=rv.Batches(DATA, 5, order="own"), stochastic=True,
        prune=rv.SuccessiveHalving(eta=2, min_steps=4), stop=rv.GradNorm(0.1) | rv.Diverged(),
    ),
}  # fmt: skip


def check_places(out):
    """Every trial has a place, and no two have the same."""
    place = out.placement
    assert all(place[name].shape == (len(out),) for name in place)
    assert set(place["worker"]) <= {0, 1}
    assert set(place["lane"]) <= set(range(4))
    for program in set(out.names):  # each begins with segments of its own
        taken = [
            (place["worker"][i], place["lane"][i], segment)
            for i in np.flatnonzero(out.names == program)
            for segment in range(place["first"][i], place["last"][i] + 1)
        ]
        assert len(taken) == len(set(taken)) >= np.sum(out.names == program)


class TestAgain:
    @pytest.mark.parametrize("problem", RERUNS)
    def test_a_trial_runs_to_the_same_bits(self, problem):
        ran = RERUNS[problem](steps=20, lanes=4, workers=2, keep="all", record_every=3, key=2)
        check_places(ran)
        by_status = {(t.name, t.status): t.id for t in ran}
        for id in {0, len(ran) - 1, *by_status.values()}:
            trial, again = ran[id], ran.rerun(id)
            assert np.asarray(again.params).tobytes() == trial.params.tobytes()
            # A pruned trial was given up before the loss at its last point was known.
            cut = trial.status == Status.PRUNED
            assert len(again.history) == trial.steps + 1
            steps = ran.history_steps[ran.history_steps < trial.steps + (not cut)]
            np.testing.assert_array_equal(again.history[steps], trial.history[: len(steps)])
            assert again.history[trial.steps - cut] == trial.value or np.isnan(trial.value)
            for name in ("id", "name", "optimizer", "seed", "value", "steps", "status"):
                assert getattr(again, name) == getattr(trial, name) or np.isnan(trial.value)
        assert len(by_status) > 1

    def test_a_loaded_result_cannot(self, seen, tmp_path):
        seen.save(tmp_path / "out")
        with pytest.raises(ValueError, match="rerun needs the loss, which a saved result does not"):
            rv.load(tmp_path / "out.npz").rerun(0)
        with pytest.raises(IndexError, match="trial 9 of 9"):
            seen.rerun(9)
