"""64 networks side by side: the lanes against what one would do otherwise.

The digits network 64-32-32-10 at batch 128 under Adam, 64 learning rates, every trial of
equal length, so that refilling has nothing to win: this measures what the engine costs.
All take the same batches in the same order. The peers, in peers.py, train all networks at
once or one after another; the latter train a few, and are scaled to all. PyTorch may use
all cores, as XLA may. hyperoptax draws starting points of its own.
"""

import peers
from harness import arguments, ratios, report, rounds

import ravine as rv

ONE = "ravine.sweep, one worker"
TOGETHER = {
    "Optax by hand, jit(vmap(scan))": peers.by_hand,
    "hyperoptax, grid search": peers.in_hyperoptax,
    "torch.func.vmap ensemble": peers.in_torch_vmap,
}
IN_TURN = {
    "Optax, a jitted step in a loop": peers.step_by_step,
    "Optuna, two jobs around a jitted step": peers.in_optuna,
    "Optax closures, re-jitted for each learning rate": peers.closures,
    "PyTorch eager": peers.in_torch,
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    trials, steps = (8, 20) if options.quick else (options.trials, options.steps)
    work = peers.networks(trials, steps)
    few = min(trials, max(2, trials // 16))  # even: Optuna has two jobs
    batches = rv.Batches(work.problem.data, size=peers.BATCH)

    def lanes(**more):
        return rv.sweep(
            work.problem.loss, work.problem.init, rv.Adam(rv.Grid(work.rates)),
            steps=steps, batches=batches, **more,
        ).values  # fmt: skip

    contenders = {
        ONE: lambda: lanes(lanes=trials, workers=1),
        "ravine.sweep, all workers": lanes,
        **peers.available(TOGETHER, work),
    }
    partial = peers.available(IN_TURN, work.first(few))
    seconds = rounds(contenders | partial, options.repeats)
    for name in partial:
        seconds[name] = [s * trials / few for s in seconds[name]]
    figures = ratios(seconds, ONE)
    for row in figures.values():
        row["lane_steps_per_s"] = trials * steps / row["seconds"]
    report(
        f"{trials} networks of {steps} steps, batch {peers.BATCH}",
        figures,
        options.json,
        scaled_from=f"{few} of {trials} networks for the last {len(partial)}",
    )


if __name__ == "__main__":
    main()
