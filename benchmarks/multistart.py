"""Many starts, or many problems, minimised at once to one gradient norm, in double precision.

Five families: Rosenbrock's valley in ten dimensions, Himmelblau, Ackley in four dimensions,
logistic regressions of different regularisation, and fits of NIST's Misra1a, a least-squares
problem, from scattered starts. Ours is the best of BFGS (searching lines with Wolfe's conditions,
or with Armijo's alone), L-BFGS and Newton-CG in refilled lanes, or Levenberg-Marquardt for the
fits: with one worker, to whose time "times_ours" is the ratio, and with all, to theirs "times_all".
The peers are the minimisers of Optax, JAXopt and Optimistix, each in the way that suits it best
(under vmap, or one after the other in lax.map, whichever is faster in a try of all problems), and
a loop over SciPy's on the first family, timed on a part.

All stop at the same norm of the gradient; "solved" counts how many ended below it. Optimistix's,
and so ours, also end where steps are no longer than 1e-14: Ackley's minimum is the tip of a
cone, beside which the gradient is not small. Starts that end there count as unsolved, for all.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import solver_peers
from harness import arguments, ratios, rounds
from tables import save, show

import ravine as rv

TOLERANCE, MOST = 1e-6, 1000
STOP = rv.GradNorm(TOLERANCE) | rv.StepNorm(solver_peers.SHORTEST)
OURS = {
    "BFGS": rv.BFGS(),
    "BFGS, Armijo": rv.BFGS(linesearch=rv.Backtracking()),
    "L-BFGS": rv.LBFGS(),
    "Newton-CG": rv.NewtonCG(),
}
SQUARES = {"Levenberg-Marquardt": rv.LevenbergMarquardt()}


class Family(NamedTuple):
    """Problems that differ in their start, or in the second argument of the loss."""

    loss: Callable[..., Any]
    starts: np.ndarray
    args: np.ndarray | None = None

    @property
    def ours(self) -> dict[str, Any]:
        """Our methods for them."""
        return SQUARES if isinstance(self.loss, rv.LeastSquares) else OURS

    def peers(self) -> dict[str, Any]:
        """The solvers of others by name, each of one problem."""
        squares = isinstance(self.loss, rv.LeastSquares)
        makers = solver_peers.SQUARES_PEERS if squares else solver_peers.JAX_PEERS
        made = {}
        for name, make in makers.items():
            try:
                made[name] = make(self.loss.residuals if squares else self.loss, TOLERANCE, MOST)
            except ModuleNotFoundError as error:
                print(f"left out: {name} ({error})")
        return made

    def inputs(self) -> tuple[Any, ...]:
        """What a mapped solver takes."""
        return (self.starts,) if self.args is None else (self.starts, self.args)


def rosenbrock(number: int) -> Family:
    def loss(x: Any) -> Any:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    return Family(loss, np.random.default_rng(0).uniform(-2, 2, (number, 10)))


def plane(name: str, number: int, dimension: int, reach: float) -> Family:
    loss = rv.problems.get(name, **({} if dimension == 2 else {"n": dimension})).loss
    starts = np.random.default_rng(0).uniform(-reach, reach, (number, dimension))
    return Family(loss, starts)


def logistic(number: int) -> Family:
    """Regressions on the same 200 examples of 8 features, under strengths of an l2 penalty."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)) * np.logspace(-1, 1, 8)
    y = np.sign(x @ rng.normal(size=8) + 3 * rng.normal(size=200))
    rows = jnp.asarray(x * y[:, None])

    def loss(w: Any, strength: Any) -> Any:
        return jnp.mean(jnp.logaddexp(0.0, -rows @ w)) + 0.5 * strength * jnp.vdot(w, w)

    return Family(loss, np.zeros((number, 8)), np.logspace(-5, 1, number))


def fits(number: int) -> Family:
    """Misra1a, its numbers in units near 1, from scattered starts."""
    problem = rv.problems.nist("Misra1a", start=2)
    units = np.array([100.0, 1e-3])

    def residuals(b: Any) -> Any:
        return problem.residuals(units * b)

    spread = np.exp(0.3 * np.random.default_rng(0).normal(size=(number, 2)))
    return Family(rv.LeastSquares(residuals), np.asarray(problem.start()) / units * spread)


def sweep(family: Family, optimizer: Any, lanes: int, **more: Any) -> Any:
    """Our way: one sweep over starts, or over the loss's argument."""
    args = None if family.args is None else rv.Grid(family.args)
    start = rv.Starts(family.starts) if args is None else family.starts[0]
    return rv.sweep(
        family.loss, start, optimizer, steps=20 * MOST, stop=STOP, args=args,
        record_every=0, keep="all", lanes=lanes, **more,
    )  # fmt: skip


def solved(family: Family, found: Any) -> str:
    """The share of problems whose gradient is below the tolerance."""
    gradients = jax.jit(jax.vmap(jax.grad(family.loss)))(found, *family.inputs()[1:])
    below = np.linalg.norm(gradients, axis=1) <= TOLERANCE
    return f"{np.mean(below):.1%}"


def quickest(ways: Mapping[Any, Callable[[], Any]]) -> Any:
    """The name of the way that takes least time, each tried three times after it is compiled."""
    seconds = {name: statistics.median(times) for name, times in rounds(ways, 3).items()}
    return min(seconds, key=lambda name: seconds[name])


def mapped(solve: Any, way: str) -> Callable[..., Any]:
    """A solver of one problem for many: all side by side, or one after the other."""
    if way == "vmap":
        return jax.jit(jax.vmap(solve))
    return jax.jit(lambda *x: jax.lax.map(lambda row: solve(*row), x))


def compare(name: str, family: Family, widths: list[int], repeats: int) -> list[dict[str, Any]]:
    """A row a contender: its time in the same rounds as ours, and how many it solved."""
    ways = [(method, lanes) for method in family.ours for lanes in widths]
    contenders: dict[str, Callable[[], Any]] = {}
    ended = {}
    for workers, most in (("one worker", 1), ("all workers", None)):
        runs = {
            (method, lanes): partial(sweep, family, family.ours[method], lanes, workers=most)
            for method, lanes in ways
        }
        method, lanes = quickest({way: lambda run=run: run().values for way, run in runs.items()})
        label, run = f"ours, {method}, {lanes} lanes, {workers}", runs[method, lanes]
        contenders[label], ended[label] = lambda run=run: run().values, run().params
    one, every = contenders
    inputs = family.inputs()
    for peer, solve in family.peers().items():
        found = {way: mapped(solve, way) for way in ("vmap", "map")}
        way = quickest({way: partial(f, *inputs) for way, f in found.items()})
        contenders[f"{peer}, {way}"] = partial(found[way], *inputs)
        ended[f"{peer}, {way}"] = found[way](*inputs)
    seconds = rounds(contenders, repeats)
    figures, against_all = ratios(seconds, one), ratios(seconds, every)
    return [
        {"problem": name, "method": label, "solved": solved(family, ended[label])}
        | figure
        | {"times_all": against_all[label]["times_ours"]}
        for label, figure in figures.items()
    ]


def scipy_loop(family: Family, number: int) -> list[dict[str, Any]]:
    """SciPy's minimisers on the first starts of Rosenbrock's, in its own NumPy code."""
    from scipy.optimize import rosen, rosen_der

    rows = []
    for method in ("L-BFGS-B", "BFGS"):
        solve = solver_peers.in_scipy(lambda x: (rosen(x), rosen_der(x)), TOLERANCE, MOST, method)
        began = time.perf_counter()
        found = np.array([solve(x).x for x in family.starts[:number]])
        seconds = (time.perf_counter() - began) / number * len(family.starts)
        gradients = np.linalg.norm([rosen_der(x) for x in found], axis=1)
        share = f"{np.mean(gradients <= TOLERANCE):.1%}"
        rows.append({"method": f"SciPy {method}, a loop", "solved": share, "seconds": seconds})
    return rows


def alone(family: Family, number: int = 8) -> str:
    """Whether trials take as many evaluations alone as in lanes."""
    *_, method = family.ours.values()
    together = sweep(family, method, 64).steps[:number]
    single = []
    for i in range(number):
        args = None if family.args is None else jnp.asarray(family.args[i])
        out = rv.minimize(
            family.loss, jnp.asarray(family.starts[i]), method, steps=20 * MOST,
            stop=STOP, args=args,
        )  # fmt: skip
        single.append(int(out.steps))
    return f"{np.sum(np.array(single) == together)} of {number}"


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="some of the families")
    parser.add_argument("--lanes", type=int, nargs="+", default=[32, 64, 128, 192, 256, 384],
                        help="to try")  # fmt: skip
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    small = 64 if options.quick else 1
    families = {
        "rosenbrock-10": rosenbrock(2048 // small),
        "himmelblau": plane("himmelblau", 4096 // small, 2, 5.0),
        "ackley-4": plane("ackley", 4096 // small, 4, 5.0),
        "logistic": logistic(1024 // small),
        "misra1a": fits(10_000 // small),
    }
    if options.quick:
        families = {name: families[name] for name in ("himmelblau", "misra1a")}
        solver_peers.JAX_PEERS = {"Optax L-BFGS": solver_peers.in_optax}
        solver_peers.SQUARES_PEERS = {}
    families = {name: f for name, f in families.items() if name in (options.only or families)}
    tables, same = {}, {}
    widths = [16] if options.quick else options.lanes
    for name, family in families.items():
        tables[name] = compare(name, family, widths, 1 if options.quick else options.repeats)
        same[name] = alone(family)
        show(f"{len(family.starts)} x {name}, to a gradient norm of {TOLERANCE}", tables[name])
        print(f"as many evaluations alone as in lanes: {same[name]}")
    if "rosenbrock-10" in tables:
        ours = min(row["seconds"] for row in tables["rosenbrock-10"])
        tables["scipy"] = [
            {**row, "times_ours": row["seconds"] / ours}
            for row in scipy_loop(families["rosenbrock-10"], 128)
        ]
        show("rosenbrock-10, a loop over SciPy, against ours with all workers", tables["scipy"])
    save(options.json, tables, as_alone=same, tolerance=TOLERANCE)


if __name__ == "__main__":
    main()
