"""The same scores, gathered batch by batch and over ranks.

Each is a `torchmetrics.Metric` with states in float64, on the CPU unless moved: `update` takes features from any
device, `compute` gives what the function of that name gives for all rows of all ranks together, up to the order of
sums (1e-6). Neither the order of the rows nor how they were batched matters. Hold them outside the LightningModule, or
every checkpoint of it will look for them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from zoo.metrics._checks import Estimate, finite
from zoo.metrics.frechet import Moments, frechet_distance
from zoo.metrics.inception import as_probabilities, inception_score
from zoo.metrics.kernel import kernel_distance
from zoo.metrics.modes import ModeStatistics, mode_counts, statistics_of
from zoo.metrics.prdc import neighbourhoods


class FrechetDistance(Metric):
    """:func:`frechet_distance` from sums: its memory does not grow with the rows.

    Args:
        dim: D, the columns of the features.
        real: the real features' moments, when they are known already; then only fakes are given.
        **kwargs: those of `torchmetrics.Metric`.

    Raises:
        ValueError: at `update`, another shape than (N, D), a value that is not finite, or real features when they are
            known; at `compute`, fewer than 2 rows of either.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False

    def __init__(self, dim: int, real: Moments | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if real is not None and real.mean.shape != (dim,):
            raise ValueError(f"FrechetDistance: the real moments have {len(real.mean)} columns, dim is {dim}")
        self.dim, self.real = dim, real
        for side in ("real", "fake"):
            self.add_state(f"{side}_n", torch.zeros((), dtype=torch.int64), "sum")
            self.add_state(f"{side}_sum", torch.zeros(dim, dtype=torch.float64), "sum")
            self.add_state(f"{side}_outer", torch.zeros(dim, dim, dtype=torch.float64), "sum")

    def update(self, features: Tensor, real: bool) -> None:
        """Add features (N, D)."""
        if real and self.real is not None:
            raise ValueError("FrechetDistance: the real moments were given; update with real=False only")
        x = _rows(self, features, self.dim)
        side = "real" if real else "fake"
        for name, value in (("n", len(x)), ("sum", x.sum(0)), ("outer", x.T @ x)):
            setattr(self, f"{side}_{name}", getattr(self, f"{side}_{name}") + value)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        real = self.moments(real=True) if self.real is None else self.real.to(self.device)
        return frechet_distance(real, self.moments(real=False))

    def moments(self, *, real: bool) -> Moments:
        """Of what was added: on this rank, or inside `sync_context()` on all."""
        side = "real" if real else "fake"
        n, total, outer = (getattr(self, f"{side}_{name}") for name in ("n", "sum", "outer"))
        if n < 2:
            raise ValueError(f"FrechetDistance: needs at least 2 rows in each, got {int(n)} {side}")
        mean = total / n
        return Moments(int(n), mean, (outer - n * mean.outer(mean)) / (n - 1))


class _Pairs(Metric):
    """Keeps all rows of both sets."""

    full_state_update = False
    is_differentiable = False
    real_rows: list[Tensor]
    fake_rows: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("real_rows", [], "cat")
        self.add_state("fake_rows", [], "cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Add features (N, D)."""
        (self.real_rows if real else self.fake_rows).append(_rows(self, features))

    def _both(self) -> tuple[Tensor, Tensor]:
        for side, rows in (("real", self.real_rows), ("fake", self.fake_rows)):
            if not len(rows):
                raise ValueError(f"{type(self).__name__}: there are no {side} features; update it with some")
        return dim_zero_cat(self.real_rows), dim_zero_cat(self.fake_rows)


class KernelDistance(_Pairs):
    """:func:`kernel_distance` of all rows, which it keeps; the same arguments and errors.

    Args:
        subsets: how many pairs of subsets are compared.
        subset_size: rows of each subset; None compares all with all, once.
        seed: of the subsets.
        **kwargs: those of `torchmetrics.Metric`.
    """

    higher_is_better = False

    def __init__(self, subsets: int = 1, subset_size: int | None = None, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def compute(self) -> Estimate:
        """The distance and its standard deviation over subsets."""
        real, fake = self._both()
        return kernel_distance(real, fake, subsets=self.subsets, subset_size=self.subset_size, seed=self.seed)


class PRDC(_Pairs):
    """:func:`neighbourhoods` of all rows, which it keeps; the same errors.

    Args:
        k: which neighbour precision's and recall's balls reach to.
        density_k: which neighbour density's and coverage's do.
        **kwargs: those of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(self, k: int = 3, density_k: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k, self.density_k = k, density_k

    def compute(self) -> dict[str, Tensor]:
        """Scalars by name: precision, recall, density, coverage."""
        real, fake = self._both()
        return neighbourhoods(real, fake, self.k, self.density_k)._asdict()


class InceptionScore(Metric):
    """:func:`inception_score` of all rows, which it keeps; the same arguments and errors.

    Args:
        splits: parts that are scored each by itself.
        seed: of who comes into which part.
        **kwargs: those of `torchmetrics.Metric`.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    probabilities: list[Tensor]

    def __init__(self, splits: int = 10, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.splits, self.seed = splits, seed
        self.add_state("probabilities", [], "cat")

    def update(self, probabilities: Tensor) -> None:
        """Add class probabilities (N, K)."""
        self.probabilities.append(as_probabilities("InceptionScore", probabilities.detach().to(self.device)))

    def compute(self) -> Estimate:
        """The score and its standard deviation over splits."""
        if not len(self.probabilities):
            raise ValueError("InceptionScore: nothing to score; update it first")
        return inception_score(dim_zero_cat(self.probabilities), self.splits, seed=self.seed)


class ModeHistogram(Metric):
    """:func:`mode_statistics` from counts; the same arguments and errors.

    Args:
        num_modes: K.
        shares: of the modes in the data, (K,); None is the same for all.
        **kwargs: those of `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False
    counts: Tensor

    def __init__(self, num_modes: int, shares: Tensor | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_modes, self.shares = num_modes, shares
        self.add_state("counts", torch.zeros(num_modes, dtype=torch.int64), "sum")

    def update(self, modes: Tensor) -> None:
        """Add modes (N,), or class probabilities or logits (N, K)."""
        self.counts = self.counts + mode_counts(modes.detach().to(self.device), self.num_modes)

    def compute(self) -> ModeStatistics:
        """Modes covered, modes missing, and the KL divergence."""
        return statistics_of(self.counts, self.shares)


def _rows(metric: Metric, features: Tensor, dim: int | None = None) -> Tensor:
    """(N, D) in float64 where the metric is; ValueError."""
    name = type(metric).__name__
    if features.ndim != 2 or (dim is not None and features.shape[1] != dim):
        raise ValueError(f"{name}: needs features of shape (N, {dim or 'D'}), got {tuple(features.shape)}")
    return finite(name, features.detach().to(metric.device))
