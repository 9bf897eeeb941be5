"""32 learning rates, each through a jitted training step: traces and seconds.

An Optax optimizer is a pair of closures, so each learning rate is another function to
jit. An optimizer that is data is an argument.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, ratios, report, rounds

import ravine as rv

traces = {"ravine": 0, "optax": 0}


def loss(params, batch):
    x, y = batch
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] - y) ** 2)


def start():
    normal = np.random.default_rng(0).standard_normal
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.float32),
        {"w1": normal((8, 16)), "b1": np.zeros(16), "w2": normal((16, 1))},
    )


def data():
    normal = np.random.default_rng(1).standard_normal
    return jnp.asarray(normal((32, 8)), jnp.float32), jnp.asarray(normal((32, 1)), jnp.float32)


def train_ravine(rates):
    """One jitted step that takes the optimizer as an argument."""

    @jax.jit
    def step(optimizer, params, state, batch):
        traces["ravine"] += 1
        grads = jax.grad(loss)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return rv.apply_updates(params, updates), state

    for rate in rates:
        optimizer, params = rv.Adam(rate), start()
        params, _ = step(optimizer, params, optimizer.init(params), data())
    return params


def train_optax(rates):
    """A jitted step for each learning rate, closed over."""
    for rate in rates:
        optimizer, params = optax.adam(rate), start()

        @jax.jit
        def step(params, state, batch, optimizer=optimizer):
            traces["optax"] += 1
            grads = jax.grad(loss)(params, batch)
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        params, _ = step(params, optimizer.init(params), data())
    return params


def main() -> None:
    options = arguments(__doc__, repeats=3).parse_args()
    rates = np.logspace(-4, -1, 4 if options.quick else 32).tolist()
    seconds = rounds(
        {"ravine": lambda: train_ravine(rates), "optax": lambda: train_optax(rates)},
        options.repeats,
    )
    runs = options.repeats + 1
    report(
        f"{len(rates)} learning rates, one jitted step each",
        ratios(seconds, "ravine"),
        options.json,
        traces={name: n // runs for name, n in traces.items()},
    )


if __name__ == "__main__":
    main()
