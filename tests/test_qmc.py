"""Latin hypercubes and Sobol sequences, and the quantiles that turn them into numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ravine as rv
from ravine.spaces.distributions import Distribution
from ravine.spaces.qmc import SAMPLERS, unit_points
from ravine.spaces.sampling import draw

ONE = rv.Adam(rv.LogUniform(1e-5, 1.0))
THREE = rv.Adam(rv.LogUniform(1e-5, 1.0), b1=rv.Uniform(0.1, 0.9), b2=rv.Choice([0.9, 0.99]))
CROSSED = rv.Adam(rv.LogUniform(1e-5, 1.0), b1=rv.Grid([0.7, 0.8, 0.9, 0.95]))

SPACES = {
    "uniform": (rv.Uniform(-2.0, 3.0), stats.uniform(-2.0, 5.0)),
    "log uniform": (rv.LogUniform(1e-5, 10.0), stats.loguniform(1e-5, 10.0)),
    "normal": (rv.Normal(-1.0, 0.5), stats.norm(-1.0, 0.5)),
    "integers": (rv.IntUniform(-3, 7), stats.randint(-3, 8)),
    "one integer": (rv.IntUniform(4, 4), stats.randint(4, 5)),
    "choice": (rv.Choice([8.0, 0.5, 2.0]), stats.rv_discrete(values=([0, 1, 2], [1 / 3] * 3))),
}


@jax.jit
def quantiles(space, u):
    return jax.vmap(space.quantile)(u)


def shares(n):
    """Numbers from 0 to just below 1 in the default float dtype, and a few close to both ends."""
    dtype = jnp.result_type(float)
    tiny = np.geomspace(1e-9, 1e-2, 32)
    u = np.concatenate([[0.0], tiny, (np.arange(n) + 0.4) / n, 1 - tiny[::-1]]).astype(dtype)
    below = np.nextafter(np.ones((), dtype), np.zeros((), dtype))
    return np.append(np.sort(np.minimum(u, below)), below)


def check_quantile(name, dtype, rtol):
    space, want = SPACES[name]
    u = shares(1000)
    x = np.asarray(quantiles(space, u))
    low, high = space.bounds()
    assert x.dtype == (jnp.result_type(int) if "integer" in name else dtype)
    assert x.dtype == space.draw(jax.random.key(0)).dtype
    assert np.all(np.isfinite(x))
    assert np.all(np.diff(x) >= 0)
    assert np.asarray(low, x.dtype) <= x[0]
    assert x[-1] <= np.asarray(high, x.dtype)
    inner = slice(1, -1) if name == "normal" else slice(None)
    u = np.maximum(u.astype(float), jnp.finfo(dtype).epsneg)[inner]
    expected = want.ppf(u)
    if name == "choice":
        expected = np.sort(np.asarray(space.options))[expected.astype(int)]
    np.testing.assert_allclose(x[inner], expected, rtol=rtol, atol=rtol)


class TestQuantile:
    @pytest.mark.parametrize("name", SPACES)
    def test_it_inverts_the_distribution_function(self, name):
        check_quantile(name, np.float32, 1e-5)

    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize("name", SPACES)
    def test_it_does_in_double_precision(self, name):
        check_quantile(name, np.float64, 1e-12)

    def test_a_normal_number_has_two_equal_tails(self):
        low, middle, high = np.asarray(quantiles(rv.Normal(), np.float32([0, 0.5, 1 - 2**-24])))
        assert middle == 0
        assert high == pytest.approx(-low, rel=1e-5)
        assert 5 < high < 6

    @pytest.mark.parametrize(
        ("low", "high"), [(2**31 - 3, 2**31 - 2), (2 - 2**31, 2**31 - 2), (-1, 2**31 - 2)]
    )
    def test_large_integers_keep_their_ends(self, low, high):
        u = shares(100)
        x = np.asarray(quantiles(rv.IntUniform(low, high), u)).astype(int)
        assert x[0] == low
        assert np.all(np.diff(x) >= 0)
        want = np.clip(np.floor(low + u.astype(float) * (high - low + 1)), low, high)
        np.testing.assert_allclose(x, want, atol=(high - low) * 2.0**-23)

    @pytest.mark.parametrize("cls", [rv.Uniform, rv.LogUniform])
    def test_an_empty_range_has_its_one_number(self, cls):
        assert set(quantiles(cls(0.3, 0.3), shares(16)).tolist()) == {float(np.float32(0.3))}

    def test_every_distribution_has_one(self):
        for cls in vars(rv).values():
            if inspect.isclass(cls) and issubclass(cls, Distribution):
                assert "quantile" in vars(cls)


class TestPoints:
    @pytest.mark.parametrize("sampler", ["latin", "sobol"])
    @pytest.mark.parametrize("count", [1, 2, 7, 64])
    def test_there_is_a_row_a_trial_and_a_column_a_random_space(self, sampler, count):
        points = unit_points(sampler, THREE, count, 0)
        assert points.shape == (count, 3)
        assert points.dtype == np.float32
        assert np.all((points >= 0) & (points < 1))
        assert unit_points(sampler, CROSSED, count, 0).shape == (count, 1)

    @pytest.mark.usefixtures("x64")
    @pytest.mark.parametrize("sampler", ["latin", "sobol"])
    def test_double_precision_has_the_same_points_in_full(self, sampler):
        points = unit_points(sampler, THREE, 16, 0)
        assert points.dtype == np.float64
        assert np.any(points != points.astype(np.float32))

    @pytest.mark.parametrize("sampler", ["latin", "sobol"])
    def test_a_seed_fixes_them(self, sampler):
        points = unit_points(sampler, THREE, 16, 3)
        np.testing.assert_array_equal(points, unit_points(sampler, THREE, 16, 3))
        assert not np.any(points == unit_points(sampler, THREE, 16, -4))

    @pytest.mark.parametrize("sampler", ["latin", "sobol"])
    @pytest.mark.parametrize("template", [THREE, CROSSED], ids=["random", "crossed"])
    def test_every_part_of_a_range_holds_one_trial(self, sampler, template):
        n = 1024
        for column in unit_points(sampler, template, n, 0).T:
            assert sorted(np.floor(column * n)) == list(range(n))

    def test_a_latin_hypercube_does_for_any_count_and_through_a_quantile(self):
        n = 100
        points = unit_points("latin", ONE, n, 0)
        assert sorted(np.floor(points[:, 0].astype(float) * n)) == list(range(n))
        x = np.asarray(quantiles(ONE.learning_rate, points[:, 0]), float)
        assert sorted(np.floor((np.log10(x) + 5) / 5 * n)) == list(range(n))

    @pytest.mark.parametrize("template", [THREE, CROSSED], ids=["random", "crossed"])
    def test_more_trials_leave_a_sobol_sequence_as_it_began(self, template):
        points = unit_points("sobol", template, 300, 0)
        for count in (1, 5, 128, 299):
            np.testing.assert_array_equal(unit_points("sobol", template, count, 0), points[:count])

    @pytest.mark.parametrize("sampler", ["latin", "sobol"])
    def test_every_point_of_a_grid_meets_the_whole_range(self, sampler):
        points = unit_points(sampler, CROSSED, 256, 0)[:, 0]
        alone = unit_points(sampler, ONE, 256, 0, paired=True)[:, 0]
        for part in [x[i::4] for x in (points, alone) for i in range(4)]:
            assert stats.kstest(part, "uniform").pvalue > 0.01

    def test_independent_draws_need_none(self):
        assert unit_points("random", THREE, 8, 0) is None
        for sampler in SAMPLERS:
            assert unit_points(sampler, rv.Adam(0.1, b1=rv.Grid([0.9])), 8, 0) is None

    def test_an_unknown_sampler_is_refused(self):
        with pytest.raises(ValueError, match="one of random, latin, sobol, got 'halton'"):
            unit_points("halton", rv.Adam(0.1), 8, 0)

    def test_too_many_spaces_for_a_sobol_sequence_are_refused(self):
        template = [rv.Uniform(0.0, 1.0)] * 21202
        with pytest.raises(ValueError, match="at most 21201 dimensions, and there are 21202"):
            unit_points("sobol", template, 8, 0)


class TestDraw:
    @pytest.mark.parametrize("sampler", ["latin", "sobol"])
    def test_random_spaces_take_their_points_and_grids_go_on(self, sampler, key):
        template = (rv.Uniform(-1.0, 1.0), rv.Grid([5, 6, 7]), rv.IntUniform(0, 9))
        points = unit_points(sampler, template, 12, 0)
        ids = jnp.arange(24, dtype=jnp.int32)
        one = jax.jit(jax.vmap(lambda i, unit: draw(template, key, i, unit), (0, None)))
        a, b, c = one(ids, points)
        twice = np.concatenate([points, points])
        np.testing.assert_allclose(a, 2 * twice[:, 0] - 1, atol=1e-6)
        np.testing.assert_array_equal(b, np.arange(24) % 3 + 5)
        np.testing.assert_array_equal(c, np.floor(10 * twice[:, 1]))
        assert (a.dtype, b.dtype, c.dtype) == (jnp.float32, jnp.int32, jnp.int32)

    def test_without_points_nothing_changes(self, key):
        numbers = draw(THREE, key, jnp.int32(3))
        assert numbers == draw(THREE, key, jnp.int32(3), None)
        assert numbers != draw(THREE, key, jnp.int32(3), jnp.full((4, 3), 0.5))
