"""Fitting a damped oscillation: from many starts, and with an uncertainty by two routes.

Along the frequency the loss has many valleys, and from a bad guess Levenberg and Marquardt's method
ends in a wrong one. So it starts from 64 guesses, in lanes. Then the standard errors: from the
Jacobian at the solution, as textbooks have them, and from the spread over fits to synthetic data
sets, whose noise is drawn from the residuals (a bootstrap), each data set a lane.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import ravine as rv

NAMES = ("amplitude", "decay", "frequency", "phase")
TRUE = np.array([2.0, 0.15, 1.7, 0.6])
# The clock jitters: at even times each frequency has an alias, which fits as well.
TIMES = jnp.asarray(
    np.linspace(0.0, 10.0, 100) + np.random.default_rng(1).uniform(-0.02, 0.02, 100), float
)


def oscillation(params):
    """The displacement at all times."""
    amplitude, decay, frequency, phase = params
    return amplitude * jnp.exp(-decay * TIMES) * jnp.cos(2 * jnp.pi * frequency * TIMES + phase)


def main(quick: bool = False):
    """Fit, estimate the errors by both routes, and compare them."""
    rng = np.random.default_rng(0)
    measured = jnp.asarray(oscillation(TRUE) + 0.1 * rng.standard_normal(100), float)
    method, stop = rv.LevenbergMarquardt(solver="cg"), rv.StepNorm(1e-4) | rv.Diverged()

    guesses = np.tile([1.0, 0.1, 0.0, 0.0], (64, 1))
    guesses[:, 2] = np.linspace(0.2, 5.0, 64)
    fits = rv.sweep(
        rv.LeastSquares(lambda params: oscillation(params) - measured),
        rv.Starts(jnp.asarray(guesses, float)),
        method,
        steps=200,
        stop=stop,
    )
    best = fits.best.params
    found = np.mean(fits.values < 1.01 * fits.best.value)
    print(f"{found:.0%} of 64 starts found the best fit, of loss {fits.best.value:.3f}")

    # cov = s^2 (J' J)^-1,  s^2 = r' r / (n - p)
    residuals = np.asarray(measured - oscillation(best))
    jacobian = np.asarray(jax.jacfwd(oscillation)(best), np.float64)
    variance = residuals @ residuals / (100 - 4)
    linear = np.sqrt(variance * np.diag(np.linalg.inv(jacobian.T @ jacobian)))

    # A fit leaves residuals smaller than the noise: sum r^2 ~ (n - p) s^2.
    count = 200 if quick else 2000
    noise = rng.choice(residuals * np.sqrt(100 / (100 - 4)), (count, 100))
    synthetic = jnp.asarray(np.asarray(oscillation(best)) + noise, float)
    refits = rv.sweep(
        rv.LeastSquares(lambda params, i: oscillation(params) - synthetic[i]),
        best,
        method,
        steps=200,
        stop=stop,
        args=rv.Grid(range(count)),
        keep="all",
    )
    spread = np.std(refits.params, axis=0, ddof=1)

    print("            true     fit   error by the Jacobian   by the spread")
    for row in zip(NAMES, TRUE, np.asarray(best), linear, spread, strict=True):
        print("{:10} {:6.3f}  {:6.3f}   {:21.4f}   {:13.4f}".format(*row))
    return {"found": found, "fit": best, "linear": linear, "spread": spread, "refits": refits}


if __name__ == "__main__":
    main("--quick" in sys.argv)
