"""Features of many images, and of the same images only once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.metrics.features.base import Extractor, Features

VARIABLE = "GAN_ZOO_CACHE"
_CHUNK = 256  # images whose features are taken at once


def cache_folder() -> Path:
    """Where features are kept: $GAN_ZOO_CACHE, else gan-zoo in the user's cache."""
    configured = os.environ.get(VARIABLE)
    return (
        Path(configured) if configured else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"
    )


def extract(extractor: Extractor, chunks: Iterable[Tensor], device: torch.device | str = "cpu") -> Features:
    """Features of chunks of images, on the CPU; the extractor moves to the device."""
    extractor = extractor.to(device)
    found = [extractor(chunk.to(device)) for chunk in chunks]
    logits = [part.logits.cpu() for part in found if part.logits is not None]
    return Features(torch.cat([part.features.cpu() for part in found]), torch.cat(logits) if logits else None)


def remember(extractor: Extractor, images: Tensor, device: torch.device | str = "cpu") -> Features:
    """Features of images (N, ...), from the disk if these images went through this extractor before.

    They are kept by the contents of the images and the extractor's fingerprint, with a checksum. A file that is damaged
    is replaced; where none can be written, the features are computed.
    """
    pixels = images.detach().cpu().contiguous()
    digest = blake2b(f"{extractor.fingerprint} {pixels.dtype} {pixels.shape}".encode(), digest_size=16)
    digest.update(pixels.flatten().numpy().data)
    path = cache_folder() / "features" / f"{digest.hexdigest()}.npz"
    try:
        with np.load(path) as kept:  # reads against the CRC-32 that zip keeps
            return Features(**{name: torch.from_numpy(kept[name]) for name in kept})
    except Exception:  # there is none, or it is damaged, of which numpy and zipfile raise a dozen classes
        found = extract(extractor, torch.split(pixels, _CHUNK), device)
    part = path.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, **{name: x.numpy() for name, x in found._asdict().items() if x is not None})
        part.replace(path)
    return found
