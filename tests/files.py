"""Files of images: folders, and the format of MNIST."""

import struct

import numpy as np
from PIL import Image

from zoo.datamodules import ImageFolder

RED, GREY = (200, 30, 10), 120


def save(path, mode="RGB", colour=RED, size=(16, 16), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def fill(folder, n, start=0):
    """Save n flat grey images; their grey level is start, start + 1, ..."""
    for i in range(start, start + n):
        save(folder / f"{i:03}.png", "L", i)


def loaded(root, **options):
    data = ImageFolder(root=str(root), **options)
    data.setup()
    return data


def greys(split):
    return split.data[:, 0, 0, 0].tolist()


def write_idx(root, name="MNIST", train=20, test=7):
    """Write the four files of the MNIST family; pixel (r, c) of image i is (i + 28 r + c) % 256."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for split, n in (("train", train), ("t10k", test)):
        pixels = (np.arange(n)[:, None] + np.arange(784)) % 256
        images = struct.pack(">IIII", 0x803, n, 28, 28) + pixels.astype(np.uint8).tobytes()
        labels = struct.pack(">II", 0x801, n) + (np.arange(n) % 10).astype(np.uint8).tobytes()
        (raw / f"{split}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(labels)
