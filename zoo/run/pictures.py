"""From tensors to pictures: the one place where samples become pixels."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from zoo.metrics.features.base import on_white
from zoo.run.files import put
from zoo.run.records import read_picture

GRIDS = (".png", ".jpg", ".jpeg", ".webp")  # what a picture can be saved as

_LEGIBLE = 32  # pixels: smaller images are enlarged to at least this
_COLUMNS = 32  # at most, of a grid with a column for each class
_GAP = 2  # white pixels between images
_EXTENT = 3.0  # a picture of points shows [-3, 3] x [-3, 3]
_CELLS, _CELL = 128, 3  # a picture of points has 128 x 128 cells of 3 x 3 pixels


def to_uint8(x: Tensor) -> Tensor:
    """Values in [-1, 1] to the nearest of 0..255; what lies outside is clipped. Keeps the shape.

    Raises:
        ValueError: a value is NaN.
    """
    if torch.isnan(x).any():
        raise ValueError("to_uint8: the tensor has NaN values, which have no colour")
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def picture(
    samples: Tensor, columns: int | None = None, data: Tensor | None = None, landscape: Tensor | None = None
) -> np.ndarray:
    """One picture of all samples, uint8 (height, width, 3).

    Images become a grid on white, filled row by row. Those whose shorter side is below 32 pixels
    are enlarged by a whole factor, without smoothing. One channel is grey, two are red and green,
    three are RGB, four RGBA, laid on white; of more, the first three are shown.

    Points become a density on white: the more points in a cell, the darker, on a log scale that
    ends at the fullest cell. It always shows [-3, 3] x [-3, 3], so that the pictures of a run can
    be compared, and says how many points lie outside. With `data` the points are blue, over those of
    the data in grey; with `landscape` the ground is the darker yellow, the higher the value ranks.

    Args:
        samples: images (N, C, H, W) in [-1, 1], or points (N, 2); N >= 1.
        columns: images per row; None makes the grid about as many images wide as high.
        data: points (M, 2) of the data, where the samples are points.
        landscape: a value at each of the :func:`cells`, as D's score; used with `data`.

    Raises:
        ValueError: another shape, no samples, NaN values, or `columns` < 1 or given for points.
    """
    samples = samples.detach().cpu()
    if samples.ndim not in (2, 4) or (samples.ndim == 2 and samples.shape[1] != 2):
        raise ValueError(f"picture: needs (N, C, H, W) or (N, 2), got {tuple(samples.shape)}")
    if samples.numel() == 0:
        raise ValueError("picture: there is nothing in it to show")
    if samples.ndim == 2:
        if columns is not None:
            raise ValueError("picture: points have no columns; leave `columns` out")
        return _scatter(samples, data, landscape)
    columns = math.ceil(math.sqrt(len(samples))) if columns is None else columns
    if columns < 1:
        raise ValueError(f"picture: columns must be at least 1, got {columns}")
    return _grid(_rgb(to_uint8(on_white(samples))), columns)


def cells() -> Tensor:
    """The centres of a picture's cells, (16384, 2), row by row from the upper left corner."""
    x = (torch.arange(_CELLS) + 0.5) * 2 * _EXTENT / _CELLS - _EXTENT
    return torch.stack([x.repeat(_CELLS), (-x).repeat_interleave(_CELLS)], dim=1)


def class_grid(n: int, num_classes: int | None) -> tuple[int, int | None]:
    """How many of `n` samples with classes in turn make whole rows, and the columns, each of which has one class.

    Few classes have several columns, for a grid about as wide as high. All `n`, and None for the columns, where there
    are no classes, more than `n`, or more than 32.
    """
    if num_classes is None or num_classes > min(n, _COLUMNS):
        return n, None
    columns = num_classes * max(1, round(math.sqrt(n) / num_classes))
    return n - n % columns, columns


def save_picture(samples: Tensor, path: str | Path, columns: int | None = None) -> Path:
    """Write the :func:`picture`, making its folder if need be; returns where it is. A JPEG loses detail, the rest none.

    Raises:
        ValueError: as for :func:`picture`, `path` ends in none of .png, .jpg, .jpeg and .webp, or the picture has more
            pixels on a side than the format can have.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in GRIDS:
        raise ValueError(f"save_picture: the name must end in {', '.join(GRIDS)}; got {path}")
    drawn = picture(samples, columns)
    limit = {".png": 2**31 - 1, ".webp": 16_383}.get(suffix, 65_535)
    if max(drawn.shape) > limit:
        raise ValueError(
            f"{path}: {suffix} has at most {limit} pixels a side, not {max(drawn.shape)}; save fewer, or a .png"
        )
    options = {".png": {}, ".webp": {"lossless": True}}.get(suffix, {"quality": 95})
    return write_image(drawn, path, **options)


def write_image(image: np.ndarray, path: Path, **options: Any) -> Path:
    """Write an image (H, W, 3), uint8, with Pillow's options, making its folder if need be; returns where it is."""
    memory = BytesIO()
    Image.fromarray(image).save(memory, Image.registered_extensions()[path.suffix.lower()], **options)
    put(memory.getbuffer(), path)
    return path


def is_picture(path: Path) -> bool:
    """Whether :func:`zoo.run.records.read_picture` reads it."""
    try:
        read_picture(path)
    except ValueError:
        return False
    return True


def show(samples: Tensor, path: str | Path | None = None, columns: int | None = None) -> Image.Image:
    """The :func:`picture` as a PIL image, which a notebook displays; with `path` it is saved there, too.

    Raises:
        ValueError: as for :func:`save_picture`.
    """
    if path is not None:
        save_picture(samples, path, columns)
    return Image.fromarray(picture(samples, columns))


def _rgb(images: Tensor) -> np.ndarray:
    """(N, C, H, W) to (N, H, W, 3)."""
    n, channels, height, width = images.shape
    if channels == 1:
        images = images.expand(n, 3, height, width)
    elif channels == 2:
        images = torch.cat([images, images.new_zeros(n, 1, height, width)], dim=1)
    return images[:, :3].permute(0, 2, 3, 1).numpy()


def _grid(images: np.ndarray, columns: int) -> np.ndarray:
    """(N, H, W, 3) to one picture."""
    factor = math.ceil(_LEGIBLE / min(images.shape[1:3]))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    n, height, width, _ = images.shape
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, height + _GAP, width + _GAP, 3), 255, np.uint8)
    cells[:n, :height, :width] = images
    table = cells.reshape(rows, columns, height + _GAP, width + _GAP, 3).swapaxes(1, 2)
    return table.reshape(rows * (height + _GAP), columns * (width + _GAP), 3)[:-_GAP, :-_GAP]


def _scatter(points: Tensor, data: Tensor | None, landscape: Tensor | None) -> np.ndarray:
    """(N, 2) to one picture: x to the right, y upwards."""
    if torch.isnan(points).any():
        raise ValueError("picture: the points have NaN values, which have no place")
    density, outside = _density(points)
    if data is None:
        colours = _shade(density, (190, 190, 190), (0, 0, 0))
    else:
        among = _density(data)[0]
        colours = _shade(among, (225, 225, 225), (165, 165, 165))
        if landscape is not None:
            rank = landscape.argsort().argsort().double().numpy().reshape(_CELLS, _CELLS) / (_CELLS**2 - 1)
            colours = np.where((among > 0)[..., None], colours, _shade(rank, (255, 255, 255), (255, 205, 90)))
        colours = np.where((density > 0)[..., None], _shade(density, (120, 175, 235), (0, 60, 160)), colours)
    pixels = colours.astype(np.uint8).repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    if not outside:
        return pixels
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).text((6, 4), f"{outside} of {len(points)} outside", fill=(200, 0, 0))
    return np.asarray(image)


def _density(points: Tensor) -> tuple[np.ndarray, int]:
    """Of each cell, on a log scale with 1 for the fullest; and how many points are in none."""
    x, y = points.detach().cpu().double().numpy().T
    extent = (-_EXTENT, _EXTENT)
    counts, _, _ = np.histogram2d(-y, x, bins=_CELLS, range=(extent, extent))
    return np.log1p(counts) / max(np.log1p(counts).max(), 1.0), len(points) - int(counts.sum())


def _shade(density: np.ndarray, pale: tuple[int, int, int], dark: tuple[int, int, int]) -> np.ndarray:
    """Colours (H, W, 3): white where there is nothing, else from pale to dark."""
    colours = np.array(pale) + density[..., None] * (np.array(dark) - np.array(pale))
    return np.where(density[..., None] > 0, colours, 255)
