"""Which modes of a known mixture a generator reaches."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64


class ModeCoverage(NamedTuple):
    """How points spread over the K centres of a mixture; near a centre they are of high quality."""

    covered: int
    """Centres with at least one high-quality point, 0..K."""
    populated: int
    """Centres with at least `enough` high-quality points, 0..K."""
    high_quality: float
    """The share of all points that are of high quality, 0..1."""
    kl: float
    """KL divergence in nats of the high-quality points' histogram from the uniform one: 0 when all
    modes get the same, log K when one gets all; NaN without a high-quality point."""


def mode_coverage(
    points: Tensor, centres: Tensor, sigma: float, *, radius: float = 3.0, enough: int = 20
) -> ModeCoverage:
    """Count the modes that `points` reach.

    `covered` and `high_quality` are the measures of Srivastava et al. (VEEGAN, 2017), who draw 2500
    points; `populated` is a stricter count at the same 2500. Both counts grow with N: compare only
    at the same one. Of points drawn in the plane from the mixture itself, 1 - exp(-radius²/2) are
    of high quality: 0.989 at 3.

    Args:
        points: samples, (N, D).
        centres: the means of the mixture's components, (K, D).
        sigma: the components' standard deviation, in the unit of the points.
        radius: how far from its nearest centre a point may lie, in sigmas.
        enough: high-quality points that make a mode `populated`.

    Raises:
        ValueError: a shape is wrong, nothing is given, a value is not finite, or `sigma` <= 0.
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"mode_coverage: sigma must be positive and finite, got {sigma}")
    points, centres = as_float64("mode_coverage", points, centres, least=1)
    distance, nearest = torch.cdist(points, centres).min(1)
    good = nearest[distance <= radius * sigma]
    counts = torch.bincount(good, minlength=len(centres))
    share = counts.double() / counts.sum()
    return ModeCoverage(
        covered=int((counts >= 1).sum()),
        populated=int((counts >= enough).sum()),
        high_quality=len(good) / len(points),
        kl=math.log(len(centres)) + torch.special.xlogy(share, share).sum().item(),
    )
