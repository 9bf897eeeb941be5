"""Does the best learning rate survive a change of width? Standard rates against muP's.

Networks of 64-n-n-10 are trained on digits by Adam, for several widths n, with one rate for all
leaves; and under the maximal update parametrization (muP), which divides the rate of every kernel
that reads a hidden layer by its width, so that the best rate of a narrow network should be that of
a wide one, too. In both, the readout starts at zero.

One sweep a width. Adam is written out as a sentence of transforms, with a factor for those kernels
that is 1 or the width's. How the best rate goes with the width is measured, not assumed.

Reference: Yang et al., Tensor Programs V: tuning large neural networks via zero-shot hyperparameter
transfer, 2022, https://arxiv.org/abs/2203.03466.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv

BASE = 32


def network(width):
    """The digits, and the start of a network whose readout is zero."""
    problem = rv.problems.digits(hidden=(width, width))

    def init(key):
        params = problem.init(key)
        return params | {"dense_2": jax.tree.map(jnp.zeros_like, params["dense_2"])}

    return problem, init


def sweep(width, rates, seeds, steps):
    """Mean losses of all rates at one width: a row a parametrization."""
    problem, init = network(width)
    # The two differ in one number, so they are one grid more, of one program.
    factor = rv.Grid([1.0, BASE / width])
    adam = rv.chain(
        rv.ScaleByAdam(),
        rv.Masked(rv.Scale(factor), ("dense_1/kernel", "dense_2/kernel")),
        rv.ScaleByLearningRate(rates),
    )
    results = rv.sweep(
        problem.loss,
        init,
        adam,
        seeds=seeds,
        steps=steps,
        batches=rv.Batches(problem.data, size=problem.batch_size),
        metric=lambda params: problem.loss(params, problem.data),
        metric_every=steps,
    )
    return results.over_seeds()["mean"].reshape(2, -1)


def best_rate(rates, losses):
    """The rate at the bottom of a parabola through the three lowest points, on log scales."""
    losses = np.where(np.isfinite(losses), losses, np.inf)
    i = int(np.clip(np.argmin(losses), 1, len(rates) - 2))
    a, b, c = np.log(losses[i - 1 : i + 2])
    curved = a - 2 * b + c
    shift = (a - c) / (2 * curved) if np.isfinite(curved) and curved > 0 else 0.0
    return float(rates[i] * (rates[1] / rates[0]) ** np.clip(shift, -1, 1))


def main(quick: bool = False):
    """Measure the best rate at each width, and how it moves."""
    widths = (16, 32, 64, 128) if quick else (16, 32, 64, 128, 256)
    seeds, steps = (2, 60) if quick else (4, 60)
    rates = rv.LogGrid(1e-3, 0.128, 8 if quick else 11)
    found = {"standard": [], "muP": []}
    for width in widths:
        for best, losses in zip(found.values(), sweep(width, rates, seeds, steps), strict=True):
            best.append(best_rate(np.asarray(rates.values()), losses))
        told = ", ".join(f"{name} {best[-1]:.4f}" for name, best in found.items())
        print(f"width {width:3}: best learning rate {told}")
    slopes = {
        name: float(np.polyfit(np.log(widths), np.log(best), 1)[0]) for name, best in found.items()
    }
    print("best rate ~ width^a:", ", ".join(f"{name} a = {a:.2f}" for name, a in slopes.items()))
    return {"rates": found, "slopes": slopes}


if __name__ == "__main__":
    main("--quick" in sys.argv)
