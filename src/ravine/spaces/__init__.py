"""Spaces: what to write in place of a number that a sweep should vary."""

from ravine.spaces.distributions import Choice, IntUniform, LogUniform, Normal, Uniform
from ravine.spaces.grids import Grid, LogGrid

__all__ = ["Choice", "Grid", "IntUniform", "LogGrid", "LogUniform", "Normal", "Uniform"]
