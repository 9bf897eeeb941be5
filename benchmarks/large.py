"""What one large GPU has room for: 8,192 networks at once, and a million starting points.

The digits network at batch 128 under Adam, every trial of equal length, against Optax by
hand as jit(vmap(scan)). Then Rosenbrock's valley in two dimensions from random starts by
momentum 0.95 to a gradient norm of 1e-3, in refilled lanes, with a lane for every start,
and as vmap(while_loop) of the same step over all starts at once. The slowest start takes
about twice the mean. Meant to take five minutes; --quick is a small one for a CPU.
"""

import jax.numpy as jnp
import numpy as np
import peers
from harness import arguments, ratios, rounds
from tables import Row, save, show

import ravine as rv

RATE, TOLERANCE, MAX_STEPS = 3e-4, 1e-3, 50_000
OURS = "refilled lanes"


def momentum(rate):
    return rv.SGD(rate, momentum=0.95)


def networks(trials: int, steps: int, repeats: int) -> list[Row]:
    """Many networks, a lane each."""
    task = peers.networks(trials, steps)
    batches, adam = rv.Batches(task.problem.data, size=peers.BATCH), rv.Adam(rv.Grid(task.rates))

    def lanes():
        return rv.sweep(
            task.problem.loss, task.problem.init, adam, steps=steps, batches=batches,
            lanes=trials, workers=1,
        ).values  # fmt: skip

    contenders = {OURS: lanes, "Optax by hand, jit(vmap(scan))": peers.by_hand(task)}
    return _rows(rounds(contenders, repeats), trials * steps)


def starts(trials: int, lanes: int, repeats: int) -> tuple[list[Row], dict[str, str]]:
    """Many random starts to tolerance; and what is to be known about how they ended."""
    loss, stop = rv.problems.rosenbrock().loss, rv.GradNorm(TOLERANCE) | rv.Diverged()
    points = np.random.default_rng(0).uniform(-2.048, 2.048, (trials, 2)).astype(np.float32)
    points, rates = jnp.asarray(points), jnp.full(trials, RATE)
    together = peers.to_the_end(loss, momentum, stop, MAX_STEPS)

    def sweep(lanes):
        return rv.sweep(
            loss, rv.Starts(points), momentum(RATE), steps=MAX_STEPS, stop=stop,
            lanes=lanes, workers=1, record_every=0,
        )  # fmt: skip

    ours, theirs = sweep(lanes), np.asarray(together(rates, points)[0])
    contenders = {
        OURS: lambda: sweep(lanes).values,
        "a lane for every start": lambda: sweep(trials).values,
        "vmap(while_loop), the same step": lambda: together(rates, points),
    }
    notes = {
        "lanes": f"{lanes} of {trials}",
        "converged": f"{np.mean(ours.status == rv.Status.CONVERGED):.2%} of the trials",
        "equal step counts": f"{np.mean(ours.steps == theirs):.2%} of the trials",
        "useful lane-steps": f"{ours.info['occupancy']:.2f} in refilled lanes, against "
        f"{np.mean(theirs + 1) / (theirs.max() + 1):.2f}",
    }
    return _rows(rounds(contenders, repeats), float(np.sum(theirs + 1))), notes


def _rows(seconds: dict[str, list[float]], lane_steps: float) -> list[Row]:
    return [
        {"": name, **row, "lane_steps_per_s": lane_steps / row["seconds"]}
        for name, row in ratios(seconds, OURS).items()
    ]


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--networks", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=200, help="of a network (%(default)s)")
    parser.add_argument("--starts", type=int, default=1_000_000)
    parser.add_argument("--lanes", type=int, default=2**17, help="for the starts (%(default)s)")
    options = parser.parse_args()
    if options.quick:
        options.networks, options.steps, options.starts, options.lanes = 32, 10, 512, 64
    titles = (
        f"{options.networks} networks of {options.steps} steps, batch {peers.BATCH}",
        f"{options.starts} random starts to a gradient norm of {TOLERANCE}",
    )
    first = networks(options.networks, options.steps, options.repeats)
    show(titles[0], first)
    second, notes = starts(options.starts, options.lanes, options.repeats)
    show(titles[1], second)
    for name, note in notes.items():
        print(f"{name}: {note}")
    save(options.json, dict(zip(titles, (first, second), strict=True)), notes=notes)


if __name__ == "__main__":
    main()
