"""Data modules: batches `(x, labels)`, x in [-1, 1], or 2-D points as they are.

data = Digits(image_size=16, batch_size=64)
data.image_shape                       # (1, 16, 16), known before anything is loaded
data.setup()
for x, labels in data.train_dataloader(): ...
"""

from .base import DataModule, ImageData, Split
from .digits import Digits
from .downloads import CIFAR10, MNIST, FashionMNIST
from .image_folder import ImageFolder
from .loader import TensorLoader
from .shards import Shards
from .stacked import Stacked
from .toy import Toy

__all__ = [
    "CIFAR10", "MNIST", "DataModule", "Digits", "FashionMNIST", "ImageData", "ImageFolder", "Shards", "Split",
    "Stacked", "TensorLoader", "Toy",
]  # fmt: skip
