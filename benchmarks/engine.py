"""64 networks side by side: the lanes against what one would write by hand.

The digits network 64-32-32-10 at batch 128 under Adam, 64 learning rates, every trial of
equal length, so that refilling has nothing to win: this measures what the engine costs.
The peers are Optax by hand as jit(vmap(scan)), one jitted Optax step in a Python loop, and
PyTorch in eager mode; the last two train a few of the networks, and are scaled to all.
All take the same batches in the same order.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from harness import arguments, ratios, report, rounds

import ravine as rv
from ravine.engine.trial import order_keys

BATCH = 128
ONE = "ravine.sweep, one worker"


def by_hand(problem, rates, keys, order, steps):
    """All networks at once, as jit(vmap(scan))."""

    def one(rate, key, data, order):
        optimizer = optax.adam(rate)
        params = problem.init(key)

        def body(carry, rows):
            params, state = carry
            batch = jax.tree.map(lambda x: x[rows], data)
            value, grads = jax.value_and_grad(problem.loss)(params, batch)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        carry = (params, optimizer.init(params))
        (params, _), values = jax.lax.scan(body, carry, order[jnp.arange(steps) % order.shape[0]])
        return params, values

    run = jax.jit(jax.vmap(one, in_axes=(0, 0, None, None)))
    return lambda: run(rates, keys, problem.data, order)


def one_step_at_a_time(problem, rates, keys, order, steps):
    """One network after another, a jitted step in a Python loop."""
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=0.1)

    @jax.jit
    def step(params, state, data, rows):
        batch = jax.tree.map(lambda x: x[rows], data)
        value, grads = jax.value_and_grad(problem.loss)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    rows = list(order)

    def run():
        for rate, key in zip(rates, keys, strict=True):
            params = problem.init(key)
            state = optimizer.init(params)
            state.hyperparams["learning_rate"] = jnp.asarray(rate)
            for t in range(steps):
                params, state, value = step(params, state, problem.data, rows[t % len(rows)])
        return value

    return run


def in_torch(problem, rates, order, steps):
    """One network after another, PyTorch in eager mode; ``None`` without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    x, y = (torch.tensor(np.asarray(a)) for a in problem.data)
    y, rows = y.long(), [torch.tensor(np.asarray(r)) for r in order]

    def run():
        for rate in rates:
            net = torch.nn.Sequential(
                torch.nn.Linear(64, 32), torch.nn.ReLU(),
                torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10),
            )  # fmt: skip
            optimizer = torch.optim.Adam(net.parameters(), lr=float(rate))
            for t in range(steps):
                i = rows[t % len(rows)]
                optimizer.zero_grad()
                value = torch.nn.functional.cross_entropy(net(x[i]), y[i])
                value.backward()
                optimizer.step()
        return value.item()

    return run


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    trials, steps = (8, 20) if options.quick else (options.trials, options.steps)
    problem = rv.problems.digits()
    batches = rv.Batches(problem.data, size=BATCH)
    rates = np.logspace(-4, -2, trials).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), trials)
    order = batches.order(order_keys(jax.random.key(0), jnp.zeros(1, jnp.int32)), steps + 1)[0]
    few = max(1, trials // 32)

    def lanes(**more):
        return rv.sweep(
            problem.loss, problem.init, rv.Adam(rv.Grid(rates)),
            steps=steps, batches=batches, **more,
        ).values  # fmt: skip

    contenders = {
        ONE: lambda: lanes(lanes=trials, workers=1),
        "ravine.sweep, all workers": lanes,
        "Optax by hand, jit(vmap(scan))": by_hand(problem, rates, keys, order, steps),
    }
    partial = {
        "Optax, a jitted step in a loop": one_step_at_a_time(
            problem, rates[:few], keys[:few], order, steps
        ),
        "PyTorch eager": in_torch(problem, rates[:few], order, steps),
    }
    partial = {name: run for name, run in partial.items() if run is not None}
    seconds = rounds(contenders | partial, options.repeats)
    for name in partial:
        seconds[name] = [s * trials / few for s in seconds[name]]
    figures = ratios(seconds, ONE)
    for row in figures.values():
        row["lane_steps_per_s"] = trials * steps / row["seconds"]
    report(
        f"{trials} networks of {steps} steps, batch {BATCH}",
        figures,
        options.json,
        scaled_from=f"{few} of {trials} networks for the last {len(partial)}",
    )


if __name__ == "__main__":
    main()
