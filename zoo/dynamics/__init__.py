"""Who moves, how often, with what foresight: a dynamics plays one batch of real data."""

from zoo.dynamics.alternating import Alternating, Balanced, CriticWarmup
from zoo.dynamics.base import Dynamics
from zoo.dynamics.foresight import GradientRegularized, Unrolled
from zoo.dynamics.simultaneous import Consensus, Simultaneous

__all__ = [
    "Alternating",
    "Balanced",
    "Consensus",
    "CriticWarmup",
    "Dynamics",
    "GradientRegularized",
    "Simultaneous",
    "Unrolled",
]
