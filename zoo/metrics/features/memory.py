"""Features of many images, and of the same images only once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
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

    They are kept by the contents of the images and the extractor's fingerprint. A file that cannot be read is replaced;
    where none can be written, the features are computed.
    """
    from joblib import Memory

    def features(images: np.ndarray, fingerprint: str) -> list[np.ndarray | None]:
        return [
            None if x is None else x.numpy()
            for x in extract(extractor, torch.split(torch.from_numpy(images), _CHUNK), device)
        ]

    call = features
    with suppress(OSError):
        call = Memory(cache_folder() / "features", verbose=0).cache(features)
    found, logits = call(images.detach().cpu().numpy(), extractor.fingerprint)
    return Features(torch.from_numpy(found), None if logits is None else torch.from_numpy(logits))
