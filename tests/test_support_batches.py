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
        ((IMAGES * float("nan"),), None, r"these are in \[nan, nan\]"),
    ],
)
def test_what_no_game_is_played_on(batch, num_classes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_batch(batch, num_classes)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("batch", [IMAGES, (IMAGES,), [IMAGES, torch.tensor([0, 1])], (100 * torch.ones(4, 2),)])
def test_what_is_right(batch) -> None:
    """Points may lie anywhere."""
    check_batch(batch, None)


def test_the_first_batch_of_a_fit_is_looked_at() -> None:
    gan = NSGAN(*networks())
    with pytest.raises(ValueError, match=r"torch\.int64"):
        fit(gan, [(torch.zeros(4, 2, dtype=torch.long),)])
