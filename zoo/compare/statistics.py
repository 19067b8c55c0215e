"""Statistics of a few seeds, on plain lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
PERMUTATIONS = 20_000
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """Values of one score, one a seed; mean, spread and interval are of the finite ones."""

    values: tuple[float, ...]  # as they were measured, NaN and infinities among them
    mean: float | None
    """None where no value is finite."""
    sd: float | None
    """The sample standard deviation (n - 1); None below two finite values."""
    interval: tuple[float, float] | None
    """:func:`bootstrap_interval` of the mean; None below two finite values."""

    @property
    def n(self) -> int:
        """How many values are finite."""
        return sum(map(math.isfinite, self.values))

    @property
    def lost(self) -> int:
        """How many are not."""
        return len(self.values) - self.n


def summarise(values: Sequence[float]) -> Summary:
    """Mean, standard deviation and bootstrap interval over seeds."""
    finite = [value for value in values if math.isfinite(value)]
    mean = float(np.mean(finite)) if finite else None
    if len(finite) < 2:
        return Summary(tuple(values), mean, None, None)
    return Summary(tuple(values), mean, float(np.std(finite, ddof=1)), bootstrap_interval(finite))


def bootstrap_interval(a: Sequence[float], b: Sequence[float] = (), *, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of the mean of `a`, or of mean(a) - mean(b).

    Efron 1979, "Bootstrap Methods: Another Look at the Jackknife": 10,000 resamples, each sample drawn with replacement
    on its own, and the 2.5 and 97.5 % quantiles of their means. With two or three values that is the range from the
    lowest to the highest, which holds the mean of a symmetric distribution with a probability of only 1 - 2^(1-n).

    Args:
        a: finite values, at least one.
        b: the same, or none.
        seed: of the resamples.
    """
    from scipy.stats import bootstrap

    def statistic(x: np.ndarray, *y: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(x, axis=axis) - (np.mean(y[0], axis=axis) if y else 0.0)

    samples = (a, b) if len(b) else (a,)
    if all(len(set(values)) == 1 for values in samples):
        return (float(statistic(*map(np.asarray, samples), axis=0)),) * 2
    found = bootstrap(
        samples, statistic, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def wins(a: Sequence[float], b: Sequence[float], *, lower_is_better: bool) -> float:
    """In how many of the len(a)·len(b) pairs `a` is better, ties counted half: the Mann-Whitney U of `a`.

    Divided by the number of pairs it estimates the probability that a new seed of `a` beats a new seed of `b`. NaN is
    worse than any number, and ties with NaN.
    """
    x, y = _losses(a, lower_is_better), _losses(b, lower_is_better)
    return sum(1.0 if p < q else 0.5 if p == q else 0.0 for p in x for q in y)


def permutation_p(a: Sequence[float], b: Sequence[float], *, lower_is_better: bool) -> float:
    """The two-sided p-value of :func:`wins` under random permutations of the labels `a` and `b`.

    Mann & Whitney 1947, with midranks for ties. The share of all C(n+m, n) ways to deal the labels whose number of wins
    is at least as far from half of all pairs: exact up to 8 against 8 values, and beyond that of 20,000 ways drawn at
    random. Where no values tie it is never below 2 / C(n+m, n), see :func:`least_p`.
    """
    from scipy.stats import permutation_test, rankdata

    ranks = rankdata([*_losses(a, lower_is_better), *_losses(b, lower_is_better)])
    expected = len(a) * (len(ranks) + 1) / 2
    if min(len(a), len(b)) == 1:  # too few for scipy: any of the ranks may be the single value's
        single = ranks[0] if len(a) == 1 else ranks[-1]
        return float(np.mean(np.abs(ranks - ranks.mean()) >= abs(single - ranks.mean())))

    def distance(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
        return np.abs(np.sum(x, axis=axis) - expected)

    found = permutation_test(
        (ranks[: len(a)], ranks[len(a) :]), distance, alternative="greater", n_resamples=PERMUTATIONS,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(found.pvalue)


def least_p(n: int, m: int) -> float:
    """The lowest p that `n` against `m` values without ties can reach."""
    return min(1.0, 2 / math.comb(n + m, n))


def seeds_needed(comparisons: int, alpha: float = 0.05) -> int:
    """The seeds of each variant below which no pair among `comparisons` can reach `alpha` after :func:`holm`."""
    n = 1
    while least_p(n, n) * comparisons >= alpha:
        n += 1
    return n


def holm(ps: Sequence[float]) -> list[float]:
    """p-values raised for the number of comparisons made (Holm 1979, "A Simple Sequentially Rejective Multiple Test
    Procedure"): all that stay below 5 % hold together with a probability of 95 %.
    """
    raised, running = [0.0] * len(ps), 0.0
    for k, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        running = max(running, min(1.0, (len(ps) - k) * ps[i]))
        raised[i] = running
    return raised


def _losses(values: Sequence[float], lower_is_better: bool) -> list[float]:
    """The lower the better, and NaN at infinity."""
    return [math.inf if math.isnan(v) else v if lower_is_better else -v for v in values]
