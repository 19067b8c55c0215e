"""Update schedules: which turns are played on a batch, how often, and whether G's loss sees D's later steps."""

from zoo.dynamics.alternating import Alternating, Dynamics
from zoo.dynamics.extrapolated import Extragradient, Optimistic
from zoo.dynamics.lookahead import Lookahead
from zoo.dynamics.scheduled import Balanced, CriticWarmup
from zoo.dynamics.simultaneous import Consensus, Simultaneous
from zoo.dynamics.unrolled import GradientRegularized, Unrolled

__all__ = [
    "Alternating", "Balanced", "Consensus", "CriticWarmup", "Dynamics", "Extragradient", "GradientRegularized",
    "Lookahead", "Optimistic", "Simultaneous", "Unrolled",
]  # fmt: skip
