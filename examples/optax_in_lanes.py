"""A recipe written with Optax, in lanes, beside the same recipe written with Ravine.

``rv.from_optax`` takes a function that returns an Optax optimizer, and its arguments, with spaces
in place of numbers. The function is called while the sweep's program is traced, so that one program
serves all learning rates. Grids are counted through in the same order in both sweeps, so
trial by trial the two end at the same loss, but for rounding, which training magnifies.
"""

import sys

import numpy as np
import optax

import ravine as rv


def recipe(clip, peak, steps):
    """Clipped AdamW that decays by a cosine; no `if` on a number that is swept."""
    schedule = optax.cosine_decay_schedule(peak, steps)
    return optax.chain(optax.clip_by_global_norm(clip), optax.adamw(schedule))


def main(quick: bool = False):
    """Sweep both, and compare them trial by trial."""
    problem = rv.problems.digits(hidden=(32,))
    steps = 50 if quick else 300
    clips, peaks = rv.Grid([0.1, 1.0]), rv.LogGrid(1e-4, 1e-1, 8 if quick else 32)

    schedule = rv.schedules.CosineDecay(peaks, steps)
    results = rv.sweep(
        problem.loss,
        problem.init,
        {
            "ravine": rv.chain(rv.ClipByGlobalNorm(clips), rv.AdamW(schedule)),
            "optax": rv.from_optax(recipe, clip=clips, peak=peaks, steps=steps),
        },
        steps=steps,
        batches=rv.Batches(problem.data, size=problem.batch_size),
    )
    print(results.best.optimizer)
    ours, theirs = (results.values[results.names == name] for name in ("ravine", "optax"))
    apart = np.abs(theirs / ours - 1)
    print("loss at the end    Ravine     Optax")
    for name, pick in {"best": np.min, "median": np.median, "worst": np.max}.items():
        print(f"{name:16} {pick(ours):8.5f}  {pick(theirs):8.5f}")
    print(f"relative difference of a pair: {np.median(apart):.1e}, at most {apart.max():.1e}")
    return {"results": results, "apart": apart}


if __name__ == "__main__":
    main("--quick" in sys.argv)
