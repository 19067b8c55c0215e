"""Who moves, how often, with what foresight: a dynamics plays one batch of real data."""

from zoo.dynamics.alternating import Alternating, Dynamics
from zoo.dynamics.scheduled import Balanced, CriticWarmup
from zoo.dynamics.simultaneous import Consensus, Simultaneous
from zoo.dynamics.unrolled import GradientRegularized, Unrolled

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
