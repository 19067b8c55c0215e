"""Decoded images that a later run, and every other rank, maps into memory instead of decoding them again."""

import math
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

VARIABLE = "GAN_ZOO_CACHE"
FORMAT = "3"  # to be raised when decoding comes to give other pixels, or files another form
MOST = 50 * 2**30  # bytes of all files; the ones that were not used for longest go first


def cache_folder() -> Path:
    """Where decoded images are kept: $GAN_ZOO_CACHE/images, else gan-zoo/images in the user's cache."""
    configured = os.environ.get(VARIABLE)
    home = (
        Path(configured) if configured else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gan-zoo"
    )
    return home / "images"


def remembered(
    paths: Sequence[Path], image_shape: tuple[int, ...], decode: Callable[[], Iterable[Tensor]], setting: object = None
) -> Tensor:
    """The images of these files, uint8 (N, *image_shape), mapped from the disk, as `decode()` gives them in parts.

    It is called unless that was done before, and one part at a time is in memory. The file is named after the place,
    size and time of change of every image, `image_shape` and the `setting` of `decode`: an image that is added, removed
    or edited means another file, and none is ever taken for another set's. It ends in a CRC-32; one of another size or
    sum is replaced. Where none can be written, the images are held in memory. Memory that is mapped is shared by all
    processes of a machine; what is written to the tensor stays in its own process. All files together have at most
    50 GB.
    """
    path = cache_folder() / f"{fingerprint(paths, image_shape, setting)}.uint8"
    shape = (len(paths), *image_shape)
    kept = _mapped(path, shape)
    if kept is None and _keep(decode(), path):
        _prune(path)
        kept = _mapped(path, shape)
    return torch.cat([*decode()]) if kept is None else kept


def fingerprint(paths: Sequence[Path], image_shape: tuple[int, ...], setting: object) -> str:
    """A name for the state of these files, and for what is made of them."""
    digest = blake2b(f"{FORMAT} {image_shape} {setting}".encode(), digest_size=16)
    for path in paths:
        try:
            found = path.stat()
        except OSError:  # a link to nowhere, or to itself, which `decode` refuses
            continue
        digest.update(os.fsencode(path.resolve()) + f"\0{found.st_size} {found.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _mapped(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The images in a file; None unless it is there and whole."""
    size = math.prod(shape)
    try:
        if path.stat().st_size != size + 4:
            return None
        mapped = np.memmap(path, dtype=np.uint8, mode="c", shape=(size + 4,))
        os.utime(path)
    except OSError:
        return None
    whole = zlib.crc32(mapped[:size].data) == int.from_bytes(mapped[size:].tobytes())
    return torch.from_numpy(mapped[:size].reshape(shape)) if whole else None


def _prune(newest: Path) -> None:
    """Delete the files that were not used for longest, with those that a kill left unfinished."""
    with suppress(OSError):  # another process prunes or clears the cache, too
        files = sorted(newest.parent.iterdir(), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= MOST or file == newest:
                return
            total -= file.stat().st_size
            file.unlink()


def _keep(parts: Iterable[Tensor], path: Path) -> bool:
    """Write them, and their CRC-32; False where that is not possible."""

    def chunks() -> Iterator[memoryview | bytes]:
        crc = 0
        for images in parts:
            pixels = images.numpy().data
            yield pixels
            crc = zlib.crc32(pixels, crc)
        yield crc.to_bytes(4)

    return written(chunks(), path)


def written(chunks: Iterable[memoryview | bytes], path: Path) -> bool:
    """Write a file of the cache, whole or not at all; False where that is not possible."""
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            part = Path(file.name)
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        return False
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return True
