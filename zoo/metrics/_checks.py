"""What every metric demands of the tensors it is given."""

from __future__ import annotations

import torch
from torch import Tensor


def as_float64(metric: str, x: Tensor, y: Tensor, *, least: int) -> tuple[Tensor, Tensor]:
    """Both sets in float64, after making sure that they can be compared.

    Raises:
        ValueError: not (N, D) and (M, D) with N, M >= `least`, or a value is not finite.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"{metric}: needs tensors of shapes (N, D) and (M, D), got {shapes}")
    if min(len(x), len(y)) < least:
        raise ValueError(f"{metric}: needs at least {least} rows in each, got {len(x)}, {len(y)}")
    if not (torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise ValueError(f"{metric}: NaN or infinite values; leave them out or repair their source")
    return x.double(), y.double()
