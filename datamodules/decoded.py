"""Decoded images that a later run, and every other rank, maps into memory instead of decoding them again."""

import os
import tempfile
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

VARIABLE = "GAN_ZOO_CACHE"
FORMAT = "1"  # to be raised when decoding comes to give other pixels


def cache_folder() -> Path:
    """Where decoded images are kept: $GAN_ZOO_CACHE/images, else gan-zoo/images in the user's cache."""
    told = os.environ.get(VARIABLE)
    home = Path(told) if told else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"
    return home / "images"


def remembered(paths: Sequence[Path], image_shape: tuple[int, ...], decode: Callable[[], Tensor]) -> Tensor:
    """What `decode()` gives for these files, uint8 (N, *image_shape), mapped from the disk if it was decoded before.

    The file is named after the place, size and time of change of every image and after `image_shape`: an image that is
    added, removed or edited means another file, and none is ever taken for another set's. It is complete or absent; one
    that is of another size is replaced. Where none can be written, the images are held in memory. Memory that is mapped
    is shared by all processes of a machine; what is written to the tensor stays in its own process.
    """
    path = cache_folder() / f"{_fingerprint(paths, image_shape)}.uint8"
    shape = (len(paths), *image_shape)
    if not _is_whole(path, shape):
        images = decode()
        if not _keep(images, path):
            return images
    return torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c", shape=shape))


def _fingerprint(paths: Sequence[Path], image_shape: tuple[int, ...]) -> str:
    digest = blake2b(f"{FORMAT} {image_shape}".encode(), digest_size=16)
    for path in paths:
        found = path.stat()
        digest.update(os.fsencode(path.resolve()) + f"\0{found.st_size} {found.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    return path.is_file() and path.stat().st_size == np.prod(shape)


def _keep(images: Tensor, path: Path) -> bool:
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            part = file.name
            images.numpy().tofile(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        return False
    return True
