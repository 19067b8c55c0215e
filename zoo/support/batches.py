"""What a batch must be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_FAR = 10.0  # beyond it images are taken for bytes


def check_batch(batch: Any, num_classes: int | None) -> None:
    """Refuse, with a ValueError, a batch that a game cannot be played on.

    A batch is x, or a list or tuple of x and labels: x (N, ...) of a floating type, images in [-1, 1]; labels (N,),
    integers, of a conditional GAN. Images beyond ±10 are refused, as bytes that were not scaled.
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


_INTEGERS = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {value.dtype}"
    return "none" if value is None else f"a {type(value).__name__}"
