"""Samples as files: one picture, a folder of pictures, or an array, written part by part."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.run.files import part_of
from zoo.run.pictures import GRIDS, save_picture, to_uint8

ARRAYS = (".npz", ".npy")


def kind_of(output: str) -> str:
    """What a name asks for: "grid", "array", or "folder" for a name that ends in "/", has no suffix or is a folder.

    Raises:
        ValueError: another suffix.
    """
    path = Path(output)
    suffix = path.suffix.lower()
    if output.endswith(("/", os.sep)) or path.is_dir() or not suffix:
        return "folder"
    if suffix in GRIDS or suffix in ARRAYS:
        return "grid" if suffix in GRIDS else "array"
    raise ValueError(
        f"{output}: {suffix} is not known; use {', '.join(GRIDS)} for a grid, {' or '.join(ARRAYS)} for an array, "
        f"or a name without a suffix for a folder of PNGs"
    )


def write_samples(
    parts: Iterable[Tensor], n: int, output: str, *, columns: int | None = None, labels: Tensor | None = None
) -> Path:
    """Write `n` samples that come in parts; returns where they are.

    A grid is :func:`zoo.run.pictures.picture`. A folder has an image a file, 000000.png and on, in its own size; 1
    channel is grey, 3 are RGB. An array is uint8 (N, H, W, C), or float32 (N, 2) for points; an .npz has it as
    `arr_0`, and the labels (N,), int64, as `arr_1`.

    Args:
        parts: images (n, C, H, W) in [-1, 1] or points (n, 2), `n` in all.
        n: how many.
        output: see :func:`kind_of`.
        columns: of a grid.
        labels: of conditional samples; only an .npz keeps them.

    Raises:
        ValueError: an unknown suffix, NaN values, a folder that is not empty, or images that its format cannot hold.
    """
    kind, path = kind_of(output), Path(output)
    if kind == "grid":
        return save_picture(torch.cat(list(parts)), path, columns)
    if kind == "folder":
        return _write_folder(parts, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = part_of(path)
    try:
        with unfinished.open("wb") as file:
            if path.suffix.lower() == ".npy":
                _write_array(file, map(_array, parts), n)
            else:
                _write_npz(file, parts, n, labels)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _write_folder(parts: Iterable[Tensor], folder: Path) -> Path:
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; choose another folder")
    count = 0
    for part in parts:
        if part.ndim != 4 or part.shape[1] not in (1, 3, 4):
            shape = tuple(part.shape[1:])
            raise ValueError(
                f"{folder}: a folder holds grey, RGB and RGBA images, not samples {shape}; use .npz or .npy"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for image in _array(part):
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(folder / f"{count:06d}.png")
            count += 1
    return folder


def _write_npz(file: IO[bytes], parts: Iterable[Tensor], n: int, labels: Tensor | None) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("arr_0.npy", "w", force_zip64=True) as entry:
            _write_array(entry, map(_array, parts), n)
        if labels is not None:
            with archive.open("arr_1.npy", "w") as entry:
                _write_array(entry, iter([labels.cpu().numpy()]), n)


def _write_array(file: IO[bytes], parts: Iterator[np.ndarray], n: int) -> None:
    """In NumPy's format, of parts with `n` rows together."""
    for i, part in enumerate(parts):
        if i == 0:
            described = {"descr": part.dtype.str, "fortran_order": False, "shape": (n, *part.shape[1:])}
            np.lib.format.write_array_header_1_0(file, described)
        file.write(part.tobytes())


def _array(part: Tensor) -> np.ndarray:
    """Points (n, 2) as float32; images (n, C, H, W) as uint8 (n, H, W, C)."""
    part = part.detach().cpu()
    return part.float().numpy() if part.ndim == 2 else to_uint8(part).permute(0, 2, 3, 1).contiguous().numpy()
