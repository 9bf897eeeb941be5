"""Proximal and projected gradient, and mirror descent."""

from typing import Any

from ravine import optimizers as ro
from ravine import transforms as rt
from ravine.core.mirror import Hypentropy
from ravine.core.projections import projection_l2_ball
from ravine.core.prox import L1, GroupLasso, L2Ball
from tests.registry.curvature import quadratic_value
from tests.registry.entry import Entry

# Momentum is dropped or not, a trial is accepted or not: a small change may decide.
DECIDES: Any = {"smooth": False}
SEARCH: Any = {"extra": quadratic_value, "smooth": False, "bowl": {}}

OPTIMIZERS = [
    Entry("ProximalGradient", ro.ProximalGradient(0.1, L1(0.01)), **DECIDES),
    Entry("ProximalGradient-plain", ro.ProximalGradient(0.1, L1(0.01), acceleration=False)),
    Entry("ProximalGradient-search", ro.ProximalGradient(None, GroupLasso(0.01)), **SEARCH),
    Entry("ProjectedGradient", ro.ProjectedGradient(0.1, projection_l2_ball, (60.0,)), **DECIDES),
    # Its steps grow as an exponential does, and so would those for the huge gradients here.
    Entry("MirrorDescent", ro.MirrorDescent(1e-4, Hypentropy(2.0)), by_magnitude=False),
]

TRANSFORMS = [
    Entry("ProximalStep", rt.ProximalStep(0.1, L1(0.01))),
    Entry("AcceleratedProximalStep", rt.AcceleratedProximalStep(0.1, L2Ball(60.0)), **DECIDES),
    Entry("BacktrackedProximalStep", rt.BacktrackedProximalStep(L1(0.01)), **SEARCH),
    Entry("MirrorStep", rt.MirrorStep(1e-4, Hypentropy(2.0)), by_magnitude=False),
]

WRAPPERS: list[Entry] = []
