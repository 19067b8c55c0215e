"""Tar shards of images, in WebDataset's layout, that are read while training."""

import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .base import ImageData, ImageSize, Split, ranks
from .decoded import cache_folder, fingerprint, written
from .decoding import MODES
from .loader import Loader
from .shard_loader import Decoder, ShardLoader, samples_of
from .splits import splits_of

DECODERS = 8  # threads, of the held-out images


class Shards(ImageData):
    """Images in tar files, in the layout of WebDataset, streamed: the set need not fit into memory.

    The files of a sample lie side by side and are named KEY.EXTENSION: an image of one of the FORMATS, and KEY.cls, its
    label in digits, where there are classes. Needs the package webdataset: pip install 'gan-zoo[shards]'.

    Splits: shards (*.tar) under root/train, with root/val or root/test or both, where these folders exist. Otherwise a
    tenth of the shards, at least one, is held out. Of each held-out split `val_images` images are in memory.

    An epoch has the shards in an order drawn by (seed, epoch). It is cut into equal parts, one for each worker process
    of each rank, which reads its part, mixes it in a buffer and decodes it. So no image comes twice in an epoch, on any
    rank; less than a batch is left out, other images in each epoch. A shard that two parts share is read by both.

    With the same shards, batch_size, num_workers and number of ranks, a resumed run goes on with the same batches to
    the bit: each worker reads its part again up to where it was, and decodes nothing of that. If one of these differs,
    the rest of the epoch is left out and the next one begins.

    The images are counted once, from the heads of the files, and the counts are kept (see `zoo.datamodules.decoded`).
    Pixels are brought to size and channels as by `zoo.datamodules.ImageFolder`.

    Args:
        root: the folder.
        image_size: S, or (H, W), sides from 8 to 128.
        channels: 1 (grey), 3 (RGB, the default) or 4 (RGBA).
        num_classes: labels are below it; None reads none.
        batch_size: images a batch, per rank.
        seed: of the orders and the flips, in [0, 2**32).
        flip: mirror every training image with probability 1/2, anew each epoch.
        num_workers: processes of each rank that read and decode; 0 is the training process itself.
        shuffle_buffer: undecoded samples in the memory of each worker, out of which the next one is drawn; so the
            images should be in the shards in random order.
        val_images: images of each held-out split in memory, the first of its shards.
        value_range: of 16-bit grey images, see `zoo.datamodules.ImageFolder`; None is [0, 65535].

    Raises ValueError for any other value; at setup for a root without two shards or with too few images; when they are
    read for a sample without an image that can be decoded or, with `num_classes`, without a label.
    """

    own_channels = 3
    channel_choices = tuple(MODES)
    position: ClassVar[tuple[str, ...]] = ("epoch", "dealt", "batch_size", "num_workers", "ranks")

    def __init__(
        self, *, root: str = "data", image_size: ImageSize = 32, channels: int | None = None,
        num_classes: int | None = None, batch_size: int = 64, seed: int = 0, flip: bool = False, num_workers: int = 2,
        shuffle_buffer: int = 5000, val_images: int = 10_000, value_range: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(image_size=image_size, channels=channels, batch_size=batch_size, seed=seed, flip=flip)
        least = {
            "num_classes": (num_classes, 1),
            "num_workers": (num_workers, 0),
            "shuffle_buffer": (shuffle_buffer, 1),
        }
        for name, (value, bound) in (least | {"val_images": (val_images, 1)}).items():
            if value is not None and value < bound:
                raise ValueError(f"Shards: {name}={value} must be at least {bound}")
        if value_range is not None and not 0 <= value_range[0] < value_range[1] <= 65535:
            raise ValueError(f"Shards: value_range must be [low, high], 0 <= low < high <= 65535, got {value_range}")
        self.root = Path(root).expanduser()
        self.num_workers, self.shuffle_buffer, self.val_images = num_workers, shuffle_buffer, val_images
        self.value_range, self._num_classes = value_range, num_classes

    @property
    def num_classes(self) -> int | None:
        """As given."""
        return self._num_classes

    def prepare_data(self) -> None:
        """Count the images once a machine."""
        for shards in self._layout.values():
            counts_of(shards)

    def load(self) -> dict[str, Split]:
        """Decode images of the held-out splits; the training split is read by its loader."""
        return {split: self._first(split, self.val_images) for split in self._layout if split != "train"}

    def pick(self, split: str, n: int) -> Tensor:
        """See `DataModule.pick`; of the training split the first images, at most `val_images`.

        Raises ValueError for more of these than `val_images`.
        """
        if split != "train":
            return super().pick(split, n)
        if n > self.val_images:
            wanted = f"{n:,}" if n < sum(counts_of(self._layout["train"])) else "all"
            most = f"val_images={self.val_images} is the most"
            raise ValueError(f"Shards: {wanted} training images in memory were asked for, and {most}")
        return self._first("train", n).data

    def labels(self, split: str, n: int | None = None) -> Tensor | None:
        """See `DataModule.labels`; of the training split those of its first `val_images` images, or of `n`."""
        if split != "train":
            return super().labels(split, n)
        return self._first("train", min(n or self.val_images, self.val_images)).labels

    def _first(self, split: str, n: int) -> Split:
        with ThreadPoolExecutor(DECODERS) as pool:
            decoded = list(pool.map(self._decoder, islice(samples_of(self._layout[split]), n)))
        if not decoded:
            raise ValueError(f"Shards: there are no images in {', '.join(map(str, self._layout[split]))}")
        images, labels = zip(*decoded, strict=True)
        return Split(torch.stack(images), None if self.num_classes is None else torch.tensor(labels))

    def _loader(self, split: str, *, shuffle: bool, flip: bool = False) -> Loader:
        if split != "train":
            return super()._loader(split, shuffle=shuffle, flip=flip)
        shards = self._layout["train"]
        rank, world_size = ranks()
        try:
            return ShardLoader(
                shards, counts_of(shards), self._decoder, batch_size=self.batch_size, num_workers=self.num_workers,
                buffer=self.shuffle_buffer, shuffle=shuffle, seed=self.seed, flip=flip, rank=rank,
                world_size=world_size,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"Shards, train split: {error}") from None

    @property
    def _decoder(self) -> Decoder:
        return Decoder(self.image_shape, self.num_classes, self.value_range)

    @cached_property
    def _layout(self) -> dict[str, list[Path]]:
        """The shards of each split."""
        if find_spec("webdataset") is None:
            raise ValueError("Shards: the package webdataset is missing: pip install 'gan-zoo[shards]'")
        if not self.root.is_dir():
            raise ValueError(f"Shards: root={str(self.root)!r} is not a folder; set root")
        return {split: shards for split, (_, shards) in splits_of(self.root, _find, "Shards", "shard").items()}


def counts_of(shards: Sequence[Path]) -> list[int]:
    """The samples of each shard, from the heads of its files; kept on disk as long as no shard changes."""
    kept = cache_folder() / f"{fingerprint(shards, (), 'counts')}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    counts = [_count(shard) for shard in tqdm(shards, "Counting images", delay=1, disable=None, dynamic_ncols=True)]
    written([json.dumps(counts).encode()], kept)  # or they are counted anew the next time
    return counts


def _count(shard: Path) -> int:
    """As webdataset groups files into samples; their contents are passed over."""
    from webdataset.tariterators import group_by_keys

    try:
        with tarfile.open(shard, "r:") as members:
            heads = ({"fname": m.name, "data": b"", "__url__": str(shard)} for m in members if m.isreg())
            return sum(1 for _ in group_by_keys(heads))
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ValueError(f"Shards: {shard}: {error}") from None


def _find(folder: Path) -> list[Path]:
    shards = sorted(folder.rglob("*.tar"))
    if not shards:
        raise ValueError(f"Shards: no *.tar under {str(folder)!r}")
    return shards
