"""Ravine: optimizers as data, and thousands of optimizations in one compiled program."""

from ravine.core import tree
from ravine.core.apply import apply_updates
from ravine.core.rule import rule
from ravine.core.types import EmptyState, Schedule, Space, Transform
from ravine.optimizers.adam import Adam
from ravine.transforms.adam import ScaleByAdam
from ravine.transforms.chain import Chain, chain
from ravine.transforms.scale import Scale, ScaleByLearningRate, ScaleBySchedule

__version__ = "0.1.0"
