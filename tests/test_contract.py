"""The contract: a trial's result depends on its definition and on nothing else.

On a CPU that is meant to the last bit, at one width: not on the lane, the neighbours, the
order, the number of trials, the company of other optimizers, or how often the host looks.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ravine as rv
from ravine.engine import drive
from ravine.engine.plan import numbers_of, plan
from ravine.optimizers import SGD

LANES = 4
POINTS = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
# From far too small to far too large, so that trials end at very different steps.
RATES = [0.01, 1.0]

DEFAULTS = {"workers": 1, "metric": None, "metric_every": None, "prune": None, "sampler": "random"}


def valley(x):
    """Rosenbrock's function: bent, so that every rounding shows later."""
    return jnp.sum(10 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.fixture(autouse=True, scope="module")
def on_a_cpu():
    if jax.default_backend() != "cpu":
        pytest.skip("bit for bit is promised on CPUs")


def rows(out: rv.SweepResult) -> list[tuple[Any, ...]]:
    """Everything that is known of each trial, as bytes."""
    arrays = [out.values, out.best_values, out.steps, out.history]
    arrays += jax.tree.leaves(out.params)
    return [
        (str(out.status[i]), *(np.ascontiguousarray(a[i]).tobytes() for a in arrays))
        for i in range(len(out))
    ]


def given_starts(points=POINTS, rates=RATES, **kwargs):
    stop = rv.GradNorm(2.0) | rv.Diverged(1e6)
    opt = rv.Adam(rv.Grid(rates), b1=0.8)
    return rv.sweep(
        valley, rv.Starts(points), opt,
        steps=100, stop=stop, lanes=LANES, keep="all", record_every=7, **kwargs,
    )  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    return given_starts()


class TestOneSweep:
    def test_trials_end_at_different_steps_for_different_reasons(self, plain):
        assert len(set(plain.steps.tolist())) > 4
        assert len(set(plain.status)) > 1
        assert len(set(rows(plain))) == 12

    def test_the_same_call_gives_the_same_bits(self, plain):
        assert rows(given_starts()) == rows(plain)

    @settings(max_examples=8)
    @given(st.permutations(range(6)), st.permutations(range(2)))
    def test_neither_the_order_nor_the_lane_matters(self, starts, rates):
        want = rows(given_starts())
        out = rows(given_starts(POINTS[starts], [RATES[j] for j in rates]))
        for place, row in enumerate(out):
            assert row == want[2 * starts[place // 2] + rates[place % 2]]

    @settings(max_examples=8)
    @given(
        st.sets(st.integers(0, 5), min_size=1, max_size=3),
        st.sampled_from([np.nan, np.inf, -np.inf, 3e38]),
    )
    def test_a_poisoned_neighbour_changes_no_bit(self, poisoned, poison):
        points = POINTS.copy()
        points[list(poisoned), 1] = poison
        want, out = rows(given_starts()), given_starts(points)
        for id, row in enumerate(rows(out)):
            if id // 2 in poisoned:
                assert out.status[id] == rv.Status.DIVERGED
            else:
                assert row == want[id]

    def test_a_poisoned_learning_rate_changes_no_bit(self, plain):
        out = given_starts(rates=[RATES[0], np.float32(3e38)])
        assert set(out.status[1::2]) == {rv.Status.DIVERGED}
        assert rows(out)[::2] == rows(plain)[::2]

    def test_more_trials_leave_the_earlier_ones_alone(self, plain):
        more = rows(given_starts(trials=17))
        assert more[:12] == rows(plain)
        assert more[12:] == rows(plain)[:5]

    def test_company_does_not_matter(self, plain):
        others = {"a": rv.Adam(rv.Grid([0.5, 0.3]), b1=0.5), "b": rv.Adam(rv.Grid(RATES), b1=0.8)}
        stop = rv.GradNorm(2.0) | rv.Diverged(1e6)
        out = rv.sweep(
            valley, rv.Starts(POINTS), others,
            steps=100, stop=stop, lanes=LANES, keep="all", record_every=7,
        )  # fmt: skip
        assert rows(out)[12:] == rows(plain)
        assert not set(rows(out)[:12]) & set(rows(plain))

    @pytest.mark.parametrize("period", [0.0, 1e9], ids=["often", "seldom"])
    def test_how_often_the_host_looks_does_not_matter(self, plain, period, monkeypatch):
        monkeypatch.setattr(drive, "PERIOD", period)
        assert rows(given_starts()) == rows(plain)


DATA = np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32)
SPREAD = [0.01, 0.03, 0.1, 0.3, 1.0, 30.0, 1e20]


def fit(x, batch):
    return jnp.mean((batch @ x - 1) ** 2) + 0.01 * valley(x)


def with_data(rates):
    return rv.sweep(
        fit, POINTS[0], SGD(rv.Grid(rates), momentum=0.5), steps=30,
        batches=rv.Batches(DATA, 4), lanes=LANES, keep="all", key=2,
    )  # fmt: skip


@settings(max_examples=5)
@given(st.permutations(range(7)))
def test_with_data_neither_order_nor_diverging_neighbours_matter(order):
    want = with_data(SPREAD)
    assert {str(s) for s in want.status} == {"max_steps", "diverged"}
    out = rows(with_data([SPREAD[i] for i in order]))
    assert out == [rows(want)[i] for i in order]
    calm = rows(with_data([*SPREAD[:4], 0.02, 0.05, 0.07]))
    assert calm[:4] == rows(want)[:4]


def noisy(x, key):
    return jnp.sum(x * x) + jax.random.uniform(key)


INIT = partial(jax.random.uniform, shape=(3,))


class TestDrawn:
    def test_more_trials_leave_starts_and_noise_of_the_earlier_ones_alone(self):
        few, more = (
            rv.sweep(
                noisy, INIT, SGD(0.1), trials=n, steps=20, lanes=LANES, keep="all",
                stochastic=True,
            )
            for n in (6, 9)
        )  # fmt: skip
        assert rows(more)[:6] == rows(few)
        assert len(set(rows(more))) == 9

    @pytest.mark.parametrize(
        ("trials", "more"),
        [
            (8, {"b1": rv.Uniform(0.1, 0.9), "eps": rv.Choice([1e-8, 1e-4])}),
            (13, {"b2": rv.Grid([0.9, 0.99])}),
        ],
        ids=["random", "grid"],
    )
    def test_more_trials_or_spaces_change_no_draw_of_the_first(self, trials, more):
        def rates(n, **fields):
            opt = rv.Adam(rv.LogUniform(1e-5, 1.0), **fields)
            laid = plan(
                valley, INIT, opt, trials=n, steps=1, stop=rv.Diverged(), batches=None,
                args=None, key=4, seeds=None, lanes=None, keep=1, **DEFAULTS, record_every=None,
                has_aux=False, stochastic=False,
            )  # fmt: skip
            return numbers_of(laid)[laid.names.index("learning_rate")]

        np.testing.assert_array_equal(rates(trials, **more)[:8], rates(8))
