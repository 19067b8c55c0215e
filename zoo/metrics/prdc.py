"""Precision and recall: how much of what is made is real, how much of what is real is made."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64

_ROWS = 1024  # of a distance matrix held at once


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
    if k < 1:
        raise ValueError(f"precision_recall: k must be at least 1, got {k}")
    real, fake = as_float64("precision_recall", real, fake, least=k + 1)
    return _share_covered(fake, real, k), _share_covered(real, fake, k)


def _share_covered(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """The share of `points` in at least one of the balls of `centres`."""
    radii = torch.cat([_distance_to_kth(k, rows, centres) for rows in torch.split(centres, _ROWS)])
    chunks = torch.split(points, _ROWS)
    covered = torch.cat([(torch.cdist(rows, centres) <= radii).any(1) for rows in chunks])
    return covered.double().mean()


def _distance_to_kth(k: int, rows: Tensor, everyone: Tensor) -> Tensor:
    """How far each of `rows`, which are among `everyone`, is from its k-th nearest other."""
    nearest = torch.cdist(rows, everyone).topk(k + 1, largest=False)
    return nearest.values[:, k]  # the first is the row itself, at distance zero
