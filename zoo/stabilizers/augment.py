"""The same random changes to real images and to fakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.noise import Noise
from zoo.stabilizers.base import Stabilizer, refuse_points
from zoo.types import Game, Role


class DiffAugment(Stabilizer):
    """Random changes to every image that D sees, real or generated, in every turn (Zhao et al. 2020).

    Gradients flow through them to G. Each image gets changes of its own in each turn, the same on any number of ranks.
    The numbers are those of the authors' code, for images in [-1, 1]; results are not clipped:

        color: x + U[-0.5, 0.5); then the distance from the mean over channels times U[0, 2); then the distance from
            the mean over the image times U[0.5, 1.5). The second leaves grey images as they are.
        translation: by whole pixels, up to an eighth of the height and of the width; 0 comes in at the edge.
        cutout: a rectangle of half the height and half the width is set to 0. Its centre is anywhere in the image, so
            that less than a quarter of it may be hidden.

    The points of a gradient penalty are changed too, and the gradient is taken at the image before the change.

    Args:
        policy: the changes, in their order. The authors use all three where data are few, and "cutout" or "color" and
            "cutout" on all of CIFAR-10. An empty list is the plain run, bit for bit.

    Raises:
        ValueError: for an unknown name, and for data that are points.
    """

    def __init__(self, policy: Sequence[str] = ("color", "translation", "cutout")) -> None:
        super().__init__()
        if isinstance(policy, str):
            raise ValueError(f"DiffAugment: policy must be a list of names, got {policy!r}; write [{policy}]")
        for name in policy:
            if name not in POLICIES:
                raise ValueError(f"DiffAugment: unknown policy {name!r}; choose from {', '.join(POLICIES)}")
        self.policy = tuple(policy)

    def prepare(self, gan: Game) -> None:
        """Refuse a D of points."""
        refuse_points(self, getattr(gan.discriminator, "image_shape", None))

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Change images (N, C, H, W)."""
        refuse_points(self, x.shape[1:])
        for name in self.policy:
            x = POLICIES[name](x, noise)
        return x

    def extra_repr(self) -> str:
        """The policy, for printing."""
        return f"policy={list(self.policy)}"


def color(x: Tensor, noise: Noise) -> Tensor:
    """Brightness, saturation and contrast of x (N, C, H, W)."""
    brightness, saturation, contrast = (u.to(x.dtype)[:, None, None] for u in noise.uniform(len(x), 3, 1).unbind(1))
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    flat = x.mean((1, 2, 3), keepdim=True)
    return flat + (x - flat) * (contrast + 0.5)


def translation(x: Tensor, noise: Noise) -> Tensor:
    """Shift x (N, C, H, W) by whole pixels."""
    height, width = x.shape[2:]
    down, right = height // 8, width // 8
    top, left = _integers(noise, len(x), 2 * down + 1, 2 * right + 1)
    rows = top + torch.arange(height, device=x.device)
    columns = left + torch.arange(width, device=x.device)
    x = F.pad(x, (right, right, down, down))
    return x.take_along_dim(rows[:, None, :, None], 2).take_along_dim(columns[:, None, None, :], 3)


def cutout(x: Tensor, noise: Noise) -> Tensor:
    """Set a rectangle of x (N, C, H, W) to 0."""
    sizes = [(full, full // 2) for full in x.shape[2:]]
    centres = _integers(noise, len(x), *(full + 1 - half % 2 for full, half in sizes))
    inside = []
    for (full, half), centre in zip(sizes, centres, strict=True):
        place = torch.arange(full, device=x.device) - (centre - half // 2)
        inside.append((place >= 0) & (place < half))
    rows, columns = inside
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


POLICIES: dict[str, Callable[[Tensor, Noise], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


def _integers(noise: Noise, n: int, *ends: int) -> tuple[Tensor, ...]:
    """Uniform on 0, ..., end - 1, for each of the ends a column (n, 1)."""
    drawn = noise.uniform(n, len(ends))
    return tuple((drawn[:, i : i + 1] * end).long() for i, end in enumerate(ends))
