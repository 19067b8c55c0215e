"""Any folder of images, each decoded once."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from .base import CHUNK, ImageData, ImageSize, Split
from .decoded import remembered
from .decoding import FORMATS, MODES, read_image
from .splits import splits_of

DECODERS = 8  # threads


class ImageFolder(ImageData):
    """Images of the formats in FORMATS (of an animation: its first frame) at any depth under root.

    Splits: root/train, with root/val or root/test or both, where these folders exist. Otherwise a
    tenth of the images, at least one, is held out: those whose path under root has the smallest
    SHA-256, so that neither `seed` nor, for the most part, an added image changes who they are.

    Classes: the first-level subfolders, sorted by name, when they are two or more and every image
    of the training split lies in one. Otherwise the set is unlabelled: its batches are (x,).
    A root with one subfolder and no image beside it stands for that subfolder. Names that begin
    with a dot are passed over.

    Pixels: turned as EXIF says, 16-bit grey scaled to 8 by `value_range`, palettes, CMYK and the like converted;
    then the largest central part of `image_size`'s proportions, a square or not, resized by an antialiased bicubic
    filter. With channels 1 or 3, transparent images are laid on white. Images of more than 2^26 pixels are refused.

    The pixels are kept on disk (see `zoo.datamodules.decoded`), N C H W bytes a split, and mapped from there, the next
    time too as long as no image changes: a set need not fit into memory.

    Args:
        root: the folder.
        image_size: S, or (H, W), sides from 8 to 128.
        channels: 1 (grey), 3 (RGB, the default) or 4 (RGBA, alpha in [-1, 1] like the rest).
        batch_size: images a batch, per rank.
        seed: of the shuffling and the flips, in [0, 2**32).
        flip: mirror every training image with probability 1/2, anew each epoch.
        cache: false decodes anew in every process, into memory, and leaves nothing on disk.
        value_range: the values of black and of white in 16-bit grey images, as [0, 4095] for scans of 12 bits; what
            lies beyond is clipped. None is [0, 65535], and refuses a split whose brightest value is below 16384.
        skip_broken: leave out images that cannot be read, with one warning; false refuses them by name.

    Raises ValueError for any other value, and at setup (or when `num_classes` is read) for a root
    that is no folder, a split without images, and a class in a held-out split that training lacks;
    at setup for images that cannot be read.
    """

    own_channels = 3
    channel_choices = tuple(MODES)

    def __init__(
        self, *, root: str = "data", image_size: ImageSize = 32, channels: int | None = None, batch_size: int = 64,
        seed: int = 0, flip: bool = False, cache: bool = True, skip_broken: bool = False,
        value_range: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        if value_range is not None and not 0 <= value_range[0] < value_range[1] <= 65535:
            raise ValueError(
                f"ImageFolder: value_range must be [low, high], 0 <= low < high <= 65535, got {value_range}"
            )
        super().__init__(image_size=image_size, channels=channels, batch_size=batch_size, seed=seed, flip=flip)
        self.root = Path(root).expanduser()
        self.cache, self.skip_broken, self.value_range = cache, skip_broken, value_range

    def prepare_data(self) -> None:
        """Decode once a machine, before the other ranks map what was kept."""
        if self.cache:
            self.splits = self.splits or self.load()

    @property
    def num_classes(self) -> int | None:
        """The number of class folders, or None when unlabelled. Lists root, reads no image."""
        return len(self.classes) or None

    @cached_property
    def classes(self) -> list[str]:
        """Names of the class folders; a label is an index into it. Empty when unlabelled."""
        folder, paths = self._layout["train"]
        parts = [path.relative_to(folder).parts for path in paths]
        names = sorted({part[0] for part in parts})
        return names if len(names) > 1 and all(len(part) > 1 for part in parts) else []

    def load(self) -> dict[str, Split]:
        """Decode every image, or map what was decoded before."""
        if self.skip_broken:
            self._leave_out(self._decoded()[1])
        labels = {split: self._labels(split) for split in self._layout}
        pixels, broken = self._decoded()
        if broken:
            raise BrokenImagesError(broken, sum(len(paths) for _, paths in self._layout.values()))
        return {split: Split(pixels[split], labels[split]) for split in self._layout}

    def _decoded(self) -> tuple[dict[str, Tensor], dict[Path, str]]:
        """The images of each split that is whole, and the causes of those that cannot be read."""
        pixels: dict[str, Tensor] = {}
        broken: dict[Path, str] = {}
        for split, (_, paths) in self._layout.items():
            try:
                pixels[split] = self._pixels(paths)
            except BrokenImagesError as error:
                broken |= error.causes
        return pixels, broken

    def _pixels(self, paths: Sequence[Path]) -> Tensor:
        if not self.cache:
            return decode(paths, self.image_shape, self.value_range)
        parts = partial(decode_parts, paths, self.image_shape, self.value_range)
        return remembered(paths, self.image_shape, parts, self.value_range)

    def _leave_out(self, broken: Mapping[Path, str]) -> None:
        if not broken:
            return
        what = "1 image that cannot be read is" if len(broken) == 1 else f"{len(broken)} images that cannot be read are"
        warnings.warn(
            f"ImageFolder: {what} left out: {listed(broken)}; "
            "every run decodes all images again until these are removed",
            stacklevel=2,
        )
        for split, (folder, paths) in self._layout.items():
            kept = [path for path in paths if path not in broken]
            if not kept:
                raise ValueError(f"ImageFolder: no image of the {split} split under {str(folder)!r} can be read")
            self._layout[split] = folder, kept

    @cached_property
    def _layout(self) -> dict[str, tuple[Path, list[Path]]]:
        """For each split, the folder its paths start from and its images."""
        if not self.root.is_dir():
            raise ValueError(f"ImageFolder: root={str(self.root)!r} is not a folder; set root")
        return splits_of(_unwrap(self.root), find_images, "ImageFolder", "image")

    def _labels(self, split: str) -> Tensor | None:
        if not self.classes:
            return None
        folder, paths = self._layout[split]
        index = {name: label for label, name in enumerate(self.classes)}
        names = [path.relative_to(folder).parts[0] for path in paths]
        for name in names:
            if name not in index:
                raise ValueError(
                    f"ImageFolder: {name!r} in {str(folder)!r} is no class of the training split; "
                    f"its classes are {self.classes}"
                )
        return torch.tensor([index[name] for name in names])


class BrokenImagesError(ValueError):
    """Of so many images these cannot be read, each with its cause."""

    def __init__(self, causes: Mapping[Path, str], total: int) -> None:
        self.causes = dict(causes)
        super().__init__(
            f"ImageFolder: {len(causes)} of {total} images cannot be read: {listed(causes)} (the first: "
            f"{causes[min(causes)]}); repair or remove them, or leave them out with --data.skip_broken true"
        )


def listed(paths: Iterable[Path]) -> str:
    """The first ten of these, in order, and how many more there are."""
    names = [repr(str(path)) for path in sorted(paths)]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more


def find_images(folder: Path) -> list[Path]:
    """Return the images at any depth under folder, sorted; raise ValueError if there are none.

    Links are followed, and each folder is entered once. One that cannot be read is refused.
    """
    found: list[Path] = []
    entered = {_identity(folder)}
    for parent, subfolders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        inside = {_identity(Path(parent, name)): name for name in sorted(subfolders, reverse=True) if name[0] != "."}
        subfolders[:] = [name for identity, name in inside.items() if identity not in entered]
        entered |= set(inside)
        found += [Path(parent, name) for name in names if _is_image(name)]
    if not found:
        raise ValueError(f"ImageFolder: no images under {str(folder)!r}; the formats are {', '.join(FORMATS)}")
    return sorted(found)


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _refuse(error: OSError) -> None:
    raise ValueError(f"ImageFolder: {error.filename!r} cannot be read: {error.strerror}")


def decode(paths: Sequence[Path], image_shape: tuple[int, ...], value_range: tuple[int, int] | None = None) -> Tensor:
    """Read images into one uint8 tensor (N, *image_shape), image_shape being (C, H, W); see `decode_parts`."""
    images = torch.empty((len(paths), *image_shape), dtype=torch.uint8)
    done = 0
    for part in decode_parts(paths, image_shape, value_range):
        images[done : done + len(part)] = part
        done += len(part)
    return images


def decode_parts(
    paths: Sequence[Path], image_shape: tuple[int, ...], value_range: tuple[int, int] | None = None
) -> Iterator[Tensor]:
    """Read images, CHUNK at a time: uint8 tensors (n, *image_shape), image_shape being (C, H, W).

    `value_range`: see ImageFolder. Raises, after the last image, BrokenImagesError, a ValueError that names ten of the
    images that cannot be read, and why the first cannot.
    """
    brightest: list[int] = []  # of each image of 16 bits
    failures: dict[Path, str] = {}
    hidden = True if getattr(rank_zero_only, "rank", 0) else None  # None: hidden where stderr is no terminal
    bar = tqdm(desc="Decoding images", total=len(paths), delay=1, disable=hidden, dynamic_ncols=True)
    with bar, ThreadPoolExecutor(DECODERS) as pool:
        for start in range(0, len(paths), CHUNK):
            chosen = paths[start : start + CHUNK]
            images = np.empty((len(chosen), *image_shape), dtype=np.uint8)
            reading = partial(_read_into, images, chosen, image_shape, value_range, brightest)
            for path, why in zip(chosen, pool.map(reading, range(len(chosen))), strict=True):
                failures |= {path: why} if why else {}
                bar.update()
            yield torch.from_numpy(images)
    if failures:
        raise BrokenImagesError(failures, len(paths))
    top = max(brightest, default=65535)
    if value_range is None and top < 16384:
        raise ValueError(
            f"ImageFolder: the 16-bit images of {str(paths[0].parent)!r} have values up to {top} of 65535 and would be "
            f"nearly black; set value_range, as [0, {2 ** (top.bit_length() or 1) - 1}], or [0, 65535] to have them so"
        )


def _read_into(
    images: NDArray[np.uint8], paths: Sequence[Path], image_shape: tuple[int, ...],
    value_range: tuple[int, int] | None, brightest: list[int], index: int,
) -> str | None:  # fmt: skip
    """Read an image into its row; why it cannot be read, if so."""
    try:
        pixels, most = read_image(paths[index], image_shape, value_range)
        images[index] = pixels.transpose(2, 0, 1)
        brightest += [] if most is None else [most]
    except Exception as error:  # a broken file makes Pillow raise almost anything
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _is_image(name: str) -> bool:
    return name.lower().endswith(FORMATS) and not name.startswith(".")


def _unwrap(folder: Path) -> Path:
    """Go down as long as folder holds one subfolder and no image."""
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    subfolders = [path for path in inside if path.is_dir()]
    if len(subfolders) != 1 or any(_is_image(path.name) for path in inside):
        return folder
    return _unwrap(subfolders[0])
