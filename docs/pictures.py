"""Draw the pictures that README shows: the catalogue's samples, and the film of mode collapse on the ring.

python docs/pictures.py [catalogue] [collapse]      the film takes some minutes
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import zoo
from zoo.callbacks.samples import landscape
from zoo.hub import catalogue
from zoo.lab._games import fit
from zoo.lab._ring import METHODS, start
from zoo.metrics import mode_coverage
from zoo.run.films import save_film, titled
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


def film(method: str, name: str, frames: int = 20) -> list[np.ndarray]:
    """Samples of a game on the ring, seed 0, over D's scores; the frames lie closer together at the start."""
    gan, data = start(method, 0)
    batches = METHODS[method][0]
    looks = {round(batches * (frame / frames) ** 2) for frame in range(1, frames + 1)}
    shown: list[np.ndarray] = []

    def look(batch: int) -> None:
        if batch in looks:
            points = data.splits["train"].data[:2500]
            samples = gan.sample(2500, seed=0)
            modes = mode_coverage(samples, data.centres, data.sigma).populated
            image = picture(samples, data=points, landscape=landscape(gan))
            shown.append(titled(image, f"{name}, batch {batch:,}: {modes} of 8 modes"))

    fit(gan, data, batches, look)
    return shown


def collapse() -> list[np.ndarray]:
    """The plain game, unrolling, and R3GAN's loss with R1 and R2, side by side."""
    games = {"nsgan": "non-saturating", "unrolled_5": "unrolled, K = 5", "rpgan_r1_r2": "RpGAN + R1 + R2"}
    films = [film(method, name) for method, name in games.items()]
    return [np.concatenate(parts, axis=1) for parts in zip(*films, strict=True)]


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["catalogue", "collapse"]
    if "catalogue" in wanted:
        rows("fashion_mnist").save(FOLDER / "catalogue-fashion_mnist.png")
    if "collapse" in wanted:
        save_film(collapse(), FOLDER / "mode-collapse.webp", fps=4, hold=True)
