"""The 1,797 handwritten digits that scikit-learn carries: no download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from .base import ImageData, Split


class Digits(ImageData):
    """UCI handwritten digits (Alpaydin & Kaynak, 1998): 1,797 grey 8x8 images of 10 classes.

    Grey levels 0..16 become round(255 * level / 16). The held-out split is every fifth image of
    each class, 364 in all; 1,433 are left for training. Arguments: see `ImageData`.
    """

    num_classes = 10
    classifier = "digits-cnn"

    def load(self) -> dict[str, Split]:
        """Read the digits from scikit-learn."""
        rows = torch.from_numpy(_rows())
        levels, labels = rows[:, :64].reshape(-1, 1, 8, 8), rows[:, 64].long()
        images = self.fit_shape((levels * 255 / 16).round().to(torch.uint8))
        held_out = torch.zeros(len(labels), dtype=torch.bool)
        for digit in range(self.num_classes):
            held_out[(labels == digit).nonzero()[::5]] = True
        return {
            "train": Split(images[~held_out], labels[~held_out]),
            "val": Split(images[held_out], labels[held_out]),
        }


def _rows() -> np.ndarray:
    """Levels and label of each digit, (1797, 65), float64: of scikit-learn's file, as importing it all takes 0.5 s."""
    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or []:
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])
