"""The one list of all transforms and optimizers, from which the tests take their cases.

A new one needs an entry, in the file of its family, and no more: it then runs the whole gauntlet.
"""

from tests.registry import (
    classic,
    curvature,
    layerwise,
    matrix,
    moments,
    proximal,
    rate_free,
    second_order,
    wrapping,
)
from tests.registry.entry import (
    Entry,
    Pair,
    doubled,
    inverse_time,
    matrices,
    parametrize,
    promotion,
    random_tree,
    steps,
)
from tests.registry.wrapping import every_third, growing, norm, skip_negative

FAMILIES = [
    classic,
    matrix,
    layerwise,
    moments,
    rate_free,
    wrapping,
    curvature,
    proximal,
    second_order,
]

OPTIMIZERS = [e for family in FAMILIES for e in family.OPTIMIZERS]
TRANSFORMS = [e for family in FAMILIES for e in family.TRANSFORMS]
WRAPPERS = [e for family in FAMILIES for e in family.WRAPPERS]
ENTRIES = [*OPTIMIZERS, *TRANSFORMS, *WRAPPERS]
CLASSES = [e for e in ENTRIES if "-" not in e.name]
"""One entry a class: for tests in which the settings make no difference."""

PARTS = {type(part) for e in OPTIMIZERS for part in e.rule.as_chain().transforms}
WHOLE = [e for e in CLASSES if type(e.rule) not in PARTS]
"""Of those, the ones of which no optimizer is made: a part is tested with its optimizer."""

__all__ = [
    "CLASSES",
    "ENTRIES",
    "OPTIMIZERS",
    "PARTS",
    "TRANSFORMS",
    "WHOLE",
    "WRAPPERS",
    "Entry",
    "Pair",
    "doubled",
    "every_third",
    "growing",
    "inverse_time",
    "matrices",
    "norm",
    "parametrize",
    "promotion",
    "random_tree",
    "skip_negative",
    "steps",
]
