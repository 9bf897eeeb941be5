"""Line searches, and methods that learn of the curvature from gradients."""

from typing import Any

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.tree import inner
from tests.registry.entry import Entry


def quadratic_value(updates: Any, params: Any) -> dict[str, Any]:
    """The value of a quadratic with its minimum at 0, from its gradient."""
    return {"value": inner(updates, params) / 2}


# They accept a point or not, and store a pair or not: a small change may decide.
SEARCH: Any = {"extra": quadratic_value, "smooth": False, "bowl": {}}
UNIT: Any = {"smooth": False}
BOX = rt.Box(-50.0, 50.0)

OPTIMIZERS = [
    Entry("LBFGS", ro.LBFGS(), **SEARCH),
    Entry("LBFGS-unscaled", ro.LBFGS(3, False, rt.HagerZhang()), **SEARCH),
    Entry("BFGS", ro.BFGS(), **SEARCH),
    Entry("NonlinearCG", ro.NonlinearCG(), **SEARCH),
    Entry("NonlinearCG-zhang", ro.NonlinearCG("hager-zhang", rt.HagerZhang()), **SEARCH),
    Entry("BarzilaiBorwein", ro.BarzilaiBorwein(), smooth=False, bowl={}),
    Entry(
        "BarzilaiBorwein-safe",
        ro.BarzilaiBorwein("alternate", linesearch=rt.Backtracking(nonmonotone=0.85)),
        **SEARCH,
    ),
    Entry("LBFGSB", ro.LBFGSB(-50.0, 50.0), complex=False, **SEARCH),
]

TRANSFORMS = [
    Entry("ScaleByLBFGS", rt.ScaleByLBFGS(), **UNIT),
    Entry("ScaleByBFGS", rt.ScaleByBFGS(), **UNIT),
    Entry("ScaleByConjugateGradient", rt.ScaleByConjugateGradient(), **UNIT),
    Entry("ScaleByBarzilaiBorwein", rt.ScaleByBarzilaiBorwein(), **UNIT),
    Entry("ScaleByLBFGSB", rt.ScaleByLBFGSB(BOX), complex=False, **UNIT),
]

WRAPPERS = [
    Entry("LineSearch", rt.LineSearch(rt.Identity(), first="slope"), **SEARCH),
]
