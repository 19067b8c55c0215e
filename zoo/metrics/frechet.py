"""The Fréchet distance between two sets of features, each summarised by a Gaussian."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.metrics._checks import as_float64, finite, in_order


class Moments(NamedTuple):
    """Number, mean and covariance of a set of features, in float64."""

    n: int  # rows
    mean: Tensor  # (D,)
    covariance: Tensor  # (D, D), unbiased

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Of features (N, D), N >= 2; ValueError for another shape or a value that is not finite."""
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"Moments: needs a tensor of shape (N, D) with N >= 2, got {tuple(x.shape)}")
        x = finite("Moments", x)
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean).T @ (x - mean) / (len(x) - 1))

    def merge(self, other: Moments) -> Moments:
        """Of both sets together (Chan, Golub & LeVeque 1983)."""
        n = self.n + other.n
        move = other.mean - self.mean
        scatter = (self.n - 1) * self.covariance + (other.n - 1) * other.covariance
        scatter = scatter + move.outer(move) * (self.n * other.n / n)
        return Moments(n, self.mean + move * (other.n / n), scatter / (n - 1))

    def to(self, device: torch.device | str) -> Moments:
        """The same on another device."""
        return Moments(self.n, self.mean.to(device), self.covariance.to(device))

    def save(self, path: str | Path) -> None:
        """Write a file that `load` reads."""
        torch.save({"n": self.n, "mean": self.mean, "covariance": self.covariance}, path)

    @classmethod
    def load(cls, path: str | Path) -> Moments:
        """Read what `save` wrote, to the CPU."""
        return cls(**torch.load(path, map_location="cpu", weights_only=True))


def frechet_distance(x: Tensor | Moments, y: Tensor | Moments) -> Tensor:
    r"""The squared Fréchet distance of Heusel et al. (2017, eq. 6), a float64 scalar.

    .. math:: \lVert m_x - m_y \rVert^2 + \operatorname{Tr}\bigl(C_x + C_y - 2 (C_x C_y)^{1/2}\bigr)

    with unbiased covariances. It is an FID only if the features are those of Inception v3. Even
    for two samples of one law it is positive, the more so the fewer the rows: compare only values
    taken at the same N and M.

    With any A, B such that AᵀA = C_x and BᵀB = C_y the trace of the root is the sum of the singular
    values of ABᵀ. Of features, A and B come from a QR decomposition of the centred rows, which squares
    no condition number, so that fewer rows than columns lose no digits; of moments, from the covariance's
    eigenvectors, which costs half of the digits of its smallest eigenvalues.

    Args:
        x: features, (N, D) with N >= 2, or their moments.
        y: features, (M, D) with M >= 2, or their moments.

    Raises:
        ValueError: a shape is wrong, there are fewer than two rows, or a value is not finite.
    """
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        x, y = as_float64("frechet_distance", x, y, least=2)
    else:
        x, y = (s if isinstance(s, Moments) else Moments.of(s) for s in (x, y))
    (m, a), (k, b) = _gaussian(x), _gaussian(y)
    if m.shape != k.shape:
        raise ValueError(f"frechet_distance: the features have {len(m)} and {len(k)} columns")
    shared = torch.linalg.svdvals(a @ b.T).sum()
    return ((m - k).square().sum() + a.square().sum() + b.square().sum() - 2 * shared).clamp(min=0)


def frechet_infinity(x: Tensor, y: Tensor, *, sizes: int = 15, seed: int = 0) -> Tensor:
    """The Fréchet distance of infinitely many samples, extrapolated: Chong & Forsyth (2020), a float64 scalar.

    The distance of n samples is biased by about a constant over n. It is taken for random parts of `x`, without
    repetition, at `sizes` numbers of rows in equal steps from max(2, N / 10), at most 5,000, to N, and a line in 1/n is
    fitted by least squares: the result is its value at 1/n = 0, which may be below 0. All of `y` is used each time, so
    that its own bias stays; the authors', too, extrapolate in the samples only. The lower end is that of dgm-eval
    (Stein et al. 2023), theirs is 5,000. Where n is not far above the number of features the line is a poor model.

    Args:
        x: features of samples, (N, D) with N >= 3.
        y: features of real images, (M, D) with M >= 2.
        sizes: how many distances are taken, at least 2.
        seed: of the parts.

    Raises:
        ValueError: `sizes` < 2, a shape is wrong, there are too few rows, or a value is not finite.
    """
    if sizes < 2:
        raise ValueError(f"frechet_infinity: sizes must be at least 2, got {sizes}")
    x, y = as_float64("frechet_infinity", x, y, least=2)
    if len(x) < 3:
        raise ValueError(f"frechet_infinity: needs at least 3 samples, got {len(x)}")
    x, generator = in_order(x), torch.Generator().manual_seed(seed)
    first = min(5000, max(2, len(x) // 10))
    inverses, found = [], []
    for n in torch.linspace(first, len(x), sizes, dtype=torch.float64).long().tolist():
        part = x[torch.randperm(len(x), generator=generator)[:n].to(x.device)]
        inverses.append(1 / n)
        found.append(frechet_distance(part, y))
    inverse, distance = torch.tensor(inverses, dtype=torch.float64, device=x.device), torch.stack(found)
    centred = inverse - inverse.mean()
    slope = (centred * distance).sum() / centred.square().sum()
    return distance.mean() - slope * inverse.mean()


def _gaussian(x: Tensor | Moments) -> tuple[Tensor, Tensor]:
    """The mean (D,), and an A (R, D) with AᵀA the covariance."""
    if isinstance(x, Moments):
        values, vectors = torch.linalg.eigh(x.covariance)
        return x.mean, values.clamp(min=0).sqrt()[:, None] * vectors.T
    mean = x.mean(0)
    factor: Tensor = torch.linalg.qr(x - mean, mode="r").R
    return mean, factor / (len(x) - 1) ** 0.5
