import re

import pytest
import torch

from tests.games import fit, networks
from zoo.support.batches import check_batch
from zoo.variants.nsgan import NSGAN

IMAGES = torch.linspace(-1, 1, 2 * 3 * 16).view(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("batch", "num_classes", "said"),
    [
        ({"image": IMAGES}, None, r"must be a tensor x, or \(x, labels\), got a dict"),
        ([], None, "got a list"),
        ((IMAGES.byte(),), None, r"floating type, in \[-1, 1\], got torch.uint8"),
        ((IMAGES,), 3, "labels .N,. of integers, got none"),
        ((IMAGES, torch.zeros(2)), 3, r"got \(2,\) torch.float32"),
        ((IMAGES, torch.zeros(2, 3, dtype=torch.long)), 3, r"got \(2, 3\) torch.int64"),
        ((127.5 * (IMAGES + 1),), None, r"these are in \[0, 255\]"),
        ((torch.arange(48).view(1, 3, 4, 4) / 255,), None, r"these are bytes divided by 255; .*Normalize\(0.5, 0.5\)"),
        ((IMAGES * float("nan"),), None, r"these are in \[nan, nan\]"),
    ],
)
def test_what_no_game_is_played_on(batch, num_classes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_batch(batch, num_classes)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ((IMAGES + 1) / 2, r"images in \[0, 1\], and samples are in \[-1, 1\]"),
        (2.5 * IMAGES, r"\[-2.5, 2.5\]"),
        (IMAGES, ""),
        (2 * torch.arange(128, 176).view(1, 3, 4, 4) / 255 - 1, ""),  # bytes, all bright, scaled rightly
        (torch.zeros(1, 1, 4, 4), ""),
    ],
)
def test_images_of_another_range_are_spoken_of(images, said: str, caplog) -> None:
    with caplog.at_level("INFO"):
        check_batch(images, None)
    assert re.search(said, caplog.text) if said else not caplog.text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("batch", [IMAGES, (IMAGES,), [IMAGES, torch.tensor([0, 1])], (100 * torch.ones(4, 2),)])
def test_what_is_right(batch) -> None:
    """Points may lie anywhere."""
    check_batch(batch, None)


def test_the_first_batch_of_a_fit_is_looked_at() -> None:
    gan = NSGAN(*networks())
    with pytest.raises(ValueError, match=r"torch\.int64"):
        fit(gan, [(torch.zeros(4, 2, dtype=torch.long),)])
