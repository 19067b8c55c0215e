"""What a batch must be."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

_EDGE, _FAR = 1.01, 10.0  # resampling leaves [-1, 1] by a little; beyond ±10 images are taken for bytes
_SCALE = "for images in [0, 1] take 2 x - 1, as torchvision's Normalize(0.5, 0.5) does"


def check_batch(batch: Any, num_classes: int | None) -> None:
    """Refuse, with a ValueError, a batch that a game cannot be played on.

    A batch is x, or a list or tuple of x and labels: x (N, ...) of a floating type, images in [-1, 1]; labels (N,),
    integers, of a conditional GAN. Images beyond ±10 are refused, as bytes that were not scaled, and so are
    bytes divided by 255, as torchvision's ToTensor leaves them: scaled to [-1, 1] they are odd multiples of 1/255. A
    line is printed on other images that lie in [0, 1] or leave [-1, 1].
    """
    parts = [batch] if isinstance(batch, Tensor) else batch
    if not isinstance(parts, list | tuple) or not parts or not isinstance(parts[0], Tensor):
        raise ValueError(f"a batch must be a tensor x, or (x, labels), got {_kind(batch)}")
    x = parts[0]
    if not x.is_floating_point():
        raise ValueError(f"a batch must have x of a floating type, in [-1, 1], got {x.dtype}")
    if num_classes is not None:
        labels = parts[1] if len(parts) > 1 else None
        if not isinstance(labels, Tensor) or labels.shape != x.shape[:1] or labels.dtype not in _INTEGERS:
            raise ValueError(f"a conditional GAN takes (x, labels), labels (N,) of integers, got {_kind(labels)}")
    if x.ndim == 4 and x.numel():
        low, high = (float(end) for end in torch.aminmax(x))
        if not max(-low, high) <= _FAR:
            raise ValueError(f"images must be in [-1, 1], as samples are; these are in [{low:g}, {high:g}]")
        if _are_bytes_by_255(x, low, high):
            raise ValueError(f"images must be in [-1, 1], as samples are; these are bytes divided by 255; {_SCALE}")
        if max(-low, high) > _EDGE or (low >= 0 and high > 0.5):
            rank_zero_info(f"The first batch has images in [{low:g}, {high:g}], and samples are in [-1, 1]; {_SCALE}.")


def _are_bytes_by_255(x: Tensor, low: float, high: float) -> bool:
    if not 0 <= low < high <= 1 or x.dtype not in (torch.float32, torch.float64):
        return False
    levels = 255 * x
    whole = levels.round()
    return bool((levels - whole).abs().max() < 1e-3 and (whole % 2 == 0).any())


_INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    return "none" if value is None else f"a {type(value).__name__}"
