"""A Flax NNX network in a sweep: 48 learning rates and weight decays of AdamW on digits.

``nnx.split`` takes a module apart into its structure and a tree of arrays. The arrays are the
parameters of the sweep; ``nnx.merge`` puts a module together again inside the loss, and once more
from the best trial. Dropout takes its random numbers from the key that each step is given.
"""

import sys

import jax
import jax.numpy as jnp
from flax import nnx

import ravine as rv


class Network(nnx.Module):
    """Two hidden layers with dropout behind the first."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(64, width, rngs=rngs)
        self.dropout = nnx.Dropout(0.1)
        self.second = nnx.Linear(width, width, rngs=rngs)
        self.last = nnx.Linear(width, 10, rngs=rngs)

    def __call__(self, x, rngs=None):
        """The scores of the ten digits; dropout only where there are random numbers for it."""
        x = self.dropout(nnx.relu(self.first(x)), deterministic=rngs is None, rngs=rngs)
        return self.last(nnx.relu(self.second(x)))


def cross_entropy(scores, labels):
    """The mean of minus the log-probability of the right class."""
    picked = jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)
    return -jnp.mean(picked)


def main(quick: bool = False):
    """Sweep, and use the best network."""
    x, y = rv.problems.digits().data
    train, held_out = (x[:800], y[:800]), (x[800:], y[800:])
    width, trials, steps = (32, 16, 100) if quick else (64, 48, 400)

    structure, _ = nnx.split(Network(width, nnx.Rngs(0)))

    def init(key):
        return nnx.state(Network(width, nnx.Rngs(key)))

    def loss(params, batch, key):
        images, labels = batch
        network = nnx.merge(structure, params)
        return cross_entropy(network(images, nnx.Rngs(dropout=key)), labels)

    def metric(params):
        return cross_entropy(nnx.merge(structure, params)(held_out[0]), held_out[1])

    results = rv.sweep(
        loss,
        init,
        rv.AdamW(
            rv.LogUniform(1e-4, 1e-1),
            weight_decay=rv.LogUniform(1e-4, 1e-1),
            weight_decay_mask="*kernel*",
        ),
        trials=trials,
        steps=steps,
        batches=rv.Batches(train, size=128),
        metric=metric,
        stochastic=True,
    )
    best = results.best
    network = nnx.merge(structure, best.params)  # a module like any other
    accuracy = float(jnp.mean(jnp.argmax(network(held_out[0]), axis=1) == held_out[1]))
    print(results)
    print(f"the best network is right on {accuracy:.1%} of {len(held_out[1])} held-out images")
    return {"results": results, "network": network, "accuracy": accuracy}


if __name__ == "__main__":
    main("--quick" in sys.argv)
