"""The sets that torchvision downloads: the MNIST family and CIFAR-10."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import datasets

from .base import ImageData, ImageSize, Split


class Downloaded(ImageData):
    """A labelled set of 10 classes in torchvision's files, downloaded where they are missing.

    Its test split is the validation split too, unless `holdout` is given.

    Args:
        root: the folder with the set's own folder in it, or with its files; created by a download.
        image_size: S, or (H, W), sides from 8 to 128.
        channels: None for the set's own; 1 turns colour grey (BT.601 luma), 3 repeats grey.
        batch_size: images a batch, per rank.
        seed: of the shuffling and the flips, in [0, 2**32).
        flip: mirror every training image with probability 1/2, anew each epoch.
        holdout: training images that are the validation split instead of the test images; 0 for none.

    Raises ValueError for any other value, and at setup when files are missing or broken and cannot
    be downloaded.
    """

    num_classes = 10
    source: ClassVar[Any]
    shape: ClassVar[tuple[int, ...]]  # of one image in the set's own array
    files: ClassVar[str]  # what a user puts by hand, and where under root

    def __init__(
        self, *, root: str = "data", image_size: ImageSize = 32, channels: int | None = None, batch_size: int = 64,
        seed: int = 0, flip: bool = False, holdout: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(
            image_size=image_size, channels=channels, batch_size=batch_size, seed=seed, flip=flip, holdout=holdout
        )
        self.root = self._above(Path(root).expanduser())

    @classmethod
    def _above(cls, root: Path) -> Path:
        """The folder in which torchvision looks, for this folder, the set's own, or the folder with the files."""
        own, full = Path(cls.files).parent, root.absolute()
        for depth in range(1, len(own.parts) + 1):
            above = full.parents[depth - 1] if len(full.parts) > depth else full
            if full.parts[-depth:] == own.parts[:depth] and (above / own).is_dir() and not (root / own).is_dir():
                return above
        return root

    def prepare_data(self) -> None:
        """Download both splits if files are missing; Lightning asks one process a machine."""
        self._read(train=False)

    def load(self) -> dict[str, Split]:
        """Read both splits, downloading them if files are missing."""
        return self.hold_out(self._split(train=True), self._split(train=False))

    @abstractmethod
    def images(self, data: Any) -> Tensor:
        """Turn the set's own array into uint8 (N, C, 32, 32)."""

    def _split(self, *, train: bool) -> Split:
        files = self._read(train=train)
        images, labels = files.data, torch.as_tensor(files.targets).long()
        if tuple(images.shape[1:]) != self.shape or labels.shape != images.shape[:1] or not _are_classes(labels):
            raise ValueError(
                f"{type(self).__name__}: broken files in root={str(self.root)!r}: {tuple(images.shape)} images and "
                f"{tuple(labels.shape)} labels; take {self.files} away, and they are downloaded again"
            )
        return Split(self.fit_shape(self.images(images)), labels)

    def _read(self, *, train: bool) -> Any:
        try:
            return self.source(str(self.root), train=train, download=True)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"{type(self).__name__}: files missing or broken in root={str(self.root)!r} and "
                f"no download ({reason}); put {self.files} there, or set root (--data.root) to the folder in which "
                f"{Path(self.files).parts[0]} lies"
            ) from None


def _are_classes(labels: Tensor) -> bool:
    return len(labels) == 0 or bool((labels.min() >= 0) & (labels.max() < Downloaded.num_classes))


class MNIST(Downloaded):
    """MNIST (LeCun et al., 1998): 60,000 + 10,000 grey 28x28 digits. See `Downloaded`.

    Two pixels of background (0, that is -1) are added on every side, but not at image_size 28: at 28 and 32 the pixels
    are the original ones; other sizes are made from the 32x32 image.
    """

    classifier = "mnist-cnn"

    source = datasets.MNIST
    shape = (28, 28)
    files = "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte"

    def images(self, data: Tensor) -> Tensor:
        """Pad (N, 28, 28) to (N, 1, 32, 32), unless 28 x 28 pixels are wanted."""
        edge = 0 if self.image_shape[1:] == self.shape else 2
        return F.pad(data.unsqueeze(1), (edge, edge, edge, edge))


class FashionMNIST(MNIST):
    """Fashion-MNIST (Xiao et al., 2017): 60,000 + 10,000 grey 28x28 garments, as `MNIST`."""

    classifier = "fashion-cnn"

    source = datasets.FashionMNIST
    files = "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte"


class CIFAR10(Downloaded):
    """CIFAR-10 (Krizhevsky, 2009): 50,000 + 10,000 colour 32x32 photographs. See `Downloaded`."""

    classifier = "cifar10-cnn"

    own_channels = 3
    source = datasets.CIFAR10
    shape = (32, 32, 3)
    files = "cifar-10-batches-py/{data_batch_1..5,test_batch,batches.meta}"

    def images(self, data: Any) -> Tensor:
        """Bring the NumPy array (N, 32, 32, 3) to (N, 3, 32, 32)."""
        return torch.from_numpy(data).permute(0, 3, 1, 2).contiguous()
