"""What every metric demands of the tensors it is given."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    """A score and how it varies over parts of the samples; `float(estimate)` is the score."""

    mean: Tensor  # over the parts, a float64 scalar
    std: Tensor  # between the parts (divided by their number, not one less): 0 where there is one part

    def __float__(self) -> float:
        return float(self.mean)

    @classmethod
    def over(cls, parts: list[Tensor]) -> Estimate:
        """Of one scalar a part."""
        values = torch.stack(parts)
        return cls(values.mean(), values.std(correction=0))


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
    return finite(metric, x), finite(metric, y)


def finite(metric: str, x: Tensor) -> Tensor:
    """The same in float64; ValueError where a value is not finite."""
    if not torch.isfinite(x).all():
        raise ValueError(f"{metric}: NaN or infinite values; leave them out or repair their source")
    return x.double()


def in_order(x: Tensor) -> Tensor:
    """The rows (N, D) sorted by their projection on a fixed direction.

    A score that takes the rows in parts then depends on neither batches nor ranks.
    """
    direction = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device).cos()
    return x[(x @ direction).argsort()]
