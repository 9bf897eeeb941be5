"""Masks, frozen leaves and partitions: which leaves, which state, which extra arguments."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ravine as rv
from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.paths import Selection, leaf_paths, resolve, resolve_labels
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Params, State, Transform, Updates
from tests.registry import steps


class Layer(NamedTuple):
    """Weights as some library would hold them."""

    kernel: Any
    bias: Any


PARAMS = {
    "encoder": [Layer(jnp.ones((2, 2)), jnp.ones(2)), None, Layer(jnp.ones((2, 1)), jnp.ones(1))],
    "head": {"kernel": jnp.ones(3), "bias": jnp.array(1.0)},
}
PATHS = [
    "encoder/0/kernel",
    "encoder/0/bias",
    "encoder/2/kernel",
    "encoder/2/bias",
    "head/bias",
    "head/kernel",
]


LABELS = Layer("fast", "still")


def biases(params: Any) -> Any:
    """A mask by name, as one writes it in JAX."""
    return jax.tree_util.tree_map_with_path(lambda path, _: "bias" in str(path[-1]), params)


def large(params: Any) -> Any:
    """A mask by shape."""
    return jax.tree.map(lambda p: p.ndim == 2, params)


@rule
class Recorder(Transform):
    """Keeps nothing, and remembers on the class what it was last called with."""

    def init(self, params: Params) -> EmptyState:
        type(self).params = params  # type: ignore[attr-defined]
        return EmptyState()

    def update(
        self, updates: Updates, state: State, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, State]:
        type(self).seen = (updates, params, extra)  # type: ignore[attr-defined]
        return jax.tree.map(lambda u: 2 * u, updates), state


def name(x: Any) -> str:
    """What a case is called: the same in every process."""
    return str(getattr(x, "__name__", x))


def chosen(mask: Any, params: Any = PARAMS) -> list[str]:
    """The paths that a mask picks."""
    labels = resolve(mask, params).labels
    return [p for p, label in zip(leaf_paths(params), labels, strict=True) if label]


def test_paths_name_every_leaf():
    assert leaf_paths(PARAMS) == PATHS
    assert leaf_paths(jnp.ones(1)) == [""]


@pytest.mark.parametrize(
    ("mask", "picked"),
    [
        ("*", PATHS),
        ("*bias", [p for p in PATHS if p.endswith("bias")]),
        ("encoder/*", [p for p in PATHS if p.startswith("encoder")]),
        (("head/*", "*/2/*"), ["encoder/2/kernel", "encoder/2/bias", "head/bias", "head/kernel"]),
        ("encoder/[0-1]/kernel", ["encoder/0/kernel"]),
        (True, PATHS),
        (False, []),
        ({"encoder": True, "head": False}, [p for p in PATHS if p.startswith("encoder")]),
        ({"encoder": False, "head": {"bias": True, "kernel": False}}, ["head/bias"]),
        (biases, [p for p in PATHS if p.endswith("bias")]),
        (large, ["encoder/0/kernel", "encoder/2/kernel"]),
        (lambda params: {"encoder": True, "head": False}, PATHS[:4]),
    ],
    ids=name,
)
def test_every_form_of_a_mask_picks_what_it_says(mask, picked):
    assert chosen(rt.Masked(rt.Identity(), mask).mask) == picked


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ("*weight", ValueError, "'*weight' matches no leaf. The paths are 'encoder/0/kernel'"),
        (("*bias", "embedding"), ValueError, "'embedding' matches no leaf"),
        ({"encoder": True}, ValueError, "must be a prefix of the parameters"),
        ({"encoder": True, "head": True, "tail": True}, ValueError, "misspelt or missing"),
        ({"encoder": 1, "head": 0}, TypeError, "must hold True or False, got 1"),
        (lambda p: jax.tree.map(jnp.any, p), TypeError, "shapes, dtypes and names only"),
        (None, ValueError, "must be a prefix"),
    ],
    ids=name,
)
def test_a_mask_that_does_not_fit_says_so_at_init(mask, error, words):
    with pytest.raises(error, match=words.replace("*", r"\*").replace("(", r"\(")):
        rt.Masked(rt.Identity(), mask).init(PARAMS)


@pytest.mark.parametrize("mask", ["*bias", biases, ("encoder/0/bias", "*/bias")], ids=name)
def test_masked_leaves_pass_and_the_others_are_transformed(mask):
    transform = rt.Masked(rt.Scale(-2.0), mask)
    updates, _ = transform.update(PARAMS, transform.init(PARAMS))
    for path, before, after in zip(
        PATHS, jax.tree.leaves(PARAMS), jax.tree.leaves(updates), strict=True
    ):
        np.testing.assert_array_equal(after, -2 * before if path.endswith("bias") else before)


def test_a_frozen_leaf_has_no_state_and_a_zero_update_whatever_its_gradient():
    optimizer = rt.Frozen(ro.Adam(0.1), "encoder/*")
    state = optimizer.init(PARAMS)
    shapes = [x.shape for x in jax.tree.leaves(state.inner_state.scale_by_adam.mu)]
    assert shapes == [(), (3,)]
    bad = {**PARAMS, "encoder": jax.tree.map(lambda x: x * jnp.nan, PARAMS["encoder"])}
    updates, _ = optimizer.update(bad, state, PARAMS)
    chex.assert_trees_all_equal(updates["encoder"], jax.tree.map(jnp.zeros_like, PARAMS["encoder"]))
    alone = steps(ro.Adam(0.1), PARAMS["head"], [PARAMS["head"]])[0]
    chex.assert_trees_all_equal(updates["head"], alone)


def test_a_frozen_leaf_has_no_part_in_a_norm():
    clip = rt.Frozen(rt.ClipByGlobalNorm(1.0), {"a": True, "b": False})
    g = {"a": jnp.array([3e4]), "b": jnp.array([3.0, 4.0])}
    updates, _ = clip.update(g, clip.init(g))
    np.testing.assert_allclose(updates["b"], [0.6, 0.8], rtol=1e-6)


def test_everything_and_nothing_can_be_frozen():
    for params in (PARAMS, jnp.ones(2)):
        optimizer = rt.Frozen(ro.AdamW(0.1), True)
        chex.assert_trees_all_equal(
            steps(optimizer, params, [params])[0], jax.tree.map(jnp.zeros_like, params)
        )
        chex.assert_trees_all_equal(
            steps(rt.Frozen(ro.AdamW(0.1), False), params, [params]),
            steps(ro.AdamW(0.1), params, [params]),
        )


@pytest.mark.parametrize(
    "labels",
    [
        {"head/*": "slow", "*bias": "still", "*": "fast"},
        {"encoder": [LABELS, None, LABELS], "head": "slow"},
        lambda p: {"encoder": [LABELS, None, LABELS], "head": "slow"},
        lambda p: {"head/*": "slow", "*bias": "still", "*": "fast"},
    ],
    ids=["globs", "tree", "function", "function-of-globs"],
)  # fmt: skip
def test_a_partition_gives_every_leaf_the_transform_of_its_label(labels):
    parts = {"fast": rt.Scale(2.0), "slow": rt.Scale(0.5), "still": rt.SetToZero()}
    transform = rt.Partition(parts, labels)
    updates, state = jax.jit(transform.update)(PARAMS, jax.jit(transform.init)(PARAMS))
    factors = [2.0, 0.0, 2.0, 0.0, 0.5, 0.5]
    for factor, leaf in zip(factors, jax.tree.leaves(updates), strict=True):
        np.testing.assert_array_equal(leaf, jnp.full(leaf.shape, factor))
    assert set(state.inner_states) == set(parts)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"head/*": "slow", "*": "quick"}, "label 'quick' has no transform"),
        ({"encoder": "fast", "head": 3}, "label 3 has no transform"),
        ({"head/*": "slow"}, "say nothing of the leaf 'encoder/0/kernel'"),
        ({"heads/*": "slow", "*": "fast"}, "'heads/.*' matches no leaf"),
        ({"encoder": "fast"}, "must be a prefix"),
    ],
    ids=name,
)
def test_labels_that_do_not_fit_say_so_at_init(labels, words):
    transform = rt.Partition({"fast": rt.Identity(), "slow": rt.Identity()}, labels)
    with pytest.raises(ValueError, match=words):
        transform.init(PARAMS)


def test_a_partition_of_what_are_no_transforms_is_refused():
    with pytest.raises(TypeError, match="label 'a' must be a ravine transform, got Gradient"):
        rt.Partition({"a": optax.sgd(0.1)}, "a")
    with pytest.raises(TypeError, match="must be a dict from labels to transforms, got list"):
        rt.Partition([ro.SGD(0.1)], "a")
    with pytest.raises(TypeError, match="inner must be a ravine transform"):
        rt.Masked(optax.sgd(0.1), "*")


def test_a_partition_is_data_and_can_be_swept_by_label():
    def first(rate: Any) -> Any:
        parts = {"a": ro.SGD(rate), "b": ro.Adam(0.1)}
        return steps(rt.Partition(parts, {"*bias": "a", "*": "b"}), PARAMS, [PARAMS])[0]

    lanes = jax.vmap(first)(jnp.array([0.5, 1.0]))
    np.testing.assert_array_equal(lanes["head"]["bias"], [-0.5, -1.0])
    assert len(jax.tree.leaves(rt.Partition({"a": ro.SGD(0.1)}, "a"))) == 1


def test_a_mask_is_read_once_at_init():
    calls = []

    def mask(params: Any) -> Any:
        calls.append(params)
        return biases(params)

    transform = rt.Masked(ro.Adam(0.1), mask)
    state = transform.init(PARAMS)
    for _ in range(3):
        _, state = transform.update(PARAMS, state)
    assert len(calls) == 1
    assert calls[0] is PARAMS
    assert not jax.tree.leaves(state.selection)


def test_a_changed_structure_is_noticed():
    transform = rt.Masked(rt.Scale(2.0), "*bias")
    state = transform.init(PARAMS)
    with pytest.raises(ValueError, match="1 leaves, and the mask was made at init for 6"):
        transform.update({"bias": jnp.ones(1)}, state)


def test_the_inner_transform_sees_its_own_leaves_only():
    extra = {"grad": PARAMS, "value": 1.5, "key": jax.random.key(0), "names": "x"}
    transform = rt.Masked(Recorder(), "head/*")
    state = transform.init(PARAMS)
    transform.update(PARAMS, state, PARAMS, **extra)
    expected = {"encoder": [Layer(None, None), None, Layer(None, None)], "head": PARAMS["head"]}
    updates, params, seen = Recorder.seen
    for part in (updates, params, seen["grad"], Recorder.params):
        assert jax.tree.structure(part) == jax.tree.structure(expected)
    assert seen["value"] == 1.5
    assert seen["names"] == "x"
    assert seen["key"] is extra["key"]
    transform.update(PARAMS, state)
    assert Recorder.seen[1] is None


def test_a_scalar_value_is_no_tree_even_beside_scalar_parameters():
    transform = rt.Frozen(Recorder(), True)
    params = jnp.array(2.0)
    transform.update(params, transform.init(params), params, value=jnp.array(3.0))
    assert Recorder.seen[2]["value"] == 3.0


def test_value_fn_becomes_a_function_of_the_part():
    params = {"a": jnp.array(2.0), "b": jnp.array(5.0)}
    transform = rt.Frozen(Recorder(), {"a": False, "b": True})
    state = transform.init(params)
    transform.update(params, state, params, value_fn=lambda p: p["a"] * p["b"], other=len)
    _, part, extra = Recorder.seen
    assert extra["value_fn"](part) == 10.0
    assert jax.grad(extra["value_fn"])(part) == {"a": 5.0, "b": None}
    assert extra["other"] is len


def test_masks_nest_and_meet_inside_optimizers():
    optimizer = rt.Frozen(ro.AdamW(0.1, weight_decay=1.0, weight_decay_mask="*kernel"), "encoder/*")
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    updates = steps(optimizer, PARAMS, [zero])[0]
    np.testing.assert_allclose(updates["head"]["kernel"], -0.1 * jnp.ones(3))
    assert updates["head"]["bias"] == 0
    assert not any(jnp.any(x) for x in jax.tree.leaves(updates["encoder"]))
    # All that the inner mask names may lie outside the outer one.
    inner = rt.Masked(rt.Masked(rt.Scale(2.0), "encoder/0/*"), "head/*")
    chex.assert_trees_all_equal(steps(inner, PARAMS, [PARAMS])[0], PARAMS)


def test_weight_decay_takes_every_form_of_mask():
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    tree = biases(PARAMS)
    expected = jax.tree.map(lambda keep, p: 0.5 * p if keep else 0 * p, tree, PARAMS)
    for mask in ("*bias", biases, tree):
        transform = rt.AddDecayedWeights(0.5, mask)
        chex.assert_trees_all_equal(steps(transform, PARAMS, [zero])[0], expected)


def test_a_selection_is_structure_and_travels_through_jit_and_scan():
    transform = rt.Masked(rt.Trace(0.5), "*bias")
    state = transform.init(PARAMS)

    def step(state: Any, _: Any) -> Any:
        updates, state = transform.update(PARAMS, state)
        return state, updates["head"]["bias"]

    final, out = jax.lax.scan(step, state, length=3)
    np.testing.assert_array_equal(out, [1.0, 1.5, 1.75])
    assert final.selection == state.selection
    assert isinstance(final.selection, Selection)


def test_a_callable_container_is_a_tree_and_not_a_function():
    @jax.tree_util.register_pytree_node_class
    class Module:
        """As some libraries have them: a tree that can be called."""

        def __init__(self, w: Any) -> None:
            self.w = w

        def __call__(self, x: Any) -> Any:
            return self.w * x

        def tree_flatten(self) -> Any:
            return (self.w,), None

        @classmethod
        def tree_unflatten(cls, aux: Any, children: Any) -> Any:
            return cls(*children)

    params = Module(jnp.ones(2))
    for mask, factor in ((Module(True), 2.0), (Module(False), 1.0)):
        updates = steps(rt.Masked(rt.Scale(2.0), mask), params, [params])[0]
        np.testing.assert_array_equal(updates.w, factor * jnp.ones(2))


def test_labels_may_be_anything_hashable():
    assert resolve_labels({"encoder": 0, "head": 1}, PARAMS).labels == (0, 0, 0, 0, 1, 1)
    transform = rt.Partition({0: rt.Scale(2.0), 1: rt.Scale(3.0)}, {"encoder": 0, "head": 1})
    assert steps(transform, PARAMS, [PARAMS])[0]["head"]["bias"] == 3.0
    pair = rt.Partition({"a": rt.Scale(2.0), "b": rt.Scale(3.0)}, ("a", "b"))
    assert steps(pair, (1.0, 1.0), [(1.0, 1.0)])[0] == (2.0, 3.0)


def test_frozen_leaves_do_not_keep_a_sweep_from_converging():
    def loss(p):
        return jnp.sum((p["w"] - 1) ** 2) + 5 * p["frozen"]

    params = {"w": jnp.zeros(3), "frozen": jnp.ones(())}
    for inner in (rv.SGD(0.3), rv.LBFGS()):
        out = rv.minimize(
            loss, params, rv.Frozen(inner, "frozen"), steps=60, stop=rv.GradNorm(1e-5)
        )
        assert out.status == rv.Status.CONVERGED
        assert out.params["frozen"] == 1
        np.testing.assert_allclose(out.params["w"], 1, rtol=1e-5)


def test_every_function_of_the_parameters_is_cut_down():
    seen = {}

    class Spy(rv.Transform):
        def init(self, params):
            return ()

        def update(self, updates, state, params=None, **extra):
            seen.update({name: f(params) for name, f in extra.items()})
            return updates, state

    params = {"a": jnp.ones(2), "b": jnp.full(2, 3.0)}
    functions = {name: lambda p: p["a"].sum() + p["b"].sum() for name in ("value_fn", "logits_fn")}
    for wrapped in (rv.Masked(Spy(), "a"), rv.Partition({"x": Spy()}, {"*": "x"})):
        wrapped.update(params, wrapped.init(params), params, **functions)
        assert seen.pop("value_fn") == seen.pop("logits_fn") == 8
