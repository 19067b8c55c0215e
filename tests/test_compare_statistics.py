"""What a few seeds can tell, against enumeration, closed forms and scipy."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from zoo.compare.statistics import bootstrap_interval, holm, least_p, permutation_p, seeds_needed, summarise, wins

NAN = math.nan


@pytest.mark.parametrize("values", [(3.0, 5.0), (1.0, 2.0, 9.0), (4.0, 4.5, 7.0, 1.0)])
def test_the_bootstrap_interval_is_that_of_all_resamples(values: tuple[float, ...]) -> None:
    means = [np.mean(resample) for resample in product(values, repeat=len(values))]
    low, high = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    assert bootstrap_interval(values) == pytest.approx((low, high), rel=1e-9)
    if len(values) < 4:
        assert (low, high) == (min(values), max(values))  # as the docstring says


def test_the_bootstrap_interval_of_a_difference_is_that_of_all_resamples() -> None:
    a, b = (1.0, 2.0), (4.0, 7.0, 8.0)
    gaps = [np.mean(x) - np.mean(y) for x in product(a, repeat=2) for y in product(b, repeat=3)]
    low, high = np.quantile(gaps, [0.025, 0.975], method="inverted_cdf")
    assert bootstrap_interval(a, b) == pytest.approx((low, high), rel=1e-9)


def test_a_summary_is_of_the_finite_values_and_says_how_many_were_not() -> None:
    two = summarise([2.0, NAN, 6.0, math.inf])
    assert (two.n, two.lost, two.mean, two.interval) == (2, 2, 4.0, (2.0, 6.0))
    assert two.sd == pytest.approx(math.sqrt(8))
    one = summarise([3.0])
    assert (one.mean, one.sd, one.interval) == (3.0, None, None)
    assert (summarise([NAN]).mean, summarise([]).mean) == (None, None)


def test_wins_count_pairs_and_nan_loses() -> None:
    assert wins([1, 2], [1, 3], lower_is_better=True) == 0.5 + 1 + 0 + 1
    assert wins([1, 2], [1, 3], lower_is_better=False) == 0.5 + 0 + 1 + 0
    for lower in (True, False):
        assert wins([NAN], [1e9, -1e9, NAN], lower_is_better=lower) == 0.5


@pytest.mark.parametrize("seed", range(8))
def test_the_permutation_test_is_the_enumeration_of_all_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, size=2).tolist()
    values = rng.integers(0, 5, size=n + m).astype(float).tolist()  # ties
    if seed % 2:
        values[0] = NAN
    a, b = values[:n], values[n:]

    def off(a: list[float], b: list[float]) -> float:
        return abs(wins(a, b, lower_is_better=True) - n * m / 2)

    dealt = [set(picked) for picked in combinations(range(n + m), n)]
    as_far = [off([values[i] for i in p], [v for i, v in enumerate(values) if i not in p]) >= off(a, b) for p in dealt]
    assert permutation_p(a, b, lower_is_better=True) == pytest.approx(np.mean(as_far))


def test_the_permutation_test_is_mann_and_whitneys() -> None:
    rng = np.random.default_rng(0)
    for n, m in ((3, 3), (5, 7), (2, 20)):
        a, b = rng.normal(size=n).tolist(), rng.normal(1, size=m).tolist()
        theirs = stats.mannwhitneyu(a, b, alternative="two-sided", method="exact")
        assert permutation_p(a, b, lower_is_better=True) == pytest.approx(theirs.pvalue)
        assert wins(a, b, lower_is_better=False) == theirs.statistic


def test_what_few_seeds_can_reach() -> None:
    assert [least_p(n, n) for n in (1, 2, 3, 4)] == [1, pytest.approx(1 / 3), 0.1, pytest.approx(2 / 70)]
    assert permutation_p([1, 2, 3], [4, 5, 6], lower_is_better=True) == pytest.approx(0.1)
    assert seeds_needed(1) == 4
    for comparisons in (1, 3, 78):
        n = seeds_needed(comparisons)
        assert least_p(n, n) * comparisons < 0.05 <= least_p(n - 1, n - 1) * comparisons


def test_holm_as_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
