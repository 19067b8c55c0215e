"""Resizing of images before a network."""

from torch import Tensor
from torch.nn import functional as F


def clean_resize(pixels: Tensor, size: int) -> Tensor:
    """Images (N, C, H, W) in [0, 255] to (N, C, size, size), float32: Pillow's bicubic, antialiased where it shrinks.

    The `clean` mode of clean-fid (Parmar, Zhang & Zhu 2022, "On Aliased Resizing and Surprising Subtleties in GAN
    Evaluation"): floats are resized, channel by channel, and clipped to [0, 255], not rounded.
    """
    return F.interpolate(pixels.float(), (size, size), mode="bicubic", antialias=True).clamp(0, 255)
