"""Spaces: what comes out of them, what they are called, and what they refuse."""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import schedules as rs
from ravine.core.types import Space
from ravine.optimizers import SGD
from ravine.spaces.sampling import canonical, draw, fill, grid_size, spaces

N = 4096
RANDOM = rv.LogUniform(1e-3, 1.0)


@jax.jit
def draws(space: Any, keys: jax.Array) -> jax.Array:
    return jax.vmap(space.draw)(keys)


def sample(space: Any, key: jax.Array, n: int = N) -> np.ndarray:
    return np.asarray(draws(space, jax.random.split(key, N)))[:n]


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])


CONTINUOUS = {
    "uniform": (rv.Uniform(-2.0, 3.0), lambda x: (x + 2) / 5),
    "log uniform": (rv.LogUniform(1e-5, 10.0), lambda x: np.log(x / 1e-5) / np.log(1e6)),
    "normal": (rv.Normal(-1.0, 0.5), lambda x: normal_cdf((x + 1) / 0.5)),
}


class TestDistributions:
    @pytest.mark.parametrize("name", CONTINUOUS)
    def test_the_distribution_function_is_the_stated_one(self, name, key):
        space, cdf = CONTINUOUS[name]
        x = np.sort(sample(space, key))
        low, high = space.bounds()
        assert x.dtype == np.float32
        assert low <= x[0]
        assert x[-1] <= high
        # Kolmogorov and Smirnov: beyond 1.95 / sqrt(n) with probability 0.001.
        distance = np.max(np.abs(cdf(x.astype(float)) - (np.arange(N) + 0.5) / N))
        assert distance < 1.95 / math.sqrt(N)
        assert len(np.unique(x)) > 0.99 * N

    @pytest.mark.parametrize(("low", "high"), [(1, 6), (-3, 3), (7, 7), (0, 1)])
    def test_integers_come_out_equally_often_with_both_ends(self, low, high, key):
        x = sample(rv.IntUniform(low, high), key)
        assert x.dtype == np.int32
        values, counts = np.unique(x, return_counts=True)
        assert values.tolist() == list(range(low, high + 1))
        share = 1 / len(values)
        assert np.all(np.abs(counts - N * share) < 4.5 * math.sqrt(N * share * (1 - share)) + 1e-9)

    def test_large_integers_keep_their_ends(self, key):
        x = sample(rv.IntUniform(2**31 - 3, 2**31 - 2), key, 64)
        assert set(x.tolist()) == {2**31 - 3, 2**31 - 2}

    @pytest.mark.parametrize("options", [[0.5, 0.25, 8.0], [3, 1, 2], np.arange(3)])
    def test_choices_are_the_options_and_nothing_else(self, options, key):
        x = sample(rv.Choice(options), key)
        values, counts = np.unique(x, return_counts=True)
        assert values.tolist() == sorted(options)
        assert x.dtype == (np.int32 if np.asarray(options).dtype.kind == "i" else np.float32)
        assert np.all(np.abs(counts - N / len(options)) < 4.5 * math.sqrt(N / len(options)))

    @pytest.mark.usefixtures("x64")
    def test_double_precision_draws_doubles(self):
        x = sample(rv.LogUniform(1e-5, 1.0), jax.random.key(3), 64)
        assert x.dtype == np.float64
        assert np.any(x != x.astype(np.float32))
        assert sample(rv.Choice([0.1]), jax.random.key(3), 1).item() == 0.1

    @pytest.mark.parametrize("cls", [rv.Uniform, rv.LogUniform])
    def test_an_empty_range_has_its_one_number(self, cls, key):
        assert set(sample(cls(0.3, 0.3), key, 16).tolist()) == {float(np.float32(0.3))}


class TestGrids:
    def test_a_grid_has_its_points_in_order(self):
        grid = rv.Grid([0.3, 0.1, 0.1])
        assert grid.size == 3
        np.testing.assert_array_equal(grid.values(), np.float32([0.3, 0.1, 0.1]))
        assert rv.Grid([1, 2]).values().dtype == jnp.int32
        assert rv.Grid([1, 2.5]).values().dtype == jnp.float32
        assert rv.Grid(2.0**-k for k in range(3)) == rv.Grid([1.0, 0.5, 0.25])

    def test_integers_that_32_bits_cannot_hold_are_floats(self):
        assert rv.Grid([10**10, 1]).values().tolist() == [1e10, 1.0]
        assert rv.Choice([10**30]).bounds() == (1e30, 1e30)

    @pytest.mark.parametrize("n", [1, 2, 5, 33])
    @pytest.mark.parametrize(("low", "high"), [(1e-5, 0.3), (0.7, 123.0), (1e-30, 1e30), (2, 2)])
    def test_a_log_grid_has_exact_ends_and_constant_ratios(self, low, high, n):
        x = np.asarray(rv.LogGrid(low, high, n).values(), float)
        assert x.shape == (n,)
        assert x[0] == np.float32(low)
        assert n == 1 or x[-1] == np.float32(high)
        if n > 1:
            np.testing.assert_allclose(np.diff(np.log(x)), np.log(high / low) / (n - 1), atol=2e-5)

    def test_grids_multiply_out_with_the_last_one_fastest(self, key):
        lists = ([0.5, 0.25], [0.9, 0.8, 0.7], [1e-3, 1e-2])
        template = rv.Adam(*(rv.Grid(x) for x in lists))
        assert grid_size(template) == 12
        drawn = [draw(template, key, jnp.int32(i)) for i in range(12)]
        want = [tuple(np.float32(x)) for x in itertools.product(*lists)]
        assert [tuple(np.asarray(x)) for x in drawn] == want
        again = draw(template, key, jnp.int32(12 + 5))
        assert tuple(np.asarray(again)) == want[5]
        assert grid_size(rv.Adam(0.1)) is None


class TestDraw:
    def test_adding_a_space_changes_no_other_number(self, key):
        one = draw(rv.Adam(RANDOM), key, jnp.int32(3))
        two = draw(rv.Adam(RANDOM, b1=rv.Uniform(0.1, 0.9)), key, jnp.int32(3))
        crossed = draw(rv.Adam(RANDOM, b2=rv.Grid([0.9, 0.99])), key, jnp.int32(3))
        assert one[0] == two[0] == crossed[0]

    def test_configurations_keys_and_names_all_tell_apart(self, key):
        template = rv.Adam(rv.Uniform(0.0, 1.0), b1=rv.Uniform(0.0, 0.99))
        numbers = np.array([draw(template, key, jnp.int32(i)) for i in range(8)]).ravel()
        other = np.array(draw(template, jax.random.key(1), jnp.int32(0)))
        assert len(np.unique(np.concatenate([numbers, other]))) == 18

    def test_a_space_of_another_kind_is_an_error(self, key):
        class Strange(Space):
            def bounds(self):
                return 0.1, 0.2

        with pytest.raises(TypeError, match="learning_rate must be a grid or a distribution"):
            draw((rv.Adam(Strange()), None, None), key, jnp.int32(0))

    def test_fill_puts_numbers_where_spaces_stood(self):
        template = (rv.Adam(RANDOM, b1=0.5, b2=rv.Grid([0.9])), {"a": [RANDOM, 3.0]}, None)
        filled = fill(template, [1, 2, 3])
        opt, args, rest = filled
        assert (opt.learning_rate, opt.b1, opt.b2, args, rest) == (1, 0.5, 2, {"a": [3, 3.0]}, None)


class Pair(NamedTuple):
    a: Any
    b: Any


@jax.tree_util.register_pytree_node_class
class Opaque:
    """A container whose children have no names."""

    def __init__(self, *children: Any) -> None:
        self.children = children

    def tree_flatten(self):
        return self.children, None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


NAMES = {
    "field": (rv.Adam(RANDOM, b2=rv.Grid([0.9])), ["learning_rate", "b2"]),
    "schedule": (
        rv.Adam(rs.WarmupCosineDecay(0.0, RANDOM, rv.IntUniform(1, 5), 100)),
        ["learning_rate.peak_value", "learning_rate.warmup_steps"],
    ),
    "schedules in a row": (
        SGD(rs.Join([RANDOM, rs.Linear(RANDOM, 0.0, 10)], [rv.IntUniform(5, 9)])),
        [
            "learning_rate.schedules.0.value",
            "learning_rate.schedules.1.init_value",
            "learning_rate.boundaries.0",
        ],
    ),
    "jumps": (
        SGD(rs.PiecewiseConstant(0.5, [(rv.IntUniform(1, 9), RANDOM), (20, RANDOM)])),
        [
            "learning_rate.boundaries_and_scales.0.boundary",
            "learning_rate.boundaries_and_scales.0.scale",
            "learning_rate.boundaries_and_scales.1.scale",
        ],
    ),
    "chain": (
        rv.chain(rv.ScaleByAdam(b1=rv.Uniform(0.1, 0.9)), rv.Scale(RANDOM), rv.Scale(RANDOM)),
        ["scale_by_adam.b1", "scale.step_size", "scale_2.step_size"],
    ),
    "chain in a chain": (
        rv.chain(rv.Scale(1.0), rv.chain(rv.Scale(2.0), SGD(RANDOM))),
        ["chain.sgd.learning_rate"],
    ),
    "tree": (
        {"l1": RANDOM, "more": [RANDOM, (RANDOM, 1.0, None)]},
        ["l1", "more.0", "more.1.0"],
    ),
    "named tuples": (Pair(Pair(RANDOM, 1.0), Pair(RANDOM, RANDOM)), ["a.a", "b.a", "b.b"]),
    "somebody's container": ({"x": Opaque(1.0, Opaque(RANDOM))}, ["x.1.0"]),
    "dots in keys": ({"a.b": RANDOM, "a": {"b": RANDOM}}, ["a.b", "a.b_"]),
    "stop": (
        rv.GradNorm(RANDOM) | (rv.Target(RANDOM) & rv.MaxSteps(RANDOM)),
        ["first.tol", "second.first.value", "second.second.n"],
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_readable_unique_and_in_leaf_order(case):
    template, names = NAMES[case]
    if case == "dots in keys":
        assert sorted(spaces(template)) == sorted(names)
    else:
        assert list(spaces(template)) == names
    found = jax.tree.leaves(template, is_leaf=lambda x: isinstance(x, Space))
    assert sum(isinstance(x, Space) for x in found) == len(names)


class TestCanonical:
    def test_every_spelling_of_a_number_is_the_same_array(self):
        spellings = [0.5, np.float64(0.5), np.float32(0.5), jnp.asarray(0.5), jnp.float32(0.5)]
        spellings += [np.asarray(0.5), jnp.asarray(0.5, jnp.bfloat16)]
        avals = {jax.typeof(canonical(x, one_float=True)) for x in spellings}
        assert len(avals) == 1
        assert not avals.pop().weak_type

    def test_arrays_keep_their_dtype(self):
        x = canonical({"h": jnp.ones(2, jnp.bfloat16), "i": 3, "b": True, "c": 1j, "f": 1.0})
        assert {k: v.dtype.name for k, v in x.items()} == {
            "h": "bfloat16", "i": "int32", "b": "bool", "c": "complex64", "f": "float32",
        }  # fmt: skip
        assert canonical(3_000_000_000).dtype == jnp.float32

    @pytest.mark.usefixtures("x64")
    def test_one_float_is_a_double_in_double_precision(self):
        assert canonical(np.float32(0.5), one_float=True).dtype == jnp.float64
        assert canonical(np.float32(0.5)).dtype == jnp.float32


@pytest.mark.parametrize(
    "space",
    [
        rv.Uniform(-0.5, 2.0),
        rv.LogUniform(1e-05, 1.0),
        rv.Normal(1.0, 2.0),
        rv.IntUniform(-1, 6),
        rv.Choice([0.8, 0.95]),
        rv.Choice([3, 5]),
        rv.Grid([0.1, 10000.0]),
        rv.LogGrid(0.001, 1.0, 4),
    ],
    ids=lambda space: type(space).__name__,
)
def test_a_space_is_plain_data(space):
    assert eval(repr(space), vars(rv)) == space
    assert hash(eval(repr(space), vars(rv))) == hash(space)
    assert jax.tree.map(lambda x: x, space) == space
    leaves, structure = jax.tree.flatten(space)
    for placeholder in (None, object(), jax.ShapeDtypeStruct((), float), 0):
        repr(jax.tree.unflatten(structure, [placeholder] * len(leaves)))
    shown = []
    jax.jit(lambda s: shown.append(repr(s)))(space)
    assert "traced" in shown[0]


def test_arrays_show_as_written():
    assert repr(rv.Grid(jnp.array([0.1, 0.2]))) == "Grid([0.1, 0.2])"
    assert repr(rv.Choice(np.float32([0.1]))) == "Choice([0.1])"


WRONG = [
    (lambda: rv.Uniform(1.0, 0.5), ValueError, "low must not exceed high"),
    (lambda: rv.Uniform(0.0, math.inf), ValueError, "must be finite"),
    (lambda: rv.Uniform(math.nan, 1.0), ValueError, "low"),
    (lambda: rv.Uniform("a", 1.0), TypeError, "low"),
    (lambda: rv.Uniform(None, 1.0), TypeError, "low"),
    (lambda: rv.Uniform(True, 2.0), TypeError, "low"),
    (lambda: rv.Uniform(np.zeros(3), 1.0), TypeError, "low must be one number"),
    (lambda: rv.Uniform(0.0, rv.Uniform(1.0, 2.0)), TypeError, "high must be one number"),
    (lambda: rv.Uniform(0.0, lambda t: t), TypeError, "high"),
    (lambda: rv.LogUniform(0.0, 1.0), ValueError, "low must be greater than 0"),
    (lambda: rv.LogUniform(-1.0, 1.0), ValueError, "low"),
    (lambda: rv.Normal(0.0, 0.0), ValueError, "std"),
    (lambda: rv.Normal(np.zeros(2)), TypeError, "mean must be one number"),
    (lambda: rv.IntUniform(1.5, 3), TypeError, "low must be a whole number"),
    (lambda: rv.IntUniform(1, 3.0), TypeError, "high must be a whole number"),
    (lambda: rv.IntUniform(1, 2**31), ValueError, "high must lie within 32 bits"),
    (lambda: rv.IntUniform(3, 1), ValueError, "low must not exceed high"),
    (lambda: rv.Grid([]), ValueError, "at least one number"),
    (lambda: rv.Grid(0.1), TypeError, "sequence of numbers"),
    (lambda: rv.Grid("abc"), TypeError, "sequence of numbers"),
    (lambda: rv.Grid({0.1: 0.2}), TypeError, "sequence of numbers"),
    (lambda: rv.Grid([0.1, None]), TypeError, "holds numbers"),
    (lambda: rv.Grid([True, False]), TypeError, "dict of optimizers"),
    (lambda: rv.Grid([0.1, math.nan]), ValueError, "finite"),
    (lambda: rv.Grid([[0.1, 0.2]]), TypeError, "holds numbers"),
    (lambda: rv.Grid([np.zeros(2)]), TypeError, "holds numbers"),
    (lambda: rv.Grid([rv.Uniform(0.0, 1.0)]), TypeError, "holds numbers"),
    (lambda: rv.Choice([rv.Adam(0.1)]), TypeError, "dict of optimizers"),
    (lambda: rv.Choice([1j]), TypeError, "holds numbers"),
    (lambda: rv.Choice([b"a"]), TypeError, "holds numbers"),
    (lambda: rv.Choice([object()]), TypeError, "holds numbers"),
    (lambda: rv.LogGrid(1e-3, 1.0, 0), ValueError, "n must be at least 1"),
    (lambda: rv.LogGrid(1e-3, 1.0, 2.5), TypeError, "n must be an int"),
    (lambda: rv.LogGrid(1.0, 1e-3, 3), ValueError, "low must not exceed high"),
    (lambda: rv.LogGrid(0.0, 1.0, 3), ValueError, "low"),
    (lambda: rv.Adam(rv.Uniform(-1.0, 1.0)), ValueError, "learning_rate must be at least 0"),
    (lambda: rv.Adam(0.1, b1=rv.Grid([0.5, 1.0])), ValueError, r"b1 must be in \[0, 1\)"),
    (lambda: rv.Adam(rv.Normal(0.0, 1.0)), ValueError, "learning_rate"),
    (lambda: rv.Adam(0.1, nesterov=rv.Choice([0, 1])), TypeError, "nesterov is structure"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG)
def test_a_wrong_space_is_refused_where_it_is_written(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    "opt",
    [rv.Adam(RANDOM), rv.Adam(0.1, b1=rv.Grid([0.9])), SGD(rs.Linear(RANDOM, 0.0, 5))],
    ids=["number", "decay", "schedule"],
)
def test_only_a_sweep_takes_spaces(opt):
    params = jnp.ones(2)
    state = opt.init(params)
    with pytest.raises(TypeError, match=r"is a space, and only ravine\.sweep draws"):
        opt.update(params, state, params)
