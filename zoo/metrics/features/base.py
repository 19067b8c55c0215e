"""An extractor: images in, features out, with all that names a score."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

import torch
from torch import Tensor, nn

_SLACK = 1e-3  # how far beyond [-1, 1] rounding may take an image
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Features(NamedTuple):
    """An extractor's output on N images."""

    features: Tensor  # (N, D), float32
    logits: Tensor | None = None  # (N, K), float32, where it classifies


class Extractor(nn.Module, ABC):
    """Images (N, 1, 3 or 4, H, W), in [-1, 1] or uint8, to :class:`Features` in one pass.

    It is frozen, always in evaluation mode, and works in float32, also under autocast. A subclass writes `extract`
    and sets `name` and `resize`.

    Raises ValueError, when called, for another shape, values that are not finite or lie more than 1e-3 outside [-1, 1].
    """

    name: str  # as scores are called: fd/<name>
    resize: str  # the preprocessing, in words
    dim: int | None = None  # D; None where it depends on the images, until the first were seen

    @abstractmethod
    def extract(self, images: Tensor) -> Features:
        """Of images (N, C, H, W), float32 in [-1, 1]."""

    @torch.no_grad()
    def forward(self, images: Tensor) -> Features:
        """Look at the images, then extract."""
        images = self.admit(images)
        with torch.autocast(images.device.type, enabled=False):
            found = self.extract(images)
        self.dim = found.features.shape[1]
        return found

    def admit(self, images: Tensor) -> Tensor:
        """The same in float32, within [-1, 1], RGBA on white; ValueError where they are no images."""
        if images.ndim != 4 or images.shape[1] not in (1, 3, 4) or not images.numel():
            raise ValueError(f"{self.name}: needs images of shape (N, 1, 3 or 4, H, W), got {tuple(images.shape)}")
        if images.dtype == torch.uint8:
            return on_white(images.float() / 127.5 - 1)
        images = images.float()
        low, high = images.aminmax()
        if not torch.isfinite(low + high):
            raise ValueError(f"{self.name}: there are images with NaN or infinite values")
        if low < -1 - _SLACK or high > 1 + _SLACK:
            raise ValueError(
                f"{self.name}: images must be in [-1, 1], these are in [{low:g}, {high:g}]; rescale them, or give uint8"
            )
        return on_white(images.clamp(-1, 1))

    def train(self, mode: bool = True) -> Extractor:
        """Stay in evaluation mode, also inside a module that trains."""
        return super().train(False)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with name, preprocessing, layers or weights; not with a layer's code."""
        digest = sha256(f"{self.name}\n{self.resize}\n{self}".encode())
        for key, value in self.state_dict().items():
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def freeze(self) -> None:
        """For the end of a constructor."""
        self.eval().requires_grad_(False)


def on_white(images: Tensor) -> Tensor:
    """RGBA (N, 4, H, W) in [-1, 1] as RGB, laid on white: αx + (1 - α) for α in [0, 1]; others as they are."""
    if images.shape[1] != 4:
        return images
    alpha = (images[:, 3:] + 1) / 2
    return alpha * images[:, :3] + (1 - alpha)


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Images (N, 1 or 3, H, W) with that many channels: grey repeated, or colour's BT.601 luma."""
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.expand(-1, 3, -1, -1)
    return (images * torch.tensor(LUMA, device=images.device).view(3, 1, 1)).sum(1, keepdim=True)


def snake_case(name: str) -> str:
    """`MyNet` is my_net."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
