"""Pathologies of a run. What is exported here works on plain numbers: no tensors, networks or trainer."""

from zoo.diagnostics.judgement import Finding, History, present
from zoo.diagnostics.reading import Reading
from zoo.diagnostics.remedies import (
    COLLAPSE,
    DIMINISHED,
    DIVERGENCE,
    DROPPING,
    OSCILLATION,
    OVERFITTING,
    PATHOLOGIES,
    advice,
)

__all__ = [
    "COLLAPSE", "DIMINISHED", "DIVERGENCE", "DROPPING", "OSCILLATION", "OVERFITTING", "PATHOLOGIES", "Finding",
    "History", "Reading", "advice", "present",
]  # fmt: skip
