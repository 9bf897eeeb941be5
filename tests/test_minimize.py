"""One optimization: the same steps as a loop over ``update``, whatever is put in."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ravine as rv
from ravine import Status
from ravine.optimizers import SGD


def bowl(x):
    return jnp.sum(x * x * jnp.asarray([1.0, 3.0], x.dtype))


START = np.array([16.0, -8.0], np.float32)


def loop(loss, params, opt, steps):
    """What anybody would write: values at every point, and the last point."""
    params = jax.tree.map(jnp.asarray, params)

    @jax.jit
    def step(opt, params, state):
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = opt.update(grads, state, params, value=value)
        return value, rv.apply_updates(params, updates), state

    state, values = opt.init(params), []
    for _ in range(steps):
        value, params, state = step(opt, params, state)
        values.append(value)
    values.append(jax.jit(loss)(params))
    return np.asarray(values, float), params


def same(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert jnp.result_type(x) == jnp.result_type(y)
        assert jnp.shape(x) == jnp.shape(y)
        np.testing.assert_allclose(np.asarray(x, np.complex128), np.asarray(y), **tolerance)


class TestSteps:
    def test_numbers_that_lose_no_digit_are_equal_to_the_last_bit(self):
        # Each step multiplies by 1/2 or by -1/2.
        values, params = loop(bowl, START, SGD(0.25), 12)
        out = rv.minimize(bowl, START, SGD(0.25), steps=12)
        np.testing.assert_array_equal(out.history, values)
        np.testing.assert_array_equal(out.params, params)
        assert (out.value, out.best_value) == (values[-1], values[-1])
        assert (out.steps, out.status, out.converged) == (12, Status.MAX_STEPS, False)
        np.testing.assert_array_equal(out.history_steps, np.arange(13))

    def test_a_tree_of_everything(self):
        def loss(p):
            w = p["layers"][0][0]
            b = p["layers"][1].astype(jnp.float32)
            return jnp.mean((w * p["scale"] - 2) ** 2) + jnp.sum((b - 1) ** 2)

        start = {
            "layers": [(np.arange(3, dtype=np.float32), None), jnp.zeros((2, 2), jnp.bfloat16)],
            "scale": 0.5,
            "none": None,
        }
        opt = rv.Adam(0.1, b1=0.8)
        values, params = loop(loss, start, opt, 30)
        out = rv.minimize(loss, start, opt, steps=30)
        np.testing.assert_allclose(out.history, values, rtol=1e-6)
        same(out.params, params, rtol=1e-6)
        assert out.params["layers"][1].dtype == jnp.bfloat16
        assert isinstance(out.params["scale"], jax.Array)
        np.testing.assert_allclose(out.value, loss(out.params), rtol=1e-6)

    def test_momentum_and_a_schedule(self):
        schedule = rv.schedules.WarmupCosineDecay(0.0, 0.05, 5, 25)
        opt = SGD(schedule, momentum=0.5, nesterov=True)
        values, params = loop(bowl, START, opt, 25)
        out = rv.minimize(bowl, START, opt, steps=25)
        np.testing.assert_allclose(out.history, values, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(out.params, params, rtol=1e-5, atol=1e-6)
        assert values[-1] < 0.1 * values[0]


class TestDtypes:
    @pytest.mark.usefixtures("x64")
    def test_single_beside_double_precision(self):
        def loss(p):
            return bowl(p["double"]) + bowl(p["single"]).astype(float) + bowl(p["host"])

        start = {"double": START.astype(float) / 3, "single": jnp.asarray(START)}
        start["host"] = np.array([0.1, 0.2])
        values, params = loop(loss, start, SGD(0.1), 12)
        out = rv.minimize(loss, start, SGD(0.1), steps=12, stop=rv.GradNorm(1e-9) | rv.Diverged())
        np.testing.assert_allclose(out.history, values, rtol=1e-6)
        assert out.params["single"].dtype == np.float32
        same(out.params["single"], params["single"], rtol=1e-6)
        same(out.params["double"], params["double"], rtol=1e-14)
        assert out.value == loss(out.params)

    def test_complex_parameters_go_downhill(self):
        target = np.complex64(1 + 2j)
        out = rv.minimize(
            lambda z: jnp.sum(jnp.abs(z - target) ** 2), jnp.zeros(2, jnp.complex64), SGD(0.25),
            steps=40, stop=rv.GradNorm(1e-4),
        )  # fmt: skip
        assert out.converged
        np.testing.assert_allclose(out.params, np.full(2, target), atol=1e-4)


def noisy(params, batch, args, key):
    """Every input at once: the value shows the noise, the aux is dropped."""
    noise = jax.random.uniform(key)
    value = jnp.sum((params - jnp.mean(batch)) ** 2) * args["scale"]
    return value + noise, {"seen": batch, "count": jnp.int32(3)}


def run_noisy(key=0, scale=0.0, rate=0.125, **kwargs):
    return rv.minimize(
        noisy, jnp.ones(2), SGD(rate), steps=10, batches=rv.Batches(jnp.ones(6), 2),
        args={"scale": scale}, key=key, has_aux=True, stochastic=True, **kwargs,
    )  # fmt: skip


class TestInputs:
    def test_a_stochastic_loss_gets_a_new_key_each_step(self):
        out = run_noisy()
        assert len(set(out.history.tolist())) == 11
        np.testing.assert_array_equal(run_noisy().history, out.history)
        np.testing.assert_array_equal(run_noisy(jax.random.key(0)).history, out.history)
        assert not set(run_noisy(1).history.tolist()) & set(out.history.tolist())

    def test_args_are_numbers_of_the_loss(self):
        base, more = run_noisy(scale=0.0), run_noisy(scale=np.float32(1.0))
        np.testing.assert_array_equal(base.params, jnp.ones(2))
        np.testing.assert_allclose(more.history, base.history, atol=1e-6)
        more = run_noisy(scale=1.0, rate=0.5)
        np.testing.assert_array_equal(more.params, jnp.ones(2))

    def test_a_function_of_the_key_makes_the_start(self):
        init = partial(jax.random.normal, shape=(2,))
        outs = [rv.minimize(bowl, init, SGD(0.0), steps=0, key=k) for k in (0, 0, 1)]
        np.testing.assert_array_equal(outs[0].params, outs[1].params)
        assert np.all(outs[0].params != outs[2].params)
        # No steps are one evaluation.
        assert (outs[0].steps, outs[0].status) == (0, Status.MAX_STEPS)
        np.testing.assert_allclose(outs[0].value, bowl(outs[0].params), rtol=1e-6)
        np.testing.assert_array_equal(outs[0].history, [outs[0].value])


class TestRecords:
    def test_every_so_many_steps(self):
        # 40 steps are more than one segment, and the last one is no multiple of 7.
        values, _ = loop(bowl, START, SGD(0.25), 40)
        out = rv.minimize(bowl, START, SGD(0.25), steps=40, record_every=7)
        np.testing.assert_array_equal(out.history_steps, np.arange(0, 41, 7))
        np.testing.assert_array_equal(out.history, values[::7])
        assert out.value == values[-1]

    def test_the_history_ends_where_the_trial_does(self):
        out = rv.minimize(bowl, START, SGD(4.0), steps=12, stop=rv.Diverged(1e10))
        assert out.status == Status.DIVERGED
        assert 1e10 < out.value < np.inf
        assert 0 < out.steps < 12
        assert out.value == out.history[-1]
        assert out.best_value == out.history[0] == float(bowl(START))
        assert len(out.history) == len(out.history_steps) == out.steps + 1
        np.testing.assert_array_equal(out.value, bowl(out.params))

    def test_a_value_that_is_no_number_is_said_to_be(self):
        out = rv.minimize(bowl, START * np.nan, SGD(0.25), steps=12)
        assert (out.status, out.steps) == (Status.DIVERGED, 0)
        assert np.isnan([out.value, out.best_value, *out.history]).all()
        assert np.isnan(out.params).all()


class TestHygiene:
    def test_what_the_user_holds_stays_valid_and_unchanged(self):
        params = jnp.asarray(START)
        outs = [rv.minimize(bowl, params, SGD(0.25), steps=12) for _ in range(2)]
        np.testing.assert_array_equal(params, START)
        np.testing.assert_array_equal(outs[0].params, outs[1].params)
        host = START.copy()
        rv.minimize(bowl, host, SGD(0.25), steps=12)
        np.testing.assert_array_equal(host, START)

    def test_other_numbers_trace_nothing_anew(self):
        traces = 0

        def counted(x, ridge):
            nonlocal traces
            traces += 1
            return bowl(x) + ridge * jnp.sum(x**2)

        def run(rate, start=START, tol=1e-3, ridge=0.0, key=0):
            stop = rv.GradNorm(tol) | rv.Diverged()
            return rv.minimize(counted, start, SGD(rate), steps=9, stop=stop, args=ridge, key=key)

        run(0.1)
        first = traces
        assert 1 <= first <= 3
        rates: list[Any] = [1, 1.0, np.float64(0.3), np.float32(0.2), np.asarray(0.1)]
        rates += [jnp.asarray(0.2), jnp.float32(0.2), jnp.asarray(1.0, jnp.bfloat16)]
        for rate in rates:
            run(rate)
        run(0.1, tol=jnp.float32(1.0))
        run(0.1, tol=1)
        run(0.1, ridge=np.float32(0.5))
        run(0.1, key=jax.random.key(5))
        run(0.1, start=jnp.asarray(2 * START))
        assert traces == first

    @pytest.mark.parametrize(
        "call",
        [
            lambda run: jax.jit(lambda x: run(x))(START),
            lambda run: jax.jit(lambda: run(START))(),
            lambda run: jax.jit(lambda r: run(START, r))(0.1),
            lambda run: jax.grad(lambda x: run(x))(START),
            lambda run: jax.vmap(lambda r: run(START, r))(jnp.ones(3)),
            lambda run: jax.vmap(lambda k: run(START, key=k))(jax.random.split(jax.random.key(0))),
            lambda run: jax.vmap(lambda a: run(START, args=a))(jnp.ones(3)),
            lambda run: jax.jit(lambda b: run(START, batches=rv.Batches(b)))(jnp.ones(3)),
        ],
        ids=["jit", "jit of nothing", "jit of the rate", "grad", "vmap", "key", "args", "data"],
    )
    def test_inside_a_transformation_it_says_so(self, call):
        def run(x, rate=0.1, **kwargs):
            loss = lambda x, *rest: bowl(x)  # noqa: E731
            return rv.minimize(loss, x, SGD(rate), steps=3, **kwargs).value

        with pytest.raises(TypeError, match="cannot run inside jit, vmap or grad"):
            call(run)

    def test_spaces_belong_in_a_sweep(self):
        space = rv.Uniform(0.0, 1.0)
        for name, change in {
            "learning_rate": {"optimizer": SGD(space)},
            "args.a": {"optimizer": SGD(0.1), "args": {"a": space}},
            "args": {"optimizer": SGD(0.1), "args": space},
            "stop.first.tol": {"optimizer": SGD(0.1), "stop": rv.GradNorm(space) | rv.Diverged()},
        }.items():
            with pytest.raises(TypeError, match=rf"and {name} is a space.*use sweep"):
                rv.minimize(bowl, START, steps=3, **change)


def test_scipy_s_names():
    for steps, success in ((50, True), (3, False)):
        stop = rv.GradNorm(1e-3)
        result = rv.minimize(bowl, START, SGD(0.15), steps=steps, stop=stop)
        assert (result.success, result.nit) == (success, result.steps)
        np.testing.assert_array_equal(result.x, result.params)
        assert result.fun == result.value
        assert result.message == result.status.message
        # One evaluation a step, and one where it stands at the end.
        assert result.nfev == len(result.history)
    assert all(status.message.endswith(".") for status in Status)
