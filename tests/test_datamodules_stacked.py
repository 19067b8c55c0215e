"""Stacked digits: which images a triple is made of, its label, and what is refused."""

import pytest
import torch

from tests.test_datamodules import write_idx
from zoo.datamodules import Digits, Stacked


def loaded(data):
    data.setup()
    return data


def test_shape_and_modes_are_known_before_anything_is_loaded():
    data = Stacked(image_size=16)
    assert (data.image_shape, data.num_classes, data.splits) == ((3, 16, 16), 1000, {})


def test_each_channel_is_an_image_of_the_base_and_of_its_class():
    base, data = loaded(Digits(image_size=8)), loaded(Stacked(image_size=8, samples=300))
    for split, n in (("train", 300), ("val", 60)):
        images, labels = data.splits[split]
        assert (images.shape, images.dtype, labels.shape) == ((n, 3, 8, 8), torch.uint8, (n,))
        known = {image.numpy().tobytes(): int(label) for image, label in zip(*base.splits[split], strict=True)}
        for image, label in zip(images, labels, strict=True):
            a, b, c = (known[channel.numpy().tobytes()] for channel in image)
            assert label == 100 * a + 10 * b + c


def test_all_modes_are_about_equally_likely():
    labels = loaded(Stacked(image_size=8, samples=50_000)).splits["train"].labels
    counts = labels.bincount(minlength=1000)
    assert counts.min() > 15  # 50 are expected, and the ten digits differ by a few percent
    assert counts.max() < 95
    for place in (1, 10, 100):
        assert (labels // place % 10).bincount().min() > 4500


def test_triples_are_a_function_of_the_seed():
    torch.manual_seed(0)
    one = loaded(Stacked(image_size=8, samples=50))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    same, other = loaded(Stacked(image_size=8, samples=50)), loaded(Stacked(image_size=8, samples=50, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.splits["train"].data, same.splits["train"].data)
    assert not torch.equal(one.splits["train"].labels, other.splits["train"].labels)


def test_batches():
    data = loaded(Stacked(image_size=8, samples=100, batch_size=32))
    x, labels = next(iter(data.train_dataloader()))
    assert (x.shape, x.dtype, labels.shape) == ((32, 3, 8, 8), torch.float32, (32,))
    assert x.min() == -1
    assert x.max() == 1
    assert sum(len(batch[0]) for batch in data.val_dataloader()) == 20


@pytest.mark.parametrize(("base", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_other_bases_are_read_from_root(tmp_path, base, folder):
    write_idx(tmp_path, folder)
    data = Stacked(base=base, root=str(tmp_path), samples=40)
    data.prepare_data()
    images, labels = loaded(data).splits["train"]
    # pixel (0, 0) of image i of class i % 10 is i, at (2, 2) in its frame
    assert (images[:, :, 2, 2] % 10).tolist() == [[int(d) for d in f"{label:03}"] for label in labels]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"base": "cifar10"}, r"base='cifar10', choose one of \('digits', 'mnist', 'fashion_mnist'\)"),
        ({"samples": 4}, "samples=4 must be at least 5"),
        ({"image_size": 28}, "image_size=28, choose one of"),
    ],
)
def test_arguments_are_refused_by_name(option, message):
    with pytest.raises(ValueError, match=f"Stacked: {message}"):
        Stacked(**option)
