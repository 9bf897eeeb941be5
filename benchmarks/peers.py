"""The same work as the package's, done with other libraries or by hand.

Each peer is given its work and returns a function that does it and waits for the end. One
that needs a package which is not installed raises ``ModuleNotFoundError`` when it is made.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ravine as rv
from ravine.engine.trial import order_keys

BATCH = 128


class Work(NamedTuple):
    """Train a network for each rate, all on the same batches: the rows of ``order`` in turn."""

    problem: rv.problems.Problem
    rates: np.ndarray
    keys: jax.Array
    order: jax.Array
    steps: int

    def first(self, n: int) -> "Work":
        """The first ``n`` of the networks."""
        return self._replace(rates=self.rates[:n], keys=self.keys[:n])


def networks(trials: int, steps: int) -> Work:
    """So many networks on the digits, with the batches that a sweep hands out."""
    problem = rv.problems.digits()
    batches = rv.Batches(problem.data, size=BATCH)
    rates = np.logspace(-4, -2, trials).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), trials)
    order = batches.order(order_keys(jax.random.key(0), jnp.zeros(1, jnp.int32)), steps + 1)[0]
    return Work(problem, rates, keys, order, steps)


def available(
    peers: Mapping[str, Callable[[Work], Callable[[], Any]]], work: Work
) -> dict[str, Callable[[], Any]]:
    """The peers, ready to run; a line for each that cannot."""
    made = {}
    for name, peer in peers.items():
        try:
            made[name] = peer(work)
        except ModuleNotFoundError as error:
            print(f"left out: {name} ({error})")
    return made


def one_network(work: Work, rate: Any, key: Any, data: Any, order: Any) -> Any:
    """One network from start to end in a scan: its parameters and all its losses."""
    optimizer, params = optax.adam(rate), work.problem.init(key)

    def body(carry, rows):
        params, state = carry
        batch = jax.tree.map(lambda x: x[rows], data)
        value, grads = jax.value_and_grad(work.problem.loss)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    rows = order[jnp.arange(work.steps) % order.shape[0]]
    (params, _), values = jax.lax.scan(body, (params, optimizer.init(params)), rows)
    return params, values


def by_hand(work: Work) -> Callable[[], Any]:
    """All networks at once, as jit(vmap(scan))."""
    run = jax.jit(jax.vmap(lambda *x: one_network(work, *x), in_axes=(0, 0, None, None)))
    return lambda: run(work.rates, work.keys, work.problem.data, work.order)


def in_hyperoptax(work: Work) -> Callable[[], Any]:
    """All networks at once, as one round of hyperoptax's grid search around a jitted scan."""
    from hyperoptax import DiscreteSpace, GridSearch

    # The data are arguments of what is compiled: as constants they would be folded into it.
    train = jax.jit(lambda *x: one_network(work, *x)[1][-1])
    space = {"rate": DiscreteSpace(tuple(work.rates.tolist()))}

    def objective(key, point):
        return train(point["rate"], key, work.problem.data, work.order)

    def run():
        state, search = GridSearch.init(space, n_parallel=len(work.rates))
        _, (_, values) = search.optimize(state, jax.random.key(0), objective, n_iterations=1)
        return values[0]

    return run


def _jitted_step(problem: Any, optimizer: Any) -> Callable[..., Any]:
    @jax.jit
    def step(params, state, data, rows):
        batch = jax.tree.map(lambda x: x[rows], data)
        value, grads = jax.value_and_grad(problem.loss)(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    return step


def _loop(work: Work) -> Callable[[Any, Any, Any, Any], Any]:
    """A Python loop of steps, from parameters and a state to the last loss."""
    rows = list(work.order)

    def run(step, params, state):
        for t in range(work.steps):
            params, state, value = step(params, state, work.problem.data, rows[t % len(rows)])
        return value

    return run


def _train_one(work: Work) -> Callable[[Any, Any], Any]:
    """One network in a loop of steps, which are compiled once for all rates."""
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=0.1)
    step, loop = _jitted_step(work.problem, optimizer), _loop(work)
    init = jax.jit(work.problem.init)

    def train(rate, key):
        params = init(key)
        state = optimizer.init(params)
        state.hyperparams["learning_rate"] = jnp.asarray(rate)
        return loop(step, params, state)

    return train


def step_by_step(work: Work) -> Callable[[], Any]:
    """One network after another, a jitted step in a Python loop."""
    train = _train_one(work)
    return lambda: [train(rate, key) for rate, key in zip(work.rates, work.keys, strict=True)]


def closures(work: Work) -> Callable[[], Any]:
    """The same, with an optimizer closed over its rate: a step is compiled for each."""
    init, loop = jax.jit(work.problem.init), _loop(work)

    def train(rate, key):
        optimizer, params = optax.adam(rate), init(key)
        return loop(_jitted_step(work.problem, optimizer), params, optimizer.init(params))

    return lambda: [
        train(rate, key) for rate, key in zip(work.rates.tolist(), work.keys, strict=True)
    ]


def in_optuna(work: Work) -> Callable[[], Any]:
    """A study of these rates by two threads, each of which runs the jitted step in a loop."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    train, keys = _train_one(work), list(work.keys)
    bounds = float(work.rates.min()), float(work.rates.max())

    def objective(trial):
        return float(train(trial.suggest_float("rate", *bounds, log=True), keys[trial.number]))

    def run():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for rate in work.rates.tolist():
            study.enqueue_trial({"rate": rate})
        study.optimize(objective, n_trials=len(work.rates), n_jobs=2)
        return [trial.value for trial in study.trials]

    return run


class _Torch:
    """What both of PyTorch's ways need: batches and networks, on the device that JAX uses."""

    def __init__(self, work: Work) -> None:
        import torch

        gpu = jax.default_backend() != "cpu"
        if gpu and not torch.cuda.is_available():
            raise ModuleNotFoundError("PyTorch is installed without CUDA")
        self.torch, self.device = torch, "cuda" if gpu else "cpu"
        x, y = (torch.tensor(np.asarray(a), device=self.device) for a in work.problem.data)
        self.x, self.y = x, y.long()
        self.rows = [torch.tensor(np.asarray(r), device=self.device) for r in work.order]
        self.starts = jax.device_get([work.problem.init(key) for key in work.keys])

    def batch(self, t: int) -> Any:
        rows = self.rows[t % len(self.rows)]
        return self.x[rows], self.y[rows]

    def network(self, start: Mapping[str, Any]) -> Any:
        """Linear layers with ReLU between them, from the parameters that JAX drew."""
        nn, layers = self.torch.nn, []
        for layer in start.values():
            linear = nn.Linear(*layer["kernel"].shape)
            linear.weight.data = self.torch.tensor(layer["kernel"].T.copy())
            linear.bias.data = self.torch.tensor(layer["bias"])
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1]).to(self.device)


def in_torch(work: Work) -> Callable[[], Any]:
    """One network after another, PyTorch in eager mode."""
    kit = _Torch(work)
    torch = kit.torch

    def train(rate, start):
        net = kit.network(start)
        optimizer = torch.optim.Adam(net.parameters(), lr=rate)
        for t in range(work.steps):
            x, y = kit.batch(t)
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(net(x), y)
            value.backward()
            optimizer.step()
        return value.item()

    return lambda: [train(r, s) for r, s in zip(work.rates.tolist(), kit.starts, strict=True)]


def in_torch_vmap(work: Work) -> Callable[[], Any]:
    """All networks at once: torch.func.vmap over stacked models, Adam written out."""
    kit = _Torch(work)
    torch, func = kit.torch, kit.torch.func
    b1, b2, eps = 0.9, 0.999, 1e-8
    skeleton = kit.network(kit.starts[0])

    def loss(params, x, y):
        return torch.nn.functional.cross_entropy(func.functional_call(skeleton, params, (x,)), y)

    gradients = func.vmap(func.grad_and_value(loss), in_dims=(0, None, None))

    def run():
        stacked, _ = func.stack_module_state([kit.network(start) for start in kit.starts])
        params = {name: p.detach() for name, p in stacked.items()}
        m, v = ({name: torch.zeros_like(p) for name, p in params.items()} for _ in range(2))
        rates = torch.tensor(work.rates, device=kit.device)
        rates = {name: rates.reshape(-1, *[1] * (p.ndim - 1)) for name, p in params.items()}
        for t in range(work.steps):
            grads, values = gradients(params, *kit.batch(t))
            scale = (1 - b2 ** (t + 1)) ** 0.5 / (1 - b1 ** (t + 1))
            root = (1 - b2 ** (t + 1)) ** 0.5
            for name, g in grads.items():
                m[name].mul_(b1).add_(g, alpha=1 - b1)
                v[name].mul_(b2).addcmul_(g, g, value=1 - b2)
                below = v[name].sqrt().add_(eps * root)
                params[name].sub_(rates[name] * scale * m[name] / below)
        return values.tolist()

    return run


def to_the_end(
    loss: Callable[..., Any], optimizer: Any, stop: Any, steps: int
) -> Callable[[Any, Any], Any]:
    """Trials by the package's own step, each in a while_loop until it ends, under vmap.

    Takes the optimizers and the starts, stacked; returns steps, codes, last and smallest
    losses and parameters.
    """

    def body(optimizer, carry):
        x, state, stop_state, step, best, _, _ = carry
        value, grad = jax.value_and_grad(loss)(x)
        updates, state = optimizer.update(grad, state, x, value=value)
        code, stop_state = stop.test(rv.Seen(value, grad, updates, step), stop_state)
        code = jnp.where((code == 0) & (step >= steps), jnp.int8(2), code)
        go = code == 0
        best = jnp.where(jnp.isfinite(value) & (value < best), value, best)
        x = jnp.where(go, rv.apply_updates(x, updates), x)
        return x, state, stop_state, step + go.astype(jnp.int32), best, value, code

    @jax.jit
    @jax.vmap
    def run(rate, x):
        mine = optimizer(rate)
        zero, inf = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf)
        start = (x, mine.init(x), stop.init(), zero, inf, inf, jnp.zeros((), jnp.int8))
        end = jax.lax.while_loop(lambda c: c[-1] == 0, lambda c: body(mine, c), start)
        x, _, _, step, best, value, code = end
        return step, code, value, best, x

    return run
