"""Measures of sample quality: plain functions of tensors, computed in float64.

They know neither models nor data sets: the caller brings features, points or probabilities, such as an extractor of
`zoo.metrics.features` gives.
"""

from zoo.metrics._checks import Estimate
from zoo.metrics.authenticity import authpct, memorises
from zoo.metrics.frechet import Moments, frechet_distance, frechet_infinity
from zoo.metrics.inception import inception_score
from zoo.metrics.kernel import kernel_distance
from zoo.metrics.modes import ModeCoverage, ModeStatistics, mode_coverage, mode_statistics, stacked_modes
from zoo.metrics.prdc import Neighbourhoods, density_coverage, neighbourhoods, precision_recall

__all__ = [
    "Estimate", "ModeCoverage", "ModeStatistics", "Moments", "Neighbourhoods", "authpct", "density_coverage",
    "frechet_distance", "frechet_infinity", "inception_score", "kernel_distance", "memorises", "mode_coverage",
    "mode_statistics", "neighbourhoods", "precision_recall",
    "stacked_modes",
]  # fmt: skip
