"""Extractors without weights of ours: pixels, points, and a network of the user's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.metrics.features.base import Extractor, Features, snake_case


class PixelFeatures(Extractor):
    """Images (N, C, H, W) averaged down to at most 8 x 8 pixels: (N, 64 C), or fewer.

    It sees layout, brightness and colour, and no detail finer than an eighth of the picture.
    """

    name = "pixels8"
    resize = "averaged to at most 8x8"

    def extract(self, images: Tensor) -> Features:
        """Average, then flatten."""
        height, width = images.shape[-2:]
        return Features(F.adaptive_avg_pool2d(images, (min(height, 8), min(width, 8))).flatten(1))


class Points(Extractor):
    """Points (N, D), in any unit, are their own features."""

    name = "points"
    resize = "none"

    def admit(self, images: Tensor) -> Tensor:
        """The same in float32; ValueError where they are no points."""
        if images.ndim != 2 or not torch.isfinite(images).all():
            raise ValueError(f"points: needs finite points of shape (N, D), got {tuple(images.shape)}")
        return images.float()

    def extract(self, images: Tensor) -> Features:
        """Themselves."""
        return Features(images)


class Wrapped(Extractor):
    """Any module as an extractor: images go in unchanged, and it is frozen.

    The fingerprint knows its layers and weights, not its code: give what computes something else another name.

    Args:
        module: images (N, C, H, W), float32 in [-1, 1], to features (N, ...), or to these and logits (N, K).
        name: what scores are called; None is the module's attribute `name`, else its class in snake case.
    """

    resize = "none"

    def __init__(self, module: nn.Module, name: str | None = None) -> None:
        super().__init__()
        self.module = module
        self.name = name or str(getattr(module, "name", snake_case(type(module).__name__)))
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        """The module's output, flattened."""
        said = self.module(images)
        features, logits = said if isinstance(said, tuple) else (said, None)
        return Features(features.flatten(1), logits)


def as_extractor(module: nn.Module) -> Extractor:
    """An extractor itself, or any other module wrapped."""
    return module if isinstance(module, Extractor) else Wrapped(module)
