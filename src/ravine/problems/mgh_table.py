"""What is known of the test functions of Moré, Garbow and Hillstrom: sizes, starts, minima.

The paper gives six digits of the minima; here they are worked out in double precision.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ravine.problems import mgh_scaled as scaled
from ravine.problems import mgh_small as small
from ravine.problems.squares import Residuals

Point = Sequence[float]
ANY = 2**31 - 1
FREE = (10, 1, ANY, 1)


@dataclasses.dataclass(frozen=True)
class Function:
    """A test function of n variables and m residuals.

    Args:
        residuals: ``residuals(x)``, or ``residuals(x, m=m)`` where m can be chosen.
        start: the standard start, by n where that can be chosen.
        minimum: the smallest known value by n and m, or ``None``.
        minimiser: where that is by n and m, or ``None``.
        others: values at the usual n and m at which a descent may end instead: of local minima,
            and those approached as x goes to infinity.
        n: the usual number of variables, the least and the most, and what must divide it;
            ``None`` if it is fixed.
        m: n to the usual number of residuals, the least and the most; ``None`` if m is fixed.
    """

    residuals: Residuals
    start: Point | Callable[[int], Point]
    minimum: Callable[[int, Any], float | None]
    minimiser: Callable[[int, Any], Point | None] = lambda n, m: None
    others: tuple[float, ...] = ()
    n: tuple[int, int, int, int] | None = None
    m: Callable[[int], tuple[int, int, int]] | None = None


def _always(value: float) -> Callable[..., float]:
    return lambda n, m: value


def _at(*point: float) -> Callable[..., Point]:
    return lambda n, m: point


def _repeated(*points: float) -> Callable[..., Point]:
    """The points over and over, n in all: a start by n, or a minimiser by n and m."""
    return lambda n, m=None: points * (n // len(points))


def _strings(n: int) -> Point:
    """``t (t - 1)`` at ``t = i / (n + 1)``."""
    t = np.arange(1, n + 1) / (n + 1)
    return tuple((t * (t - 1)).tolist())


def _chebyquad(n: int, m: int) -> float | None:
    if m != n:
        return None
    known = {8: 0.00351687372567793, 10: 0.00477271369637535}
    return 0.0 if n <= 7 or n == 9 else known.get(n)


zero = _always(0.0)
BROWN_DENNIS = (-11.594439904762162, 13.203630051207202, -0.4034394881768596, 0.23677877445573633)

MGH: dict[str, Function] = {
    "rosenbrock": Function(small.rosenbrock, (-1.2, 1.0), zero, _at(1.0, 1.0)),
    "freudenstein_roth": Function(
        small.freudenstein_roth, (0.5, -2.0), zero, _at(5.0, 4.0), others=(48.98425367924003,)
    ),
    "powell_badly_scaled": Function(
        small.powell_badly_scaled, (0.0, 1.0), zero, _at(1.0981593296997752e-05, 9.106146739866874)
    ),
    "brown_badly_scaled": Function(small.brown_badly_scaled, (1.0, 1.0), zero, _at(1e6, 2e-6)),
    "beale": Function(small.beale, (1.0, 1.0), zero, _at(3.0, 0.5)),
    "jennrich_sampson": Function(
        small.jennrich_sampson,
        (0.3, 0.4),
        lambda n, m: {10: 124.3621823556148}.get(m),
        lambda n, m: {10: (0.2578252136703641, 0.2578252136703641)}.get(m),
        m=lambda n: (10, n, ANY),
    ),
    "helical_valley": Function(small.helical_valley, (-1.0, 0.0, 0.0), zero, _at(1.0, 0.0, 0.0)),
    "bard": Function(
        small.bard,
        (1.0, 1.0, 1.0),
        _always(0.008214877306578973),
        _at(0.08241055974978896, 1.133036092029722, 2.343695178642537),
        others=(17.428693333333335,),
    ),
    "gaussian": Function(
        small.gaussian,
        (0.4, 1.0, 0.0),
        _always(1.1279327696191796e-08),
        _at(0.39895613783875666, 1.0000190844878056, 0.0),
    ),
    "meyer": Function(
        small.meyer,
        (0.02, 4000.0, 250.0),
        _always(87.9458551711),
        _at(0.005609636471027692, 6181.346346286429, 345.22363462413847),
    ),
    # Gulf's last t of m = 100 is 1, and that residual has no derivative at the minimum.
    "gulf": Function(
        small.gulf,
        (5.0, 2.5, 0.15),
        zero,
        _at(50.0, 25.0, 1.5),
        m=lambda n: (99, n, 99),
    ),
    "box_3d": Function(
        small.box_3d, (0.0, 10.0, 20.0), zero, _at(1.0, 10.0, 1.0), m=lambda n: (10, n, ANY)
    ),
    "powell_singular": Function(
        small.powell_singular, (3.0, -1.0, 0.0, 1.0), zero, _at(0.0, 0.0, 0.0, 0.0)
    ),
    "wood": Function(small.wood, (-3.0, -1.0, -3.0, -1.0), zero, _at(1.0, 1.0, 1.0, 1.0)),
    "kowalik_osborne": Function(
        small.kowalik_osborne,
        (0.25, 0.39, 0.415, 0.39),
        _always(0.0003075056038492377),
        _at(0.1928069345790379, 0.19128232873436662, 0.12305650692632072, 0.13606233068379467),
        others=(0.001027343048695458,),
    ),
    "brown_dennis": Function(
        small.brown_dennis,
        (25.0, 5.0, -5.0, -1.0),
        lambda n, m: {20: 85822.20162635634}.get(m),
        lambda n, m: {20: BROWN_DENNIS}.get(m),
        m=lambda n: (20, n, ANY),
    ),
    "osborne_1": Function(
        small.osborne_1,
        (0.5, 1.5, -1.0, 0.01, 0.02),
        _always(5.46489469748276e-05),
        _at(
            *(0.37541005210695194, 1.9358469127123499, -1.4646871366134055),
            *(0.012867534640057255, 0.022122699661672688),
        ),
    ),
    "biggs_exp6": Function(
        small.biggs_exp6,
        (1.0, 2.0, 1.0, 1.0, 1.0, 1.0),
        zero,
        _at(1.0, 10.0, 1.0, 5.0, 4.0, 3.0),
        others=(0.005655649925,),
        m=lambda n: (13, n, ANY),
    ),
    "osborne_2": Function(
        small.osborne_2,
        (1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5),
        _always(0.04013773629354772),
        _at(
            *(1.3099771546273007, 0.43155379460298887, 0.633661698960724, 0.5994305347859162),
            *(0.7541832263280112, 0.9042885798596342, 1.3658118352370279, 4.823698817227158),
            *(2.3986848661317546, 4.568874597667672, 5.6753414705806415),
        ),
    ),
    "watson": Function(
        scaled.watson,
        _repeated(0.0),
        lambda n, m: {6: 0.0022876700535524, 9: 1.39976013809e-06, 12: 4.7223811e-10}.get(n),
        n=(6, 2, 31, 1),
    ),
    "extended_rosenbrock": Function(
        scaled.extended_rosenbrock, _repeated(-1.2, 1.0), zero, _repeated(1.0), n=(10, 2, ANY, 2)
    ),
    "extended_powell": Function(
        scaled.extended_powell,
        _repeated(3.0, -1.0, 0.0, 1.0),
        zero,
        _repeated(0.0),
        n=(12, 4, ANY, 4),
    ),
    "penalty_1": Function(
        scaled.penalty_1,
        lambda n: tuple(float(i) for i in range(1, n + 1)),
        lambda n, m: {4: 2.249977500899937e-05, 10: 7.08765146709037e-05}.get(n),
        n=FREE,
    ),
    "penalty_2": Function(
        scaled.penalty_2,
        _repeated(0.5),
        lambda n, m: {4: 9.37629300735545e-06, 10: 0.00029366053745674}.get(n),
        n=(10, 2, ANY, 1),
    ),
    "variably_dimensioned": Function(
        scaled.variably_dimensioned,
        lambda n: tuple(1 - i / n for i in range(1, n + 1)),
        zero,
        _repeated(1.0),
        n=FREE,
    ),
    "trigonometric": Function(
        scaled.trigonometric,
        lambda n: (1 / n,) * n,
        zero,
        _repeated(0.0),
        others=(2.79505612187943e-05,),
        n=FREE,
    ),
    "brown_almost_linear": Function(
        scaled.brown_almost_linear, _repeated(0.5), zero, _repeated(1.0), (1.0,), FREE
    ),
    "discrete_boundary_value": Function(scaled.discrete_boundary_value, _strings, zero, n=FREE),
    "discrete_integral_equation": Function(
        scaled.discrete_integral_equation, _strings, zero, n=FREE
    ),
    "broyden_tridiagonal": Function(scaled.broyden_tridiagonal, _repeated(-1.0), zero, n=FREE),
    "broyden_banded": Function(scaled.broyden_banded, _repeated(-1.0), zero, n=FREE),
    "linear_full_rank": Function(
        scaled.linear_full_rank,
        _repeated(1.0),
        lambda n, m: float(m - n),
        _repeated(-1.0),
        n=FREE,
        m=lambda n: (2 * n, n, ANY),
    ),
    "linear_rank_1": Function(
        scaled.linear_rank_1,
        _repeated(1.0),
        lambda n, m: m * (m - 1) / (2 * (2 * m + 1)),
        n=FREE,
        m=lambda n: (2 * n, n, ANY),
    ),
    "linear_rank_1_zeros": Function(
        scaled.linear_rank_1_zeros,
        _repeated(1.0),
        lambda n, m: (m * m + 3 * m - 6) / (2 * (2 * m - 3)),
        n=(10, 3, ANY, 1),
        m=lambda n: (2 * n, n, ANY),
    ),
    "chebyquad": Function(
        scaled.chebyquad,
        lambda n: tuple(i / (n + 1) for i in range(1, n + 1)),
        _chebyquad,
        n=(8, 1, ANY, 1),
        m=lambda n: (n, n, ANY),
    ),
}
"""The 35 functions in the order of the paper."""
