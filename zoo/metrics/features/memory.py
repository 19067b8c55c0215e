"""Features of many images, and of the same images only once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from zoo.metrics.features.base import Extractor, Features

VARIABLE = "GAN_ZOO_CACHE"
_CHUNK = 256  # images whose features are taken at once


def cache_folder() -> Path:
    """Where features are kept: $GAN_ZOO_CACHE, else gan-zoo in the user's cache."""
    told = os.environ.get(VARIABLE)
    return Path(told) if told else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"


def extract(extractor: Extractor, chunks: Iterable[Tensor], device: torch.device | str = "cpu") -> Features:
    """Features of chunks of images, on the CPU; the extractor moves to the device."""
    extractor = extractor.to(device)
    found = [extractor(chunk.to(device)) for chunk in chunks]
    logits = [part.logits.cpu() for part in found if part.logits is not None]
    return Features(torch.cat([part.features.cpu() for part in found]), torch.cat(logits) if logits else None)


def remember(extractor: Extractor, images: Tensor, device: torch.device | str = "cpu") -> Features:
    """Features of images (N, ...), from the disk if these images went through this extractor before.

    A file is named after the contents of the images, the extractor's fingerprint and its preprocessing: whatever of
    these changes, the features are taken anew. A file that cannot be read is replaced, and one that cannot be written
    is done without.
    """
    path = cache_folder() / "features" / f"{extractor.name}-{_fingerprint(extractor, images)}.pt"
    if path.is_file():
        try:
            return Features(**torch.load(path, map_location="cpu", weights_only=True))
        except Exception:  # half a file, another format: as good as none
            path.unlink(missing_ok=True)
    found = extract(extractor, torch.split(images, _CHUNK), device)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            torch.save(found._asdict(), file)
        os.replace(file.name, path)
    except OSError:
        pass
    return found


def _fingerprint(extractor: Extractor, images: Tensor) -> str:
    digest = blake2b(f"{extractor.fingerprint} {images.dtype} {tuple(images.shape)}".encode(), digest_size=10)
    digest.update(images.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
