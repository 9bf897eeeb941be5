"""An Equinox model in a sweep: how fine are the details that a network of coordinates can learn?

A network of waves of fixed random frequencies learns a signal from 64 samples of it. The scale of
the frequencies comes in by ``args``, where a sweep may vary it like any number of the optimizer:
if it is too low, the network misses the details; if too high, it makes up some between the samples.

``eqx.partition`` takes the model apart into the arrays to train and everything else, here with the
frequencies, which are not trained; ``eqx.combine`` puts it together inside the loss, and once more
from the best trial.

Reference: Tancik et al., Fourier features let networks learn high frequency functions in low
dimensional domains, 2020, https://arxiv.org/abs/2006.10739.
"""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv


class Waves(eqx.Module):
    """Sines and cosines of random frequencies, and a small network on them."""

    frequencies: jax.Array
    network: eqx.nn.MLP

    def __init__(self, key: jax.Array):
        one, two = jax.random.split(key)
        self.frequencies = jax.random.normal(one, (16,))
        self.network = eqx.nn.MLP(32, "scalar", width_size=32, depth=2, key=two)

    def __call__(self, x, scale):
        """The value at one point of [0, 1]."""
        phase = 2 * jnp.pi * scale * self.frequencies * x
        return self.network(jnp.concatenate([jnp.cos(phase), jnp.sin(phase)]))


def signal(x):
    """Slow and fast waves."""
    return jnp.sin(2 * jnp.pi * x) + 0.5 * jnp.sin(14 * jnp.pi * x + 1.0)


def main(quick: bool = False):
    """Sweep scale and learning rate, and use the best model."""
    scales, steps = (6, 500) if quick else (16, 2000)
    x, between = jnp.linspace(0.0, 1.0, 64), jnp.linspace(0.0, 1.0, 500)

    model = Waves(jax.random.key(0))
    trained = eqx.tree_at(lambda m: m.frequencies, jax.tree.map(eqx.is_inexact_array, model), False)
    params, rest = eqx.partition(model, trained)

    def error(params, scale, x):
        values = jax.vmap(eqx.combine(params, rest), in_axes=(0, None))(x, scale)
        return jnp.mean((values - signal(x)) ** 2)

    results = rv.sweep(
        lambda params, scale: error(params, scale, x),
        params,
        rv.Adam(rv.Grid([1e-3, 3e-3, 1e-2])),
        args=rv.LogGrid(0.1, 100.0, scales),
        steps=steps,
        keep="all",
    )
    scale = results.hyperparameters["args"]
    errors = jax.vmap(error, in_axes=(0, 0, None))(results.params, jnp.asarray(scale), between)

    print("scale   error at the samples   and between them, of the best learning rate each")
    table = {}
    for s in np.unique(scale):
        at, there = results.values[scale == s].min(), np.nanmin(errors[scale == s])
        table[float(s)] = float(at), float(there)
        print(f"{s:5.3g}   {at:20.1e}   {there:12.1e}")
    best = int(np.nanargmin(errors))
    model = eqx.combine(jax.tree.map(lambda a: a[best], results.params), rest)  # like any other
    value = float(model(0.3, scale[best]))
    print(f"scale {scale[best]:.3g} is best: {value:.3f} at 0.3, where {signal(0.3):.3f} is right")
    return {"errors": table, "scale": float(scale[best]), "value": value}


if __name__ == "__main__":
    main("--quick" in sys.argv)
