"""Shards that are streamed, beside the same images in memory: images a second, CPU time and memory over an epoch.

python -m benchmarks.streaming --images 1000000

The images are 64 JPEG files of noise under names of their own, in shards of 10,000.
"""

import argparse
import io
import os
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from zoo.datamodules import Shards, TensorLoader
from zoo.datamodules.loader import Loader

SHARD = 10_000  # images


def write(folder: Path, images: int, size: int) -> None:
    """Shards of so many images under folder/train, and one more under folder/val."""
    pixels = np.random.default_rng(0).integers(256, size=(64, size, size, 3), dtype=np.uint8)
    files = [io.BytesIO() for _ in pixels]
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file, "jpeg")
    for start in range(0, images + SHARD, SHARD):
        split = "train" if start < images else "val"
        (folder / split).mkdir(parents=True, exist_ok=True)
        with tarfile.open(folder / split / f"{start // SHARD:06}.tar", "w") as shard:
            for number in range(start, min(start + SHARD, images) if split == "train" else start + 1000):
                info = tarfile.TarInfo(f"{number:09}.jpg")
                file = files[number % len(files)]
                info.size = file.getbuffer().nbytes
                file.seek(0)
                shard.addfile(info, file)


def memory() -> float:
    """MB that this process and its workers take: of what they share, each its part."""
    here = psutil.Process()
    return sum(process.memory_full_info().pss for process in [here, *here.children()]) / 1e6


def measure(name: str, loader: Loader, batch_size: int) -> None:
    """A pass: its speed, and the memory after each tenth."""
    used: list[float] = []
    tenth = max(len(loader) // 10, 1)
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    for number, _ in enumerate(loader, 1):
        if number % tenth == 0 and number < len(loader):
            used.append(memory())
    seconds, cpu = time.perf_counter() - began, sum(os.times()[:4]) - cpu  # of workers too, which have ended
    images = len(loader) * batch_size
    print(f"{name}: {images / seconds:,.0f} images/s, {1e6 * cpu / images:.1f} us of CPU an image, memory in MB after "
          f"each tenth: {' '.join(f'{mb:.0f}' for mb in used)}", flush=True)  # fmt: skip


def main() -> None:
    """Write, count, stream, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=16, help="side of an image (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["GAN_ZOO_CACHE"] = f"{place}/cache"
        write(Path(place), chosen.images, chosen.size)
        size = sum(path.stat().st_size for path in Path(place).rglob("*.tar"))
        data = Shards(
            root=place,
            image_size=chosen.size,
            batch_size=chosen.batch_size,
            num_workers=chosen.workers,
            val_images=1000,
        )
        began = time.perf_counter()
        data.prepare_data()
        print(f"{chosen.images:,} images of {chosen.size} pixels, {size / 1e6:,.0f} MB of shards, counted in "
              f"{time.perf_counter() - began:.0f} s; before the epoch {memory():.0f} MB", flush=True)  # fmt: skip
        data.setup()
        measure(f"shards, {chosen.workers} workers", data.train_dataloader(), chosen.batch_size)
    images = torch.zeros(chosen.images, 3, chosen.size, chosen.size, dtype=torch.uint8)
    images.random_(256)
    loader = TensorLoader(images, batch_size=chosen.batch_size, shuffle=True)
    measure("in memory", loader, chosen.batch_size)


if __name__ == "__main__":
    main()
