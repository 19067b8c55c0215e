"""Checkpoint files that are whole or refused: written in one piece, with a checksum of every byte.

A checkpoint is the zip archive that `torch.save` makes. Its comment, which the format keeps at the very end and readers
skip, holds the SHA-256 of all that stands before it. So the file and its checksum are one, `torch.load` reads it as it
reads any other, and a file cut at the comment is no whole archive either: the length of the comment stands before it.
An archive without a comment, as Lightning itself writes it, is held against the CRC-32 that zip keeps of each record.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

LAST, PREVIOUS, BEST = NAMES = ("last.ckpt", "previous.ckpt", "best.ckpt")  # what a run keeps

_LABEL = b"sha256 "
_COMMENT = len(_LABEL) + hashlib.sha256().digest_size * 2
_PLAIN_END = 22  # bytes of the record that ends an archive without a comment
_END_SIGNATURE = b"PK\x05\x06"


def write(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Put `checkpoint` at `path`, sealed; OSError as for :func:`put`."""
    memory = io.BytesIO()
    torch.save(checkpoint, memory)
    memory.seek(-2, os.SEEK_END)
    memory.write(_COMMENT.to_bytes(2, "little"))
    memory.write(_LABEL + hashlib.sha256(memory.getbuffer()).hexdigest().encode())
    put(memory.getbuffer(), Path(path))


def put(content: bytes | memoryview, path: Path) -> None:
    """Put a file at `path` in place of what is there, and on the disk before this returns.

    A kill at any moment leaves the old file or the new one, and perhaps `<path>.part`.

    Raises:
        OSError: naming `path`, if it cannot be written; what was there is kept, and no `.part` is left.
    """
    unfinished = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def part_of(path: Path) -> Path:
    """Where a file is until it is whole."""
    return path.with_name(f"{path.name}.part")


def read(path: str | Path) -> dict[str, Any]:
    """The checkpoint at `path`, on the CPU; only tensors and plain values are unpickled.

    Raises:
        ValueError: there is none, or it is damaged or no checkpoint, with the whole ones beside it by name.
    """
    path = Path(path)
    try:
        return _read(path)
    except ValueError as error:
        raise ValueError(f"{error}{_others(path)}") from error


def check(path: str | Path) -> None:
    """Read every byte at `path`.

    Raises:
        ValueError: there is no file, or these bytes are not those that were written.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}")
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - _COMMENT))
        tail = file.read()
        if tail.startswith(_LABEL):
            if _digest(file, size - _COMMENT) != tail.removeprefix(_LABEL):
                raise ValueError(f"{path} is damaged: its checksum is another")
        elif tail[-_PLAIN_END:].startswith(_END_SIGNATURE) and tail.endswith(b"\0\0"):
            _check_records(file, path)
        else:
            raise ValueError(f"{path} cannot be read as a checkpoint: it is cut short, or none")


def whole(path: str | Path) -> bool:
    """Whether :func:`check` has nothing against it."""
    try:
        check(path)
    except ValueError:
        return False
    return True


class SealedIO(TorchCheckpointIO):
    """Lightning's plugin for checkpoints that are written by :func:`write`, and checked before they are loaded."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write in one piece, sealed; OSError as for :func:`write`."""
        if storage_options is not None:
            raise TypeError("SealedIO: there are no storage_options")
        write(checkpoint, path)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load what :func:`check` has found whole."""
        check(path)
        return super().load_checkpoint(path, *args, **kwargs)


def _read(path: Path) -> dict[str, Any]:
    check(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read as a checkpoint: {reason}") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} is no checkpoint: it holds a {type(checkpoint).__name__}")
    return checkpoint


def _others(path: Path) -> str:
    """What of the same run is whole, the latest first."""
    found = []
    for name in set(NAMES) - {path.name}:
        with suppress(ValueError, KeyError, TypeError):  # it is damaged too, or somebody else's
            found.append((_read(path.with_name(name))["game"]["images"] / 1000, name))
    listed = " and ".join(f"{name} ({kimg:g} kimg)" for kimg, name in sorted(found, reverse=True))
    return f"; whole beside it: {listed}" if listed else ""


def _digest(file: BinaryIO, size: int) -> bytes:
    """SHA-256 of the first `size` bytes, in hexadecimal."""
    file.seek(0)
    made = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, 1 << 20))):
        made.update(block)
        size -= len(block)
    return made.hexdigest().encode()


def _check_records(file: BinaryIO, path: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            packed = any(record.compress_type != zipfile.ZIP_STORED for record in archive.infolist())
            wrong = None if packed else archive.testzip()
    except Exception as error:  # of many kinds, for bytes that make no sense
        raise ValueError(f"{path} is damaged: {error}") from error
    if packed:
        raise ValueError(f"{path} is no checkpoint: it is compressed")
    if wrong is not None:
        raise ValueError(f"{path} is damaged: the checksum of its record {wrong} is another")


def _sync_folder(folder: Path) -> None:
    """Put the names on the disk too; Windows opens no folder, and writes names by itself."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
