"""Data: every module deals `(x, labels)` with x in [-1, 1], or 2-D points as they are.

data = Digits(image_size=16, batch_size=64)
data.image_shape                       # (1, 16, 16), known before anything is loaded
data.setup()
for x, labels in data.train_dataloader(): ...
"""

from datamodules.base import DataModule, ImageData, Split
from datamodules.digits import Digits
from datamodules.downloads import CIFAR10, MNIST, FashionMNIST
from datamodules.image_folder import ImageFolder
from datamodules.loader import TensorLoader
from datamodules.stacked import Stacked
from datamodules.toy import Toy

__all__ = [
    "CIFAR10",
    "MNIST",
    "DataModule",
    "Digits",
    "FashionMNIST",
    "ImageData",
    "ImageFolder",
    "Split",
    "Stacked",
    "TensorLoader",
    "Toy",
]
