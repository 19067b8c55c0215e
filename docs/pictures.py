"""Draw the pictures that README shows of the catalogue. `python docs/pictures.py`."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import zoo
from zoo.hub import catalogue
from zoo.run.pictures import picture

FOLDER = Path(__file__).parent / "images"
COLUMNS, MARGIN, FONT = 16, 130, 16


def rows(dataset: str) -> Image.Image:
    """A row of samples, seed 0, from every published GAN of a data set, its variant's name beside it."""
    names = [name for name in catalogue.names() if name.endswith(f"-{dataset}")]
    strips = [picture(zoo.from_pretrained(name).sample(COLUMNS, seed=0), columns=COLUMNS) for name in names]
    height, width, _ = strips[0].shape
    sheet = np.full((len(names) * (height + 2), MARGIN + width, 3), 255, np.uint8)
    for i, strip in enumerate(strips):
        sheet[i * (height + 2) : i * (height + 2) + height, MARGIN:] = strip
    image = Image.fromarray(sheet)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(FONT)
    for i, name in enumerate(names):
        draw.text((4, i * (height + 2) + (height - FONT) / 2), name.removesuffix(f"-{dataset}"), "black", font)
    return image


if __name__ == "__main__":
    rows("fashion_mnist").save(FOLDER / "catalogue-fashion_mnist.png")
