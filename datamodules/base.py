"""Base classes of data modules: splits in memory, their loaders, the shape of an image."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor, distributed
from torch.nn import functional as F

from .loader import Loader, TensorLoader

ImageSize = int | tuple[int, int]  # a square's side, or height and width
SIDES = (8, 128)  # pixels: the smallest and the largest
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
CHUNK = 4096  # images converted at a time, which bounds the memory of float32 intermediates


class Split(NamedTuple):
    """One split of a data set, in memory."""

    data: Tensor  # uint8 (N, C, H, W), or float32 points (N, 2)
    labels: Tensor | None = None  # (N,), int64


class DataModule(LightningDataModule, ABC):
    """Splits in memory, batched by `TensorLoader`; a subclass loads them.

    The constructor reads no data. `image_shape` ((C, H, W) or (2,)) and `num_classes` (None when
    unlabelled) are known before `setup`, which loads `splits` once.

    Training batches are full and shuffled by (seed, epoch), and a resumed run goes on with the
    next one. Evaluation keeps the order of the set and yields every sample; prediction yields the
    validation split, and so does testing where a set has no third split.

    Raises ValueError for a batch_size below 1 and a seed outside [0, 2**32).
    """

    image_shape: tuple[int, ...]
    flip: bool = False
    position: ClassVar[tuple[str, ...]] = ("epoch", "dealt")  # names of the numbers of `state_dict`
    arguments: dict[str, Any]  # of the constructor
    classifier: ClassVar[str | None] = None  # the small classifier that knows its classes, by name

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the constructor's arguments, for a run's configuration."""
        made = super().__new__(cls)
        made.arguments = dict(
            list(inspect.signature(cls.__init__).bind_partial(made, *args, **kwargs).arguments.items())[1:]
        )
        return made

    def __init__(self, *, batch_size: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"{type(self).__name__}: batch_size={batch_size} must be at least 1")
        if not 0 <= seed < 2**32:
            raise ValueError(f"{type(self).__name__}: seed={seed} must lie in [0, 2**32)")
        self.batch_size, self.seed = batch_size, seed
        self.splits: dict[str, Split] = {}
        self._train: Loader | None = None
        self._resume_from: dict[str, int] = {}

    @property
    def num_classes(self) -> int | None:
        """The number of classes, or None when the samples carry no labels."""
        return None

    @abstractmethod
    def load(self) -> dict[str, Split]:
        """Read the splits "train", "val" and, where there is one, "test"."""

    def setup(self, stage: str | None = None) -> None:
        """Load all splits, once, whatever the stage; the training stream starts anew."""
        self.splits = self.splits or self.load()
        self._train, self._resume_from = None, {}

    def train_dataloader(self) -> Loader:
        """Shuffled full batches; with Trainer(overfit_batches=...) the first ones, in order."""
        if getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0):
            raise ValueError(
                f"{type(self).__name__}: Trainer(reload_dataloaders_every_n_epochs=...) would deal "
                "the first epoch over and over; leave it at 0, every epoch is shuffled anew"
            )
        shuffle = not getattr(self.trainer, "overfit_batches", 0)
        self._train = self._loader("train", shuffle=shuffle, flip=self.flip)
        if self._resume_from:
            self._train.load_state_dict(self._resume_from)
        return self._train

    def val_dataloader(self) -> Loader:
        """The validation split, in order."""
        return self._loader("val", shuffle=False)

    def test_dataloader(self) -> Loader:
        """The test split, in order, or the validation split where there is no third one."""
        return self._loader("test" if "test" in self.splits else "val", shuffle=False)

    def predict_dataloader(self) -> Loader:
        """The validation split, in order."""
        return self.val_dataloader()

    def pick(self, split: str, n: int) -> Tensor:
        """`n` samples of a split, or all if it has fewer, in memory as they are: uint8 images or float32 points.

        The same on every rank and in every run: a fair draw whatever the order of the set. Without a third split
        "test" is "val".
        """
        return _drawn(self._loaded(split).data, n)

    def labels(self, split: str, n: int | None = None) -> Tensor | None:
        """The labels (N,), int64, of a split, or of `pick(split, n)`; None where there are none.

        Without a third split "test" is "val".
        """
        labels = self._loaded(split).labels
        return labels if labels is None or n is None else _drawn(labels, n)

    def state_dict(self) -> dict[str, int]:
        """Where the training stream stands; Lightning saves it in every checkpoint.

        The loader's own state, which Lightning saves too, is not loaded from a checkpoint that an
        epoch-driven run made between two epochs.
        """
        return self._resume_from if self._train is None else self._train.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restore the position of the training stream."""
        self._resume_from = state_dict

    def _loaded(self, split: str) -> Split:
        if not self.splits:
            raise ValueError(f"{type(self).__name__}: no data is loaded yet; call setup() first")
        return self.splits.get(split, self.splits["val"])

    def _loader(self, split: str, *, shuffle: bool, flip: bool = False) -> Loader:
        chosen = self._loaded(split)
        rank, world_size = ranks()
        try:
            return TensorLoader(
                *chosen, batch_size=self.batch_size, shuffle=shuffle, seed=self.seed, flip=flip, rank=rank,
                world_size=world_size,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}, {split} split: {error}") from None


def _drawn(data: Tensor, n: int) -> Tensor:
    """`n` rows, the same for the same number of them."""
    if n >= len(data):
        return data
    return data[torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[:n]]


class ImageData(DataModule):
    """Images as uint8 tensors (N, C, H, W), brought to size and channels once, at setup.

    Args:
        image_size: S for square images, or (H, W); sides from 8 to 128. Convolutional networks take a power of two
            times a small map: 28, 32, 64, (32, 48). Square sets are stretched to other shapes.
        channels: None for the set's own; 1 turns colour grey (BT.601 luma), 3 repeats grey.
        batch_size: images a batch, per rank.
        seed: of the shuffling and the flips, in [0, 2**32).
        flip: mirror every training image with probability 1/2, anew each epoch.
        holdout: training images, a fair draw, that are the validation split and are not trained on, so that settings
            can be chosen without the test split; 0 makes the test split the validation split.

    Raises ValueError for any other value.
    """

    own_channels: ClassVar[int] = 1
    channel_choices: ClassVar[tuple[int, ...]] = (1, 3)

    def __init__(
        self, *, image_size: ImageSize = 32, channels: int | None = None, batch_size: int = 64, seed: int = 0,
        flip: bool = False, holdout: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(batch_size=batch_size, seed=seed)
        if holdout < 0:
            raise ValueError(f"{type(self).__name__}: holdout={holdout} must be at least 0")
        self.flip, self.holdout = flip, holdout
        channels = self.own_channels if channels is None else channels
        sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(sides) != 2 or min(sides) < SIDES[0] or max(sides) > SIDES[1]:
            raise ValueError(
                f"{type(self).__name__}: image_size={image_size}, choose a side from {SIDES[0]} to {SIDES[1]}, or two: "
                "height and width"
            )
        if channels not in self.channel_choices:
            raise ValueError(f"{type(self).__name__}: channels={channels}, choose one of {self.channel_choices}")
        self.image_shape = (channels, *sides)

    def hold_out(self, train: Split, test: Split) -> dict[str, Split]:
        """The splits of a set of training and test images, as `holdout` has them."""
        if not self.holdout:
            return {"train": train, "val": test}
        n = len(train.data) - self.holdout
        if n < 1:
            raise ValueError(f"{type(self).__name__}: holdout={self.holdout} leaves none of {len(train.data)} images")
        order = torch.randperm(len(train.data), generator=torch.Generator().manual_seed(0))
        kept, held = (
            Split(train.data[rows], None if train.labels is None else train.labels[rows])
            for rows in (order[:n].sort().values, order[n:].sort().values)
        )
        return {"train": kept, "val": held, "test": test}

    def fit_shape(self, images: Tensor) -> Tensor:
        """Bring uint8 images (N, 1 or 3, h, w) to (N, *image_shape).

        Bilinear, antialiased where it shrinks; images that fit already are returned untouched.
        """
        return torch.cat([self._fit_chunk(chunk) for chunk in torch.split(images, CHUNK)])

    def _fit_chunk(self, images: Tensor) -> Tensor:
        channels, *size = self.image_shape
        if list(images.shape[2:]) != size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        if images.shape[1] == channels:
            return images
        if channels == 3:
            return images.expand(-1, 3, -1, -1)
        luma = torch.tensor(LUMA).view(3, 1, 1)
        return (images * luma).sum(1, keepdim=True).round().to(torch.uint8)


def ranks() -> tuple[int, int]:
    """This process, and the number of processes."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
