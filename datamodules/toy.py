"""Points in the plane: the toy sets of the GAN literature."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from .base import DataModule, Split

ToyName = Literal["ring", "grid", "swiss_roll", "two_gaussians"]
GRID_SCALE = 2.828


class Toy(DataModule):
    """Points (N, 2), float32, drawn once from (name, samples, seed).

    - ring: 8 Gaussians of std 0.02 at (2 cos a, 2 sin a), a = 2 pi k / 8 for k = 0..7
      (Metz et al., Unrolled GAN, 2017).
    - grid: 25 Gaussians of std 0.05 at (2i, 2j), i, j = -2..2, all divided by 2.828
      (Gulrajani et al., WGAN-GP, 2017; scale of the authors' code).
    - swiss_roll: (t cos t, t sin t) for t uniform on 1.5 pi [1, 3], plus noise of std 0.25, all
      divided by 7.5 (WGAN-GP, 2017).
    - two_gaussians: std 0.5 at (-2, 0) and (2, 0).

    Modes are equally likely; a label is the index of the mode. The swiss roll has no modes and no
    labels: its batches are (x,). One fifth as many points again are held out.

    `centres` (K, 2) and `sigma` describe the modes before anything is drawn, and are None for the
    swiss roll.

    Args:
        name: which of the four.
        samples: number of training points.
        batch_size: points a batch, per rank.
        seed: of the points and the shuffling, in [0, 2**32).
        scale: factor on all points, `centres` and `sigma`. PacGAN's ring has radius 1: 0.5; its grid has sigma 0.05:
            2.828.

    Raises ValueError for an unknown name, for samples below 5 and for a scale that is not positive.
    """

    image_shape = (2,)

    def __init__(
        self, *, name: ToyName = "ring", samples: int = 50_000, batch_size: int = 128, seed: int = 0, scale: float = 1.0
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        if name not in get_args(ToyName):
            raise ValueError(f"Toy: name={name!r}, choose one of {get_args(ToyName)}")
        if samples < 5:
            raise ValueError(f"Toy: samples={samples} must be at least 5")
        if not 0 < scale < math.inf:
            raise ValueError(f"Toy: scale={scale} must be positive and finite")
        self.name, self.samples, self.scale = name, samples, scale
        centres, sigma = _modes(name)
        self.centres = None if centres is None else scale * centres
        self.sigma = None if sigma is None else scale * sigma

    @property
    def num_classes(self) -> int | None:
        """The number of modes, or None for the swiss roll."""
        return None if self.centres is None else len(self.centres)

    def load(self) -> dict[str, Split]:
        """Draw the training points, then the held-out ones."""
        total = self.samples + self.samples // 5
        points, labels = self._draw(total, torch.Generator().manual_seed(self.seed))
        parts = {"train": slice(self.samples), "val": slice(self.samples, total)}
        return {split: Split(points[part], None if labels is None else labels[part]) for split, part in parts.items()}

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        if self.centres is None or self.sigma is None:
            t = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator))
            roll = torch.stack([t * t.cos(), t * t.sin()], dim=1)
            return self.scale * (roll + 0.25 * torch.randn(n, 2, generator=generator)) / 7.5, None
        labels = torch.randint(len(self.centres), (n,), generator=generator)
        noise = torch.randn(n, 2, generator=generator)
        return self.centres[labels] + self.sigma * noise, labels


def _modes(name: ToyName) -> tuple[Tensor | None, float | None]:
    match name:
        case "ring":
            angles = torch.arange(8) * (2 * math.pi / 8)
            return 2 * torch.stack([angles.cos(), angles.sin()], dim=1), 0.02
        case "grid":
            steps = 2.0 * torch.arange(-2, 3)
            return torch.cartesian_prod(steps, steps) / GRID_SCALE, 0.05 / GRID_SCALE
        case "two_gaussians":
            return torch.tensor([[-2.0, 0.0], [2.0, 0.0]]), 0.5
        case "swiss_roll":
            return None, None
