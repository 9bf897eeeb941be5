"""Refilled lanes against vmap(while_loop), on trials of very different lengths.

4096 learning rates of momentum 0.9 on a 64-dimensional quadratic, from ones to a gradient
norm of 1e-4. The slowest trial takes far more steps than most, and vmap(while_loop) runs
every lane until the slowest has finished.

The first peer takes the same step: loss and gradient, update, stopping test, smallest loss
so far. The second leaves out all but gradient, update and norm.
"""

import jax
import jax.numpy as jnp
import numpy as np
import peers
from harness import arguments, ratios, report, rounds

import ravine as rv

DIMENSION, MAX_STEPS, TOLERANCE = 64, 50_000, 1e-4
ONE = "refilled lanes, one worker"
EIGENVALUES = np.logspace(-2, 0, DIMENSION).astype(np.float32)


def loss(x):
    return 0.5 * jnp.sum(EIGENVALUES * x**2)


def momentum(learning_rate):
    """The optimizer of all trials, at a learning rate."""
    return rv.SGD(learning_rate, momentum=0.9)


STOP = rv.GradNorm(TOLERANCE) | rv.Diverged()
same_step = peers.to_the_end(loss, momentum, STOP, MAX_STEPS)


@jax.jit
@jax.vmap
def bare_step(learning_rate):
    """The least that finds the same step counts: no loss, no record of anything."""

    def body(carry):
        x, velocity, step, _ = carry
        grad = jax.grad(loss)(x)
        velocity = 0.9 * velocity + grad
        go = (jnp.linalg.norm(grad) > TOLERANCE) & (step < MAX_STEPS)
        return jnp.where(go, x - learning_rate * velocity, x), velocity, step + go, go

    start = (jnp.ones(DIMENSION), jnp.zeros(DIMENSION), jnp.zeros((), jnp.int32), True)
    return jax.lax.while_loop(lambda c: c[-1], body, start)[2]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lanes", type=int, default=160, help="a worker (%(default)s)")
    parser.add_argument("--trials", type=int, default=4096)
    options = parser.parse_args()
    trials = 64 if options.quick else options.trials
    rates = np.logspace(-2, np.log10(2.2), trials).astype(np.float32)
    rates = np.random.default_rng(0).permutation(rates)

    def lanes(**more):
        return rv.sweep(
            loss, jnp.ones(DIMENSION), momentum(rv.Grid(rates)), steps=MAX_STEPS,
            stop=STOP, lanes=options.lanes, **more,
        )  # fmt: skip

    ours, alone = lanes(), lanes(workers=1)
    starts = np.ones((trials, DIMENSION), np.float32)
    peer = np.asarray(same_step(rates, starts)[0])
    seconds = rounds(
        {
            ONE: lambda: lanes(workers=1).values,
            "refilled lanes, all workers": lambda: lanes().values,
            "one worker, no history": lambda: lanes(workers=1, record_every=0).values,
            "vmap(while_loop), the same step": lambda: same_step(rates, starts),
            "vmap(while_loop), bare step": lambda: bare_step(rates),
        },
        options.repeats,
    )
    useful = float(np.sum(peer + 1) / ((peer.max() + 1) * trials))
    report(
        f"{trials} learning rates to tolerance, {options.lanes} lanes a worker",
        ratios(seconds, ONE),
        options.json,
        equal_step_counts=f"{np.mean(ours.steps == peer):.2%} of the trials",
        workers=ours.info["workers"],
        useful_lane_steps=f"{alone.info['occupancy']:.2f} with one worker, "
        f"{ours.info['occupancy']:.2f} with all, against {useful:.2f}",
    )


if __name__ == "__main__":
    main()
