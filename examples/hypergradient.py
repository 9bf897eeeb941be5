"""Hypergradients: a learning rate schedule, improved by its own gradient.

An optimizer is a tree of numbers, so ``jax.grad`` of the loss after training, with respect to the
optimizer, is an optimizer's worth of derivatives: of every knot of the schedule, and of the
momentum. And what has a gradient can be minimized, by ``rv.minimize`` with another optimizer.

The derivative goes through all steps of training (``derivative="unrolled"``), and is compared with
differences (L(h + e) - L(h - e)) / 2e.

Reference: Maclaurin, Duvenaud and Adams, Gradient-based hyperparameter optimization through
reversible learning, 2015, https://arxiv.org/abs/1502.03492.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import ravine as rv
from ravine.core.types import Static


@rv.rule
class Knots(rv.Schedule):
    """Straight lines between knots, evenly spaced over so many steps; kept as logarithms."""

    logs: Any
    steps: Static[int]

    def __call__(self, count):
        """The rate at a step."""
        logs = jnp.stack([jnp.asarray(x, float) for x in self.logs])
        at = jnp.linspace(0.0, self.steps - 1.0, len(self.logs))
        return jnp.exp(jnp.interp(jnp.asarray(count, float), at, logs))


def main(quick: bool = False):
    """Check the derivatives, then follow them."""
    problem = rv.problems.digits("softmax")
    steps, rounds = (20, 20) if quick else (50, 100)

    def held_out(optimizer):
        """The loss on images that training does not see, after so many steps of it."""
        end = rv.solution(problem, problem.start(), optimizer, steps=steps, derivative="unrolled")
        return problem.metrics["validation_loss"](end.params)

    before = rv.SGD(Knots((np.log(0.3),) * 5, steps), momentum=0.9)
    slopes = jax.jit(jax.grad(held_out))(before)  # an optimizer, too

    # One number at a time, all of them side by side.
    numbers, as_optimizer = ravel_pytree(before)
    moves = 0.01 * jnp.eye(numbers.size)
    loss_at = jax.jit(jax.vmap(lambda move: held_out(as_optimizer(numbers + move))))
    differences = (loss_at(moves) - loss_at(-moves)) / 0.02
    print("d loss / d (knots, momentum)")
    print("  by the chain rule ", np.round(ravel_pytree(slopes)[0], 4))
    print("  by differences    ", np.round(differences, 4))

    tuner = rv.Frozen(rv.Adam(0.1), "momentum")
    tuned = rv.minimize(held_out, before, tuner, steps=rounds)
    print(f"held-out loss: {tuned.history[0]:.4f}, and {tuned.value:.4f} after {rounds} rounds")
    print("rates at the knots:", np.round(np.exp(jnp.stack(tuned.params.learning_rate.logs)), 2))
    return {"slopes": ravel_pytree(slopes)[0], "differences": differences, "tuned": tuned}


if __name__ == "__main__":
    main("--quick" in sys.argv)
