"""Measures of sample quality: plain functions of tensors, computed in float64.

They know neither models nor data sets: the caller brings features, points or probabilities.
"""

from zoo.metrics.frechet import frechet_distance
from zoo.metrics.modes import ModeCoverage, mode_coverage
from zoo.metrics.prdc import precision_recall

__all__ = ["ModeCoverage", "frechet_distance", "mode_coverage", "precision_recall"]
