"""One start at a time: the 35 functions of Moré, Garbow and Hillstrom, and NIST's regressions.

For each method: how many problems it solves, the median number of evaluations of those that
it and the first of ours both solve, and seconds a problem once compiled. Solved is a problem
whose value comes within 1e-6 of the known one, relative to the larger of that and of a
millionth of the first value. All stop at the same gradient norm, at which rounding ends what
most can do, for a looser one says little of problems as badly scaled as these: 1e-12 times that
at the start; for NIST's, whose starts have gradients of up to 1e15, 1e-12 times the norm of
|J|'|r| at the certified parameters. They also stop by what tests of their own they have, and
after 2,000 steps; in double precision. Evaluations are counted in the loss itself, by a callback,
alike for all: each point at which it is asked for a value, a derivative or both counts once.
``gradient`` is the median of the norms at which they end, in units of the tolerance. The
times are those of the loss without the callback. Methods that know the residuals stand in a table
of their own.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import solver_peers
from harness import arguments
from tables import save, show

import ravine as rv

MOST = 2000
RELATIVE = 1e-12
TIMES = 5


class Case:
    """A problem with all that is known of it, and at how many points it has been evaluated."""

    def __init__(self, problem: Any, counted: bool = True) -> None:
        self.problem, self.counted = problem, counted
        self.evaluations, self._last = 0, np.nan

    def loss(self, x: Any) -> Any:
        """Half the sum of squares."""
        r = self.residuals(x)
        return 0.5 * jnp.vdot(r, r)

    def residuals(self, x: Any) -> Any:
        """The residuals, counted."""
        if self.counted:
            jax.debug.callback(self._count, x)
        return self.problem.residuals(x)

    def _count(self, x: Any) -> None:
        if not np.array_equal(x, self._last):
            self.evaluations, self._last = self.evaluations + 1, np.array(x)

    @property
    def start(self) -> np.ndarray:
        """Where to begin."""
        return np.asarray(self.problem.start())

    @property
    def tolerance(self) -> float:
        """The norm of the gradient at which to stop."""
        r, jacobian = self.problem.residuals, jax.jacfwd(self.problem.residuals)
        if self.problem.name.startswith("nist"):
            x = self.problem.minima[0]
            return RELATIVE * float(jnp.linalg.norm(abs(jacobian(x)).T @ abs(r(x))))
        return RELATIVE * max(float(jnp.linalg.norm(jacobian(self.start).T @ r(self.start))), 1.0)

    def solved(self, x: Any) -> bool:
        """Whether the value is what the literature knows, here or at another local minimum."""
        value, first = (float(jnp.sum(self.problem.residuals(z) ** 2)) for z in (x, self.start))
        known = [self.problem.minimum, *others(self.problem)]
        return any(value - m <= 1e-6 * max(abs(m), 1e-6 * first) for m in known if m is not None)


def others(problem: Any) -> list[float]:
    """The values of further local minima, as the description names them."""
    _, found, listed = problem.description.partition("end at ")
    return [float(x) for x in listed.rstrip(".").split(", ")] if found else []


def cases(which: str, quick: bool) -> Iterator[Case]:
    if which == "mgh":
        names = rv.problems.MGH if not quick else ["rosenbrock", "beale"]
        yield from (Case(rv.problems.mgh(name)) for name in names)
    else:
        names = rv.problems.NIST if not quick else ["Misra1a"]
        starts = (1, 2) if not quick else (2,)
        yield from (Case(rv.problems.nist(n, s)) for n in names for s in starts)


def ours(optimizer: Any) -> Callable[[Case], Callable[[Any], Any]]:
    def make(case: Case) -> Callable[[Any], Any]:
        squares = isinstance(optimizer, rv.LevenbergMarquardt | rv.GaussNewton)
        loss = rv.LeastSquares(case.residuals) if squares else case.loss
        stop = rv.GradNorm(case.tolerance)
        return jax.jit(lambda x: rv.solution(loss, x, optimizer, steps=20 * MOST, stop=stop).params)

    return make


def jax_peer(name: str) -> Callable[[Case], Callable[[Any], Any]]:
    def make(case: Case) -> Callable[[Any], Any]:
        return jax.jit(solver_peers.JAX_PEERS[name](case.loss, case.tolerance, MOST))

    return make


def scipy_peer(method: str) -> Callable[[Case], Callable[[Any], Any]]:
    def make(case: Case) -> Callable[[Any], Any]:
        pair = jax.jit(jax.value_and_grad(case.loss))

        def f(x: Any) -> Any:
            value, grad = pair(x)
            return float(value), np.asarray(grad)

        solve = solver_peers.in_scipy(f, case.tolerance, MOST, method)
        return lambda x: solve(np.asarray(x)).x

    return make


def scipy_squares(case: Case) -> Callable[[Any], Any]:
    r, jacobian = jax.jit(case.residuals), jax.jit(jax.jacfwd(case.problem.residuals))
    solve = solver_peers.squares_in_scipy(
        lambda x: np.asarray(r(x)), lambda x: np.asarray(jacobian(x)), 1e-15, MOST
    )
    return lambda x: solve(np.asarray(x)).x


def squares_peer(name: str) -> Callable[[Case], Callable[[Any], Any]]:
    def make(case: Case) -> Callable[[Any], Any]:
        # Optimistix's tests are on the step and the value, and not in units of the gradient.
        tolerance = 1e-9 if name.startswith("Optimistix") else case.tolerance
        return jax.jit(solver_peers.SQUARES_PEERS[name](case.residuals, tolerance, MOST))

    return make


GRADIENTS = {
    "ours, BFGS": ours(rv.BFGS()),
    "ours, L-BFGS": ours(rv.LBFGS()),
    **{name: jax_peer(name) for name in solver_peers.JAX_PEERS},
    "SciPy L-BFGS-B": scipy_peer("L-BFGS-B"),
    "SciPy BFGS": scipy_peer("BFGS"),
}
SQUARES = {
    "ours, Levenberg-Marquardt": ours(rv.LevenbergMarquardt()),
    "ours, Gauss-Newton": ours(rv.GaussNewton()),
    **{name: squares_peer(name) for name in solver_peers.SQUARES_PEERS},
    "SciPy least_squares (MINPACK)": scipy_squares,
}


class Run(NamedTuple):
    """What a method made of a problem."""

    solved: bool
    evaluations: int
    gradient: float  # its norm at the end, where the tolerance is 1
    seconds: float


def run(make: Callable[[Case], Callable[[Any], Any]], case: Case) -> Run:
    try:
        found = jax.block_until_ready(make(case)(case.start))
        jax.effects_barrier()
        plain = Case(case.problem, counted=False)
        solve, seconds = make(plain), []
        for _ in range(1 + TIMES):
            began = time.perf_counter()
            jax.block_until_ready(solve(case.start))
            seconds.append(time.perf_counter() - began)
    except (ArithmeticError, ValueError) as error:
        print(f"  {case.problem.name}: {type(error).__name__}: {error}"[:120])
        return Run(False, 0, np.nan, np.nan)
    gradient = float(jnp.linalg.norm(jax.grad(plain.loss)(jnp.asarray(found)))) / case.tolerance
    return Run(case.solved(found), case.evaluations, gradient, statistics.median(seconds[1:]))


def measure(which: str, methods: dict[str, Any], quick: bool) -> dict[str, list[Run]]:
    """What each method makes of each problem."""
    runs: dict[str, list[Run]] = {}
    for name, make in methods.items():
        try:
            runs[name] = [run(make, case) for case in cases(which, quick)]
        except ModuleNotFoundError as error:
            print(f"left out: {name} ({error})")
            continue
        print(f"  {name}: {sum(r.solved for r in runs[name])} of {len(runs[name])}", flush=True)
        jax.clear_caches()  # hundreds of compiled programs, each with memory of its own
    return runs


def rows(runs: dict[str, list[Run]], problems: list[str]) -> list[dict[str, Any]]:
    """A row a method, with what it needs of the problems that the first solves too."""
    first, table = next(iter(runs.values())), []
    for name, mine in runs.items():
        both = [(a, b) for a, b in zip(mine, first, strict=True) if a.solved and b.solved]
        ratios = [a.evaluations / max(b.evaluations, 1) for a, b in both]
        missed = [p for p, r in zip(problems, mine, strict=True) if not r.solved]
        table.append(
            {
                "method": name,
                "solved": f"{len(mine) - len(missed)} of {len(mine)}",
                "evaluations": statistics.median([a.evaluations for a, _ in both] or [0]),
                "times_ours": statistics.median(ratios or [np.nan]),
                "gradient": statistics.median([a.gradient for a, _ in both] or [np.nan]),
                "ms_a_problem": 1e3 * statistics.median(r.seconds for r in mine),
                "unsolved": " ".join(missed),
            }
        )
    return table


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--only", nargs="+", choices=("mgh", "nist"), default=["mgh", "nist"])
    parser.add_argument("--tables", nargs="+", choices=("gradients", "squares"),
                        default=["gradients", "squares"])  # fmt: skip
    options: argparse.Namespace = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    tables = {}
    for table in options.tables:
        methods = {"gradients": GRADIENTS, "squares": SQUARES}[table]
        if options.quick:
            methods = dict(list(methods.items())[:1])
        for which in options.only:
            title = f"{which}, {table}"
            print(f"\n{title}")
            names = [case.problem.name for case in cases(which, options.quick)]
            found = rows(measure(which, methods, options.quick), names)
            show(title, [{k: v for k, v in row.items() if k != "unsolved"} for row in found])
            tables[title] = found
            save(options.json, tables, tolerance=RELATIVE, most_steps=MOST)


if __name__ == "__main__":
    main()
