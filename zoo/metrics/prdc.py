"""Neighbourhoods: how much of what is made is real, and how much of what is real is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64

_ROWS = 128  # of a distance matrix held at once
_ZERO = 1e-13  # a squared distance below this share of the largest squared norms is rounding


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
    rounding = _ZERO * 2 * float(torch.cat([real, fake]).square().sum(1).max())
    (real_reach, ball), (fake_reach,) = _reaches(real, rounding, k, density_k), _reaches(fake, rounding, k)
    precise, inside = [], []
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for rows, distance in _distances(fake, real):
        precise.append((distance <= real_reach).any(1))
        recalled |= (distance <= fake_reach[rows, None]).any(0)
        holds = distance <= ball
        inside.append(holds.count_nonzero())
        covered |= holds.any(0)
    precision, recall, coverage = (values.double().mean() for values in (torch.cat(precise), recalled, covered))
    density = torch.stack(inside).sum().double() / (density_k * len(fake))
    return Neighbourhoods(precision, recall, density, coverage)


def _reaches(x: Tensor, rounding: float, *ks: int) -> Tensor:
    """The squared distance of each row to its k-th nearest other, a row for each k, (len(ks), N).

    It is at least `rounding`: whoever is that near is within every reach.
    """
    # the first is the row itself, at distance zero
    nearest = [_smallest(d, max(ks) + 1)[:, list(ks)] for _, d in _distances(x, x)]
    return torch.cat(nearest).T.clamp(min=rounding)


def _smallest(x: Tensor, n: int) -> Tensor:
    """The n smallest of each row of (R, C), in order.

    They lie in the n groups of columns whose own smallest are the smallest: only these are searched.
    """
    size = max(1, math.isqrt(x.shape[1]))
    whole = x.shape[1] // size * size
    if whole // size <= n:
        return x.topk(n, largest=False).values
    groups = x[:, :whole].reshape(len(x), -1, size)
    nearest = groups.amin(2).topk(n, largest=False).indices
    within = groups.gather(1, nearest[:, :, None].expand(-1, -1, size)).flatten(1)
    return torch.cat([within, x[:, whole:]], 1).topk(n, largest=False).values


def _distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances to all rows of y, for some rows of x at a time, and which these are."""
    own, norms = x.square().sum(1, keepdim=True), y.square().sum(1)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, start + _ROWS)
        yield rows, torch.addmm(norms, x[rows], y.T, alpha=-2).add_(own[rows])
