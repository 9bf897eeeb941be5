"""Pictures of sweeps and of what is minimized: ``ravine.plot``.

They need matplotlib: ``pip install "ravine[plot]"``. All draw on the axes that they are given,
or on a new figure, and return the axes; an animation is returned, and written where asked.
"""

from ravine.plot.heat import heatmap
from ravine.plot.importances import importance
from ravine.plot.learning import curves
from ravine.plot.moving import animate_regression, animate_trajectories
from ravine.plot.parallel import parallel_coordinates
from ravine.plot.placement import lanes
from ravine.plot.plane import contour, line, surface
from ravine.plot.profiles import performance_profile, steps_to_tolerance
from ravine.plot.rates import learning_rate

__all__ = [
    "animate_regression",
    "animate_trajectories",
    "contour",
    "curves",
    "heatmap",
    "importance",
    "lanes",
    "learning_rate",
    "line",
    "parallel_coordinates",
    "performance_profile",
    "steps_to_tolerance",
    "surface",
]
