"""Population-based training: the worst go on from the best, with numbers a little changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv

EVERY, STEPS = 8, 40


def bowl(x):
    return jnp.sum(x**2)


def population(factor=1.5, **change):
    arguments = {
        "trials": 12, "lanes": 12, "workers": 1, "steps": STEPS, "keep": "all", "record_every": 1,
        "prune": rv.PopulationBasedTraining(every=EVERY, factor=factor),
    } | change  # fmt: skip
    optimizer = arguments.pop("optimizer", rv.SGD(rv.LogUniform(1e-5, 0.4), momentum=0.5))
    return rv.sweep(bowl, jnp.ones(3), optimizer, **arguments)


def test_the_worst_take_over_where_the_best_are():
    whole, alone = population(), population(prune=None)
    first = slice(0, EVERY + 1)
    last = whole.history[:, EVERY - 1]
    assert np.array_equal(whole.history[:, : EVERY - 1], alone.history[:, : EVERY - 1])
    order = np.argsort(np.mean(whole.history[:, :EVERY], axis=1))
    moved = whole.history[:, EVERY] != alone.history[:, EVERY]
    assert set(np.flatnonzero(moved)) == set(order[-3:])
    best = whole.history[order[:3], EVERY]
    assert set(whole.history[order[-3:], EVERY]) <= set(best)
    assert np.all(last[order[-3:]] > best.max())
    assert whole.history[order[0], first].tolist() == alone.history[order[0], first].tolist()


def test_all_do_better_than_alone():
    assert np.median(population().values) < 1e-3 * np.median(population(prune=None).values)


def test_numbers_change_by_the_factor_and_stay_within_bounds():
    drawn = population(prune=None).hyperparameters["learning_rate"]
    for factor in (1.5, 10.0):
        now = population(factor).hyperparameters["learning_rate"]
        assert np.any(now != drawn)
        assert now.min() >= np.float32(1e-5) and now.max() <= np.float32(0.4)  # noqa: PT018
        steps = np.log(now[:, None] / drawn) / np.log(factor)
        free = now < np.float32(0.4)
        assert np.all(np.min(np.abs(steps - np.round(steps)), axis=1)[free] < 1e-4)


def test_grids_and_choices_are_copied_as_they_are():
    optimizer = rv.SGD(rv.LogUniform(1e-5, 0.4), momentum=rv.Choice([0.1, 0.5]))
    out = population(optimizer=optimizer)
    assert set(out.hyperparameters["momentum"]) <= {np.float32(0.1), np.float32(0.5)}
    out = population(optimizer=rv.SGD(rv.LogGrid(1e-5, 0.4, 12)))
    drawn = np.asarray(rv.LogGrid(1e-5, 0.4, 12).values())
    assert set(out.hyperparameters["learning_rate"]) <= set(drawn)


def test_the_same_call_gives_the_same_population():
    a, b = population(), population()
    assert a.values.tobytes() == b.values.tobytes()
    assert a.params.tobytes() == b.params.tobytes()


def test_what_is_not_finite_is_replaced_or_ends():
    out = population(optimizer=rv.SGD(rv.LogGrid(0.1, 1e30, 12)), stop=rv.GradNorm(0.0))
    assert np.isfinite(out.values).sum() > 0
    assert out.best.value < 1.0


def test_populations_follow_each_other_and_batches_are_their_own():
    def loss(x, batch):
        return jnp.mean((x[None] - batch) ** 2)

    data = jnp.asarray(np.random.default_rng(0).normal(size=(24, 3)), jnp.float32)
    out = rv.sweep(
        loss, jnp.zeros(3), rv.Adam(rv.LogUniform(1e-4, 1.0)), trials=10, lanes=4, steps=16,
        workers=1, batches=rv.Batches(data, size=6, order="own"), metric=bowl,
        prune=rv.PopulationBasedTraining(every=4),
    )  # fmt: skip
    assert {str(s) for s in out.status} == {"max_steps"}
    assert set(out.placement["first"]) == {0, 5, 10}


def test_a_trial_of_a_population_cannot_be_run_alone():
    with pytest.raises(ValueError, match="depends on the others"):
        population().rerun(0)


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"every": 4, "quantile": 0.6}, {"every": 4, "factor": 1.0}], ids=str
)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        rv.PopulationBasedTraining(**wrong)


def test_the_state_of_the_optimizer_goes_along():
    out = population(optimizer=rv.SGD(rv.LogUniform(1e-5, 0.4), momentum=0.99))
    assert jax.tree.leaves(out.params)[0].shape == (12, 3)
    assert np.isfinite(out.values).all()
