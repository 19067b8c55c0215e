"""One image of any format and mode, brought to a shape."""

from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
PILLOW = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")  # of what these may hold; others, as EPS, start programs
MOST_PIXELS = 1 << 26  # an image may have: 8,192 x 8,192
_LARGE = 1 << 24  # pixels, from which on images are decoded one at a time

_alone = Lock()


def read_image(
    file: Path | BinaryIO, image_shape: tuple[int, ...], value_range: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], int | None]:
    """The pixels (H, W, C), for image_shape (C, H, W), and the brightest value of an image of 16 bits; else None.

    `value_range`: see `zoo.datamodules.ImageFolder`. A broken file makes Pillow raise almost anything.
    """
    channels, height, width = image_shape
    brightest = None
    if isinstance(file, Path) and not file.is_file():  # a pipe would be waited for
        raise ValueError("it is no regular file")
    with Image.open(file, formats=PILLOW) as image:
        pixels = image.width * image.height
        if pixels > MOST_PIXELS:
            raise ValueError(f"{pixels:,} pixels, more than {MOST_PIXELS:,}")
        with _alone if pixels > _LARGE else nullcontext():
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I"):
                brightest = int(np.asarray(upright).max())
                upright = _from_16_bits(upright, value_range or (0, 65535))
            part = _fit(_convert(upright, MODES[channels]), height, width)
    return np.asarray(part).reshape(height, width, channels), brightest


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Bring an image of any mode to "L", "RGB" or "RGBA"."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    if mode == "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert(mode)


def _from_16_bits(image: Image.Image, value_range: tuple[int, int]) -> Image.Image:
    levels, (low, high) = np.asarray(image), value_range
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError("pixels of 32 bits have no known range")
    return Image.fromarray(np.rint(255 * ((levels - float(low)) / (high - low)).clip(0, 1)).astype(np.uint8))


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """The largest central part with these proportions, in whole pixels, at this size."""
    across, down = min(image.width, image.height * width // height), min(image.height, image.width * height // width)
    across, down = max(across, 1), max(down, 1)
    left, top = (image.width - across) // 2, (image.height - down) // 2
    return image.resize((width, height), Image.Resampling.BICUBIC, box=(left, top, left + across, top + down))
