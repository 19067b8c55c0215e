"""Small classifiers that the package carries: cheap features that know one data set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.metrics.features.base import Extractor, Features, with_channels

ClassifierName = Literal["digits-cnn", "mnist-cnn", "fashion-cnn", "cifar10-cnn"]
WEIGHTS = Path(__file__).parent.parent / "weights"  # <name>.pt, and <name>.json that says how it was trained
SIZE = 32
CLASSES = 10


class SmallCNN(nn.Module):
    """Images (N, C, 32, 32) to features (N, 128) and logits (N, 10): four convolutions and two linear layers.

    About 0.35 M parameters; batch norm after each convolution.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(channels, 32, 2), *_block(32, 32, 1), *_block(32, 64, 2), *_block(64, 128, 2),
            nn.Flatten(), nn.Linear(128 * 16, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(128, CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features after the last ReLU, and logits."""
        features = self.body(images)
        return features, self.head(features)


class Classifier(Extractor):
    """A carried classifier: features (N, 128), of mean square 1 over its training images, and logits (N, 10).

    Grey images and colour, of any size, are brought to its own channels (3 for cifar10-cnn, 1 for
    the others) and to 32 x 32. `benchmarks/train_classifier.py` trained it; its accuracy stands beside its
    weights.

    Args:
        name: which.

    Raises:
        ValueError: another name.
    """

    resize = f"bilinear to {SIZE}x{SIZE}, antialiased where it shrinks"
    dim = 128

    def __init__(self, name: ClassifierName) -> None:
        super().__init__()
        if name not in get_args(ClassifierName):
            raise ValueError(f"Classifier: unknown name {name!r}, choose one of {get_args(ClassifierName)}")
        self.name = name
        state = torch.load(WEIGHTS / f"{name}.pt", map_location="cpu", weights_only=True)
        self.channels = state["body.0.weight"].shape[1]
        self.net = SmallCNN(self.channels)
        self.net.load_state_dict(state)  # float16 in the file, float32 here
        self.resize = f"{self.channels} channels, {self.resize}"
        self.freeze()

    def extract(self, images: Tensor) -> Features:
        """One pass."""
        return Features(*self.net(fit(images, self.channels)))


def fit(images: Tensor, channels: int) -> Tensor:
    """Images as the network takes them, (N, `channels`, 32, 32)."""
    images = with_channels(images, channels)
    if images.shape[-2:] == (SIZE, SIZE):
        return images
    return F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)


def _block(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU()
