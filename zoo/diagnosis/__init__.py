"""What is wrong with a game, judged from numbers that were read of it: no tensors, no networks, no trainer."""

from zoo.diagnosis.judgement import Finding, History, present
from zoo.diagnosis.reading import Reading
from zoo.diagnosis.remedies import COLLAPSE, DIMINISHED, DIVERGENCE, OSCILLATION, PATHOLOGIES, advice

__all__ = [
    "COLLAPSE",
    "DIMINISHED",
    "DIVERGENCE",
    "OSCILLATION",
    "PATHOLOGIES",
    "Finding",
    "History",
    "Reading",
    "advice",
    "present",
]
