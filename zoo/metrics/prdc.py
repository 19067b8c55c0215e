"""Precision, recall, density and coverage, by nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64

_ROWS = 1024  # of a distance matrix held at once


class Neighbourhoods(NamedTuple):
    """Float64 scalars, in [0, 1] but for density, which has no upper bound."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def neighbourhoods(real: Tensor, fake: Tensor, k: int = 3, density_k: int = 5) -> Neighbourhoods:
    """`precision_recall(real, fake, k)` and `density_coverage(real, fake, density_k)` for three matrices of distances.

    Raises:
        ValueError: as these do.
    """
    return _measured("neighbourhoods", real, fake, k, density_k)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Precision and recall of Kynkäänniemi et al. (2019, eqs. 1-2), float64 scalars in [0, 1].

    A set's manifold is the union of the balls around its rows that reach to their `k`-th nearest
    other row. Precision is the share of `fake` on the manifold of `real`, recall the share of
    `real` on that of `fake`. Both depend on N and M: compare only at the same numbers.

    Args:
        real: features, (N, D) with N > k.
        fake: features, (M, D) with M > k.
        k: which neighbour a ball reaches to, the paper's 3.

    Raises:
        ValueError: `k` < 1, a shape is wrong, there are k rows or fewer, or a value is not finite.
    """
    return _measured("precision_recall", real, fake, k, k)[:2]


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """Density and coverage of Naeem et al. (2020, "Reliable Fidelity and Diversity Metrics", section 3), float64.

    With balls around the rows of `real` that reach to their `k`-th nearest other: density is the mean number of balls
    that a row of `fake` lies in, divided by k (about 1 when both sets are of one law, and not bounded by it);
    coverage is the share of balls that hold a row of `fake`, in [0, 1]. Deviation: a ball has its edge, as in precision
    and recall; the authors' code leaves it out.

    Args:
        real: features, (N, D) with N > k.
        fake: features, (M, D) with M > k.
        k: which neighbour a ball reaches to, the paper's 5.

    Raises:
        ValueError: `k` < 1, a shape is wrong, there are k rows or fewer, or a value is not finite.
    """
    return _measured("density_coverage", real, fake, k, k)[2:]


def _measured(metric: str, real: Tensor, fake: Tensor, k: int, density_k: int) -> Neighbourhoods:
    if min(k, density_k) < 1:
        raise ValueError(f"{metric}: k must be at least 1, got {min(k, density_k)}")
    real, fake = as_float64(metric, real, fake, least=max(k, density_k) + 1)
    real_radius, ball = _radii(real, k, density_k)
    (fake_radius,) = _radii(fake, k)
    precise, inside = [], 0
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for rows, distance in _distances(fake, real):
        precise.append((distance <= real_radius).any(1))
        recalled |= (distance <= fake_radius[rows, None]).any(0)
        held = distance <= ball
        inside += int(held.count_nonzero())
        covered |= held.any(0)
    precision, recall, coverage = (values.double().mean() for values in (torch.cat(precise), recalled, covered))
    density = torch.tensor(inside / (density_k * len(fake)), dtype=torch.float64, device=real.device)
    return Neighbourhoods(precision, recall, density, coverage)


def _radii(x: Tensor, *ks: int) -> Tensor:
    """The distance of each row of (N, D) to its k-th nearest other row, for each k: (len(ks), N)."""
    # index 0 is the row itself, or a copy of it, at distance 0
    return torch.cat([d.topk(max(ks) + 1, largest=False).values[:, list(ks)] for _, d in _distances(x, x)]).T


def nearest(x: Tensor, y: Tensor, *, but: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The distance of each row of x (N, D) to its nearest row of y (M, D), and that row's place, both (N,).

    `but` (N,) are places in y to leave out, one for each row of x.
    """
    distances, places = [], []
    for rows, distance in _distances(x, y):
        if but is not None:
            distance[torch.arange(len(distance), device=x.device), but[rows]] = torch.inf
        least = distance.min(1)
        distances.append(least.values)
        places.append(least.indices)
    return torch.cat(distances), torch.cat(places)


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Distances of some rows of x at a time to all rows of y, and the slice of these rows.

    They are sums of squared differences, not a matrix product: d(a, b) is then the same number as d(b, a), and 0 for
    equal rows, so that a row on the edge of a ball is inside it, whatever the features' offset.
    """
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        yield rows, torch.cdist(x[rows], y, compute_mode="donot_use_mm_for_euclid_dist")
