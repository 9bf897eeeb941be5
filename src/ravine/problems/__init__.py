"""Problems to optimize: test functions with known minima, regressions, a small data set.

>>> from ravine import problems
>>> problems.get("rosenbrock", n=4)
Problem(name='rosenbrock_4', batch_size=None, minimum=0.0)
"""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from ravine.problems.digits import digits
from ravine.problems.functions import ackley, quadratic, rastrigin, rosenbrock, styblinski_tang
from ravine.problems.mgh import mgh
from ravine.problems.mgh_table import MGH
from ravine.problems.nist import NIST, certified, nist
from ravine.problems.plane import (
    beale,
    booth,
    goldstein_price,
    himmelblau,
    matyas,
    saddle,
    six_hump_camel,
)
from ravine.problems.problem import Problem
from ravine.problems.regression import linear_regression, logistic_regression

ALL: dict[str, Callable[..., Problem]] = {
    "quadratic": quadratic,
    "rosenbrock": rosenbrock,
    "beale": beale,
    "booth": booth,
    "matyas": matyas,
    "himmelblau": himmelblau,
    "ackley": ackley,
    "rastrigin": rastrigin,
    "styblinski_tang": styblinski_tang,
    "saddle": saddle,
    "goldstein_price": goldstein_price,
    "six_hump_camel": six_hump_camel,
    "linear_regression": linear_regression,
    "logistic_regression": logistic_regression,
    "digits": digits,
    "mgh": mgh,
    "nist": nist,
}
"""Every problem by name: a function that makes it, callable without arguments."""


def get(name: str, **options: Any) -> Problem:
    """The problem called ``name``, made with ``options``.

    Raises:
        ValueError: if there is no such problem.
        TypeError: if the problem has no such option.

    >>> get("digits", model="softmax").name
    'digits_softmax'
    """
    if name not in ALL:
        close = difflib.get_close_matches(str(name).lower().replace("-", "_"), ALL, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"There is no problem {name!r}.{hint} The problems are {', '.join(ALL)}.")
    known = inspect.signature(ALL[name]).parameters
    for option in options:
        if option not in known:
            listed = f"Its options are {', '.join(known)}." if known else "It has none."
            raise TypeError(f"The problem {name!r} has no option {option!r}. {listed}")
    return ALL[name](**options)


__all__ = [
    "ALL",
    "MGH",
    "NIST",
    "Problem",
    "ackley",
    "beale",
    "booth",
    "certified",
    "digits",
    "get",
    "goldstein_price",
    "himmelblau",
    "linear_regression",
    "logistic_regression",
    "matyas",
    "mgh",
    "nist",
    "quadratic",
    "rastrigin",
    "rosenbrock",
    "saddle",
    "six_hump_camel",
    "styblinski_tang",
]
