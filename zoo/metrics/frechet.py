"""The Fréchet distance between two sets of features, each summarised by a Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64


def frechet_distance(x: Tensor, y: Tensor) -> Tensor:
    r"""The squared Fréchet distance of Heusel et al. (2017, eq. 6), a float64 scalar.

    .. math:: \lVert m_x - m_y \rVert^2 + \operatorname{Tr}\bigl(C_x + C_y - 2 (C_x C_y)^{1/2}\bigr)

    with unbiased covariances. It is an FID only if the features are those of Inception v3. Even
    for two samples of one law it is positive, the more so the fewer the rows: compare only values
    taken at the same N and M.

    With any A, B such that AᵀA = C_x and BᵀB = C_y the trace of the root is the sum of the singular
    values of ABᵀ; A and B come from a QR decomposition of the centred features. This squares no
    condition number, so that fewer rows than columns lose no digits.

    Args:
        x: features, (N, D) with N >= 2.
        y: features, (M, D) with M >= 2.

    Raises:
        ValueError: a shape is wrong, there are fewer than two rows, or a value is not finite.
    """
    x, y = as_float64("frechet_distance", x, y, least=2)
    a, b = _factor(x), _factor(y)
    moved = (x.mean(0) - y.mean(0)).square().sum()
    shared = torch.linalg.svdvals(a @ b.T).sum()
    return (moved + a.square().sum() + b.square().sum() - 2 * shared).clamp(min=0)


def _factor(x: Tensor) -> Tensor:
    """A triangular A, (min(N, D), D), with AᵀA the covariance of the rows of `x`."""
    factor: Tensor = torch.linalg.qr(x - x.mean(0), mode="r").R
    return factor / (len(x) - 1) ** 0.5
