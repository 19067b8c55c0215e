"""Of data: image folders, half-downloaded sets, caches."""

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from tests.corpus import Case, Content, fit, zoo

FOLDER = "evaluate {gan} --data=ImageFolder --data.root=images --data.image_size=8 --data.channels=1 --metrics is"


def picture(
    mode: str = "L", size: tuple[int, int] = (8, 8), colour: Any = 100, format: str = "PNG", **more: Any
) -> bytes:
    file = BytesIO()
    Image.new(mode, size, colour).save(file, format, **more)
    return file.getvalue()


def some(n: int, **others: Content) -> dict[str, Content]:
    """A folder of so many good images, and others."""
    return {**{f"images/{i}.png": picture(colour=i) for i in range(n)}, **others}


def png(width: int, height: int, data: bytes, *before: tuple[bytes, bytes]) -> bytes:
    """A grey PNG that says it has this size, and has these bytes for pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    middle = b"".join(chunk(*part) for part in before)
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def array(values: np.ndarray, format: str = "TIFF") -> bytes:
    file = BytesIO()
    Image.fromarray(values).save(file, format)
    return file.getvalue()


TEXT_BOMB = (b"zTXt", b"note\0\0" + zlib.compress(bytes(100 << 20)))
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(pwned) (w) file closefile\n"
GOOD = picture()


def broken(name: str, content: Content, *words: str) -> Case:
    return zoo(FOLDER, "1 of", "images cannot be read", name, *words, files={**some(4), f"images/{name}": content})


def idx(n: int, side: int = 28, labels: int | None = None, top: int = 9) -> dict[str, Content]:
    """The four files of MNIST, with `n` images and as many labels, up to `top`."""
    pixels = struct.pack(">IIII", 0x803, n, side, side) + bytes(n * side * side)
    count = n if labels is None else labels
    numbers = struct.pack(">II", 0x801, count) + bytes(k % (top + 1) for k in range(count))
    names = [f"data/MNIST/raw/{split}-" for split in ("train", "t10k")]
    return {f"{name}images-idx3-ubyte": pixels for name in names} | {
        f"{name}labels-idx1-ubyte": numbers for name in names
    }


def mnist(files: Mapping[str, Content], *words: str) -> Case:
    return zoo("evaluate {gan} --data=MNIST --data.root=data --data.image_size=8", "MNIST", *words, files=files)


CASES = [
    zoo(FOLDER, "ImageFolder", "root='images'", "not a folder"),
    zoo(FOLDER, "ImageFolder", "no images", ".png", files={"images": None}),
    zoo(FOLDER, "ImageFolder", "root='images'", "not a folder", files={"images": "a file"}),
    zoo(FOLDER, "no images", files={"images/readme.txt": "none"}),
    zoo(FOLDER, "no images", "val", files={"images/train/a.png": GOOD, "images/val": None}),
    zoo(FOLDER, "'c'", "no class", files={f"images/{p}/1.png": GOOD for p in ("train/a", "train/b", "val/c")}),
    zoo(FOLDER.replace("=8", "=7"), "ImageFolder", "image_size=7", files=some(4)),
    zoo(FOLDER.replace("channels=1", "channels=2"), "ImageFolder", "channels=2", files=some(4)),
    zoo(FOLDER.replace("channels=1", "channels=3"), "(1, 8, 8)", "(3, 8, 8)", files=some(4)),
    broken("empty.png", b""),
    broken("text.png", "not an image"),
    broken("cut.png", GOOD[: len(GOOD) // 2]),
    broken("cut.jpg", picture("RGB", (64, 64), "red", "JPEG")[:300]),
    broken("flipped.png", GOOD[:40] + bytes([GOOD[40] ^ 255]) + GOOD[41:]),
    broken("head.gif", b"GIF89a"),
    broken("cut.bmp", picture(format="BMP")[:60]),
    broken("cut.webp", picture("RGB", colour="red", format="WEBP")[:20]),
    broken("cut.tif", picture(format="TIFF")[:20]),
    broken("float.tif", array(np.full((8, 8), 0.5, np.float32)), "no known range"),
    broken("wide.tif", array(np.full((8, 8), 70_000, np.int32)), "no known range"),
    broken("eps.png", EPS, "cannot identify"),
    broken("bomb.png", png(30_000, 30_000, bytes(1000)), "pixels"),
    broken("beyond.png", png(2**31 - 1, 2**31 - 1, b"\0"), "pixels"),
    broken("large.png", png(9_000, 9_000, bytes(1000)), "81,000,000 pixels", "67,108,864"),
    broken("note.png", png(8, 8, bytes(72), TEXT_BOMB), "too large"),
    broken("ünï çödé 画像 %20.png", b"no"),
    broken("folder.png/1.png", b"no"),
    broken("nowhere.png", lambda path: path.symlink_to("/nowhere.png"), "no regular file"),
    broken("loop.png", lambda path: path.symlink_to(path.name), "no regular file"),
    fit("--data=ImageFolder --data.root=images --data.image_size=8", "root='images'", "not a folder"),
    Case(fit("--data=ImageFolder --data.root=images --data.batch_size=99").argv, ("train split", "99"), some(4)),
    mnist({}, "files missing", "MNIST/raw"),
    mnist({"data": "a file"}, "root='data'"),
    mnist(dict(list(idx(9).items())[:3]), "files missing"),
    mnist({**idx(9), "data/MNIST/raw/train-images-idx3-ubyte": b"\0\0\x08\x03\0\0"}, "files missing or broken"),
    mnist({**idx(9), "data/MNIST/raw/t10k-images-idx3-ubyte": struct.pack(">IIII", 0x803, 2**31, 28, 28)}, "broken"),
    mnist(idx(9, labels=8), "broken files", "(9, 28, 28)", "(8,)"),
    mnist(idx(9, side=27), "broken files", "(9, 27, 27)"),
    mnist(idx(20, top=12), "broken files"),
    zoo("evaluate {gan} --data=CIFAR10 --data.root=data --data.image_size=8 --data.channels=1", "CIFAR10",
        "no download", files={f"data/cifar-10-batches-py/{name}": b"cos\nsystem\n(S'touch pwned'\ntR."
               for name in ("data_batch_1", "test_batch", "batches.meta")}),
]  # fmt: skip

FINE = {  # of every kind, in one folder
    "images/grey.png": GOOD,
    "images/colour.png": picture("RGB", (20, 9), "red"),
    "images/alpha.png": picture("RGBA", colour=(9, 9, 9, 9)),
    "images/grey alpha.png": picture("LA", colour=(9, 9)),
    "images/bits.png": picture("1", colour=1),
    "images/deep.png": array(np.full((8, 8), 40_000, np.uint16), "PNG"),
    "images/deep.tif": array(np.full((8, 8), 40_000, np.uint16)),
    "images/ink.jpg": picture("CMYK", (16, 16), (0, 99, 99, 0), "JPEG"),
    "images/palette.png": picture("P", colour=3),
    "images/moving.gif": picture("P", colour=3, format="GIF", save_all=True, append_images=[Image.new("P", (8, 8), 5)]),
    "images/moving.webp": picture("RGB", format="WEBP", colour="red", save_all=True,
                                  append_images=[Image.new("RGB", (8, 8), "blue")]),
    "images/long.png": picture(size=(5000, 8)),
    "images/dot.png": picture(size=(1, 1)),
    "images/20 megapixels.png": picture(size=(5000, 4000)),
    "images/ünï çödé/画像 %20\n.PNG": GOOD,
    "images/" + "x" * 200 + ".jpeg": picture(format="JPEG"),
}  # fmt: skip
