"""Medians and what is known of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Of repeated measurements, in their unit."""

    median: float
    low: float  # 95 % interval of the median
    high: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.4g} [{self.low:.4g}, {self.high:.4g}]"


def summary(values: Sequence[float]) -> Summary:
    """Median, interval and range."""
    return Summary(statistics.median(values), *interval(values), min(values), max(values))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The two order statistics that hold the median with a probability of at least 95 %, whatever the distribution.

    Of fewer than 6 values none do; the least and the greatest are returned, which then hold it less often.
    """
    ordered, n = sorted(values), len(values)
    tail, k = 1 / 2**n, 0
    while k + 1 < n and 2 * (tail + math.comb(n, k + 1) / 2**n) <= 0.05:
        k += 1
        tail += math.comb(n, k) / 2**n
    return ordered[k], ordered[n - 1 - k]
