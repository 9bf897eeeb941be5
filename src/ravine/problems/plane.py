"""Test functions of two variables: the ones that are drawn as maps.

Losses and factories as in :mod:`ravine.problems.functions`: ``beale_loss`` is the function
of a vector of two, ``beale()`` the problem.
"""

import math

import jax
import jax.numpy as jnp

from ravine.problems.functions import in_box
from ravine.problems.problem import Problem

SURVEY = (
    "M. Jamil and X.-S. Yang, A literature survey of benchmark functions for global optimisation "
    "problems, 2013, https://arxiv.org/abs/1308.4008."
)


def _pair(v: jax.Array) -> tuple[jax.Array, jax.Array]:
    v = jnp.asarray(v)
    if v.shape != (2,):
        raise ValueError(
            f"A function of two variables takes an array of shape (2,), got shape {v.shape}. "
            "For many points at once use jax.vmap(loss)(points)."
        )
    return v[0], v[1]


def beale_loss(v: jax.Array) -> jax.Array:
    """``(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2``."""
    x, y = _pair(v)
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def beale() -> Problem:
    r"""Beale's function, :math:`\sum_{i=1}^3 (c_i - x (1 - y^i))^2`, c = 1.5, 2.25, 2.625.

    >>> beale()(jnp.array([1.0, 1.0]))
    Array(14.203125, dtype=float32)
    """
    return in_box(
        beale_loss,
        start=(1.0, 1.0),
        lower=-4.5,
        upper=4.5,
        minima=[(3.0, 0.5)],
        name="beale",
        minimum=0.0,
        citation="E. M. L. Beale, On an iterative method for finding a local minimum of a function "
        "of more than one variable, Technical Report 25, Statistical Techniques Research Group, "
        "Princeton University, 1958.",
        description="Flat valleys between steep corners; values up to 1e5 in the domain.",
    )


def booth_loss(v: jax.Array) -> jax.Array:
    """``(x + 2y - 7)^2 + (2x + y - 5)^2``."""
    x, y = _pair(v)
    return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2


def booth() -> Problem:
    r"""Booth's function, :math:`(x + 2y - 7)^2 + (2x + y - 5)^2`: a tilted bowl, condition 9.

    >>> booth()(jnp.array([0.0, 0.0]))
    Array(74., dtype=float32)
    """
    return in_box(
        booth_loss,
        start=(-5.0, -5.0),
        lower=-10.0,
        upper=10.0,
        minima=[(1.0, 3.0)],
        name="booth",
        minimum=0.0,
        citation=SURVEY,
        description="A convex quadratic whose axes lie askew to the coordinates.",
    )


def matyas_loss(v: jax.Array) -> jax.Array:
    """``0.26 (x^2 + y^2) - 0.48 xy``."""
    x, y = _pair(v)
    # 0.26 (x - y)^2 + 0.04 xy is the same, without the cancellation on the valley's floor.
    return 0.26 * (x - y) ** 2 + 0.04 * x * y


def matyas() -> Problem:
    r"""Matyas's function, :math:`0.26 (x^2 + y^2) - 0.48 x y`: a straight valley, condition 25.

    >>> matyas()(jnp.array([5.0, 5.0]))
    Array(1., dtype=float32)
    """
    return in_box(
        matyas_loss,
        start=(8.0, -6.0),
        lower=-10.0,
        upper=10.0,
        minima=[(0.0, 0.0)],
        name="matyas",
        minimum=0.0,
        citation=SURVEY,
        description="A convex quadratic: a nearly flat valley along the diagonal.",
    )


def himmelblau_loss(v: jax.Array) -> jax.Array:
    """``(x^2 + y - 11)^2 + (x + y^2 - 7)^2``."""
    x, y = _pair(v)
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def himmelblau() -> Problem:
    r"""Himmelblau's function, :math:`(x^2 + y - 11)^2 + (x + y^2 - 7)^2`: four equal minima.

    >>> himmelblau()(jnp.array([3.0, 2.0]))
    Array(0., dtype=float32)
    """
    return in_box(
        himmelblau_loss,
        start=(0.0, 0.0),
        lower=-5.0,
        upper=5.0,
        minima=[
            (3.0, 2.0),
            (-2.805118086952745, 3.131312518250573),
            (-3.779310253377747, -3.2831859912861696),
            (3.5844283403304917, -1.8481265269644036),
        ],
        name="himmelblau",
        minimum=0.0,
        citation="D. M. Himmelblau, Applied Nonlinear Programming, McGraw-Hill, 1972.",
        description="Four minima of value 0: which one is found depends on the start.",
    )


def saddle_loss(v: jax.Array) -> jax.Array:
    """``y^2 - x^2``."""
    x, y = _pair(v)
    return y**2 - x**2


def saddle() -> Problem:
    r"""A saddle, :math:`y^2 - x^2`, unbounded below: its minimum is ``-inf``, its minima none.

    It shows how soon an optimizer leaves the saddle point at the origin, starting beside it.

    >>> saddle()(jnp.array([3.0, 1.0])), saddle().minimum
    (Array(-8., dtype=float32), -inf)
    """
    return in_box(
        saddle_loss,
        start=(0.01, 1.0),
        lower=-2.0,
        upper=2.0,
        name="saddle",
        minimum=-math.inf,
        description="A saddle point to escape from; the loss is unbounded below.",
    )


def goldstein_price_loss(v: jax.Array) -> jax.Array:
    """The product of two polynomials of degree four; see :func:`goldstein_price`."""
    x, y = _pair(v)
    near = 19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2
    far = 18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2
    return (1 + (x + y + 1) ** 2 * near) * (30 + (2 * x - 3 * y) ** 2 * far)


def goldstein_price() -> Problem:
    r"""Goldstein and Price's function, a polynomial of degree eight with minimum 3.

    .. math::
        [1 + (x + y + 1)^2 (19 - 14x + 3x^2 - 14y + 6xy + 3y^2)] \cdot
        [30 + (2x - 3y)^2 (18 - 32x + 12x^2 + 48y - 36xy + 27y^2)]

    >>> goldstein_price()(jnp.array([0.0, -1.0]))
    Array(3., dtype=float32)
    """
    return in_box(
        goldstein_price_loss,
        start=(1.0, -1.5),
        lower=-2.0,
        upper=2.0,
        minima=[(0.0, -1.0)],
        name="goldstein_price",
        minimum=3.0,
        citation="A. A. Goldstein and J. F. Price, On descent from local minima, Mathematics of "
        "Computation 25(115), 1971.",
        description="Values from 3 to 1e6 within the domain, and three local minima beside it.",
    )


def six_hump_camel_loss(v: jax.Array) -> jax.Array:
    """``(4 - 2.1 x^2 + x^4 / 3) x^2 + xy + (4 y^2 - 4) y^2``."""
    x, y = _pair(v)
    return (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (4 * y**2 - 4) * y**2


def six_hump_camel() -> Problem:
    r"""The six-hump camel, :math:`(4 - 2.1 x^2 + x^4/3) x^2 + x y + (4 y^2 - 4) y^2`.

    Six minima, two of them global and symmetric about the origin.

    >>> six_hump_camel()(jnp.array([0.0, 1.0]))
    Array(0., dtype=float32)
    """
    return in_box(
        six_hump_camel_loss,
        start=(-1.0, 1.0),
        lower=(-3.0, -2.0),
        upper=(3.0, 2.0),
        minima=[
            (0.08984201310031806, -0.7126564030207396),
            (-0.08984201310031806, 0.7126564030207396),
        ],
        name="six_hump_camel",
        minimum=-1.0316284534898774,
        citation="L. C. W. Dixon and G. P. Szegö, The global optimization problem: an "
        "introduction, in Towards Global Optimisation 2, North-Holland, 1978.",
        description="Two global and four local minima, in pairs.",
    )
