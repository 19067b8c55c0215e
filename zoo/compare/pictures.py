"""Sample grids as part of a page."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

PAGE = 6_000_000  # bytes of all pictures of a page
_SIDES = (1024, 540, 384, 270, 192, 128)  # pixels


class Embedded(NamedTuple):
    """A picture as the value of `src`."""

    src: str
    width: int
    height: int
    reduced: bool


def embed(path: Path, most: int) -> Embedded:
    """A picture as a PNG in a data URI, at most about `most` bytes: smaller if it must be, never below 128 pixels.

    Raises:
        ValueError: it cannot be read as a picture.
    """
    from PIL import Image, ImageChops, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    red, green, blue = image.split()
    grey = not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox())
    whole = red if grey else image
    for side in _SIDES:
        part = whole.copy()
        part.thumbnail((side, side), Image.Resampling.LANCZOS)
        file_like = BytesIO()
        part.save(file_like, "PNG")
        if file_like.tell() <= most:
            break
    told = base64.b64encode(file_like.getvalue()).decode()
    return Embedded(f"data:image/png;base64,{told}", *part.size, reduced=part.size != whole.size)
