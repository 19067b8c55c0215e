"""Stacked digits: three grey images as the channels of one, 1,000 modes."""

from typing import Literal, get_args

import torch
from torch import Tensor

from .base import ImageData, ImageSize, Split
from .digits import Digits
from .downloads import MNIST, FashionMNIST

BaseName = Literal["digits", "mnist", "fashion_mnist"]


class Stacked(ImageData):
    """Triples of grey images, one a channel (Metz et al., Unrolled GAN, 2017; section 3.3.1, over MNIST).

    Three published protocols have this name (docs/papers.md). Drawn once and repeated, as here, are the triples of
    Srivastava et al. 2017 (VEEGAN): 128,000 of 28 pixels. Those of Metz et al. are of 28 pixels and drawn anew for each
    batch, those of Huang et al. 2024 (R3GAN) of 32 pixels. With base mnist a size of 28 or 32 has the original pixels.

    Each channel is drawn by itself, with replacement, once from (base, samples, seed); with base classes a, b and c the
    label is 100 a + 10 b + c, one of 1,000. One fifth as many triples again are held out, drawn from the base's
    held-out images. In memory a triple takes 3 H W bytes.

    Args:
        base: the set of 10 classes that is stacked.
        root: the folder with mnist's or fashion_mnist's files; digits has none.
        samples: number of training triples.
        image_size: S, or (H, W), sides from 8 to 128.
        batch_size: images a batch, per rank.
        seed: of the triples, the shuffling and the flips, in [0, 2**32).
        flip: mirror every training triple with probability 1/2, anew each epoch.

    Raises ValueError for an unknown base, for samples below 5, and for what `ImageData` and the base refuse.
    """

    own_channels = 3
    channel_choices = (3,)
    num_classes = 1000

    def __init__(
        self, *, base: BaseName = "digits", root: str = "data", samples: int = 50_000, image_size: ImageSize = 32,
        batch_size: int = 64, seed: int = 0, flip: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(image_size=image_size, batch_size=batch_size, seed=seed, flip=flip)
        if base not in get_args(BaseName):
            raise ValueError(f"Stacked: base={base!r}, choose one of {get_args(BaseName)}")
        if samples < 5:
            raise ValueError(f"Stacked: samples={samples} must be at least 5")
        self.samples = samples
        self.base: ImageData
        if base == "digits":
            self.base = Digits(image_size=image_size)
        else:
            self.base = {"mnist": MNIST, "fashion_mnist": FashionMNIST}[base](root=root, image_size=image_size)

    @property
    def channel_classifier(self) -> str | None:
        """The small classifier that knows the classes of a channel, by name."""
        return self.base.classifier

    def prepare_data(self) -> None:
        """Download the base's files if they are missing."""
        self.base.prepare_data()

    def load(self) -> dict[str, Split]:
        """Draw the training triples, then the held-out ones."""
        splits = self.base.load()
        generator = torch.Generator().manual_seed(self.seed)
        sizes = {"train": self.samples, "val": self.samples // 5}
        return {name: _stack(*splits[name], n, generator) for name, n in sizes.items()}


def _stack(images: Tensor, labels: Tensor | None, n: int, generator: torch.Generator) -> Split:
    """n triples of images (N, 1, H, W), as (n, 3, H, W)."""
    assert labels is not None
    drawn = torch.randint(len(images), (n, 3), generator=generator)
    return Split(images[:, 0][drawn], labels[drawn] @ torch.tensor([100, 10, 1]))
