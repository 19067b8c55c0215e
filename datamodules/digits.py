"""The 1,797 handwritten digits that scikit-learn carries: no download."""

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
        from sklearn.datasets import load_digits

        digits = load_digits()
        levels, labels = torch.from_numpy(digits.images)[:, None], torch.from_numpy(digits.target)
        images = self.fit_shape((levels * 255 / 16).round().to(torch.uint8))
        held_out = torch.zeros(len(labels), dtype=torch.bool)
        for digit in range(self.num_classes):
            held_out[(labels == digit).nonzero()[::5]] = True
        test = Split(images[held_out], labels[held_out])
        return self.hold_out(Split(images[~held_out], labels[~held_out]), test)
