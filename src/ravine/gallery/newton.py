r"""Newton against gradient descent under pathological curvature.

Descent with the best learning rate needs a number of steps that grows as the condition κ of the
Hessian: to shrink the error by the factor ε, log(1/ε) / log((κ + 1) / (κ − 1)), or about
κ log(1/ε) / 2. Newton's method divides by the
curvature, each direction by its own, and is at the minimum of any quadratic after one step. On
Rosenbrock's valley, which is curved, it needs some more; descent, with the best learning rate of
a sweep, thousands.

Left: the steps until the loss of a quadratic is half of 10⁻⁸, for many conditions at once. Right:
both on Rosenbrock's function.

Reference: Nocedal and Wright, Numerical optimization, 2006, chapter 3; Rosenbrock, An automatic
method for finding the greatest or least value of a function, 1960.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

import ravine as rv
from ravine.gallery.base import Picture, at_least, at_most, close, panels, slope, traced
from ravine.plot.frame import COLOURS, plain_ticks
from ravine.problems.functions import rosenbrock_loss

SHRINK = 1e-4
START = np.array([-1.2, 1.0])


def stretched(x: Any, kappa: Any) -> Any:
    """A quadratic of condition κ that lies askew to the axes."""
    along, across = (x[0] + x[1]) / 2**0.5, (x[0] - x[1]) / 2**0.5
    return (along**2 + kappa * across**2) / 2


def picture(quick: bool = False) -> Picture:
    """Both methods on every quadratic, one sweep each; then both in the curved valley."""
    kappas = np.geomspace(2, 1e3 if quick else 1e4, 6 if quick else 14)
    # At 2/(1 + κ) the errors along both axes, 1 at the start, shrink by the same factor.
    needed = {"descent": _descent(kappas), "Newton": _newton(kappas)}
    theory = np.log(np.sqrt(1 + kappas) / SHRINK) / np.log((kappas + 1) / (kappas - 1))
    rates = rv.SGD(rv.LogGrid(3e-4, 5e-3, 8 if quick else 40))
    limit = 5_000 if quick else 30_000
    start = jnp.asarray(START, jnp.float32)
    stop = rv.Target(1e-6) | rv.Diverged(1e6)
    valley = rv.sweep(
        traced(rosenbrock_loss), start, rates, steps=limit, stop=stop, record_every=20,
        has_aux=True,
    )  # fmt: skip
    converged = np.array([str(s) == "converged" for s in valley.status])
    fastest = int(np.argmin(np.where(converged, valley.steps, limit + valley.values)))
    quickly = rv.minimize(
        traced(rosenbrock_loss), start, rv.Newton(), steps=100, stop=stop, has_aux=True
    )
    facts = (
        at_most("descent: greatest difference from the predicted steps, of the greater of 1 and 1%",
                float(np.max(np.abs(needed["descent"] - np.ceil(theory))
                             / np.maximum(0.01 * theory, 1))), 1),
        close("descent: power of κ in its steps",
              slope(np.log(kappas[2:]), np.log(needed["descent"][2:])), 1.0, 0.05),
        at_most("Newton: steps on a quadratic, at most", float(needed["Newton"].max()), 2),
        at_most("Newton on Rosenbrock's function: steps", quickly.steps, 40),
        at_least("descent there, at best: steps", int(valley.steps[fastest]), 1000),
    )  # fmt: skip
    paths = {
        f"descent, {valley.steps[fastest]} steps": valley.aux[fastest],
        f"Newton, {quickly.steps} steps": np.asarray(quickly.aux),
    }
    return Picture(_draw(kappas, needed, theory, paths), facts)


def _descent(kappas: Any) -> Any:
    """Steps of descent at 2/(1 + κ), the best there is, on every quadratic."""
    return _steps(kappas, rv.SGD(rv.Grid(2 / (1 + kappas))), int(kappas.max() * 9))


def _newton(kappas: Any) -> Any:
    """Steps of Newton's method on every quadratic."""
    return _steps(kappas, rv.Newton(), 20)


def _steps(kappas: Any, optimizer: Any, limit: Any) -> Any:
    """Steps until the loss has shrunk, from errors of 1 along either axis."""
    start = jnp.array([2**0.5, 0.0])
    varied = rv.sweep(
        stretched, start, optimizer, args=rv.Grid(kappas), steps=limit,
        stop=rv.Target(SHRINK**2 / 2) | rv.Diverged(1e9), record_every=0, keep=0,
    )  # fmt: skip
    own = np.ones(len(varied), bool)
    if "learning_rate" in varied.hyperparameters:
        rate = varied.hyperparameters["learning_rate"].astype(float)
        kappa = varied.hyperparameters["args"].astype(float)
        own = np.isclose(rate, 2 / (1 + kappa), rtol=1e-4)
    order = np.argsort(varied.hyperparameters["args"][own])
    return varied.steps[own][order].astype(float)


def _draw(kappas: Any, needed: Any, theory: Any, paths: Any) -> Any:
    figure, (left, right) = panels(1, 2, 9.4, 3.9)
    left.loglog(kappas, theory, color=COLOURS[0], linewidth=1.0)
    left.loglog(kappas, needed["descent"], "o", color=COLOURS[0], label="descent; line: theory")
    left.loglog(kappas, needed["Newton"], "s", color=COLOURS[1], label="Newton")
    left.set(xlabel="condition κ of the Hessian", ylabel="steps to a loss of 10⁻⁸/2")
    left.set_ylim(0.7, None)
    plain_ticks(left.xaxis)
    plain_ticks(left.yaxis)
    left.legend(fontsize="small")
    rv.plot.contour(rosenbrock_loss, (-1.7, 1.5), (-0.6, 1.7), paths, minima=[(1, 1)], ax=right)
    right.set(xlabel="x", ylabel="y")
    return figure
