"""The 35 test functions of Moré, Garbow and Hillstrom as problems that have residuals."""

import difflib
from functools import cache, partial
from typing import Any

from ravine.problems.mgh_table import ANY, MGH, Function
from ravine.problems.problem import Problem
from ravine.problems.squares import Residuals, in_squares


def mgh(function: str = "rosenbrock", n: int | None = None, m: int | None = None) -> Problem:
    r"""Minimise a sum of squares, a test function of Moré, Garbow and Hillstrom.

    .. math::
        f(x) = \sum_{i=1}^m r_i(x)^2

    ``residuals`` is the vector :math:`r`. The start is the standard one; the paper starts at 10
    and 100 times that too. Some need double precision (``jax_enable_x64``).

    Args:
        function: its name; ``MGH`` holds all 35, in the order of the paper.
        n: the number of variables, where it can be chosen; ``None`` takes the usual one.
        m: the number of residuals, where it can be chosen; ``None`` takes the usual one.

    Raises:
        ValueError: if there is no such function, or it does not come in such a size.

    Reference: J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization
    software, ACM Transactions on Mathematical Software 7(1), 1981,
    https://doi.org/10.1145/355934.355936.

    >>> beale = mgh("beale")
    >>> beale.residuals(beale.start())
    Array([1.5  , 2.25 , 2.625], dtype=float32)
    >>> mgh("penalty_1", n=4)
    Problem(name='mgh_penalty_1_4', batch_size=None, minimum=2.24997...e-05)
    """
    if function not in MGH:
        close = difflib.get_close_matches(str(function), MGH, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"mgh: there is no {function!r}.{hint} They are {', '.join(MGH)}.")
    known = MGH[function]
    variables, squares = _sizes(function, known, n, m)
    start = known.start(variables) if callable(known.start) else known.start
    minimiser = known.minimiser(variables, squares)
    others = ", ".join(f"{x:.6g}" for x in known.others) if n is None and m is None else ""
    return in_squares(
        _residuals(known.residuals, squares),
        start,
        [] if minimiser is None else [minimiser],
        name="_".join(["mgh", function, *(str(size) for size in (n, m) if size is not None)]),
        minimum=known.minimum(variables, squares),
        citation="J. J. Moré, B. S. Garbow and K. E. Hillstrom, Testing unconstrained optimization "
        "software, ACM Transactions on Mathematical Software 7(1), 1981.",
        description=f"Number {list(MGH).index(function) + 1} of the paper."
        + (f" A descent may also end at {others}." if others else ""),
    )


@cache  # the same sizes give the same function, so that a program compiles once
def _residuals(residuals: Residuals, m: int | None) -> Residuals:
    return residuals if m is None else partial(residuals, m=m)


def _sizes(name: str, known: Function, n: Any, m: Any) -> tuple[int, int | None]:
    """The numbers of variables and of residuals, the latter ``None`` if it is fixed."""
    if known.n is None:
        n = _chosen(f"n of {name!r}", n, (len(known.start),) * 3)  # type: ignore[arg-type]
    else:
        usual, least, most, divisor = known.n
        n = _chosen(f"n of {name!r}", n, (usual, least, most), divisor)
    if known.m is None:
        if m is not None:
            raise ValueError(f"mgh: m of {name!r} follows from n, so give none; got {m!r}.")
        return n, None
    return n, _chosen(f"m of {name!r}", m, known.m(n))


def _chosen(what: str, size: Any, sizes: tuple[int, int, int], divisor: int = 1) -> int:
    usual, least, most = sizes
    if size is None:
        return usual
    if type(size) is int and least <= size <= most and size % divisor == 0:
        return size
    allowed = str(least) if least == most else f"an int >= {least}"
    allowed += f" and <= {most}" if least < most < ANY else ""
    allowed += f", a multiple of {divisor}" if divisor > 1 else ""
    raise ValueError(f"mgh: {what} is {allowed}; got {size!r}.")
