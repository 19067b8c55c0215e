"""The data modules of named image sets: shapes, splits, pixels, refusals."""

import math
import os
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets.cifar
import torchvision.datasets.mnist
from sklearn.datasets import load_digits

from tests.files import write_idx
from zoo import datamodules
from zoo.datamodules import CIFAR10, MNIST, Digits, FashionMNIST, ImageFolder, Stacked, Toy
from zoo.datamodules.base import ImageData


@pytest.fixture
def cifar_root(tmp_path, monkeypatch):
    """Write CIFAR-10's files, 4 images each: R is 10 b + i, G the row, B the column."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows, columns = np.mgrid[:32, :32]
    for b, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        images = [np.stack([np.full((32, 32), 10 * b + i), rows, columns]) for i in range(4)]
        data = np.stack(images).astype(np.uint8).reshape(4, 3072)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [b, 1, 2, 3]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda path, md5=None: os.path.isfile(path))
    return tmp_path


def loaded(data):
    data.setup()
    return data


@pytest.mark.parametrize("kind", [Digits, MNIST, FashionMNIST, CIFAR10, ImageFolder])
def test_shape_is_known_before_anything_is_loaded(kind):
    assert kind(image_size=16, channels=3).image_shape == (3, 16, 16)
    assert kind().image_shape[1:] == (32, 32)
    assert kind(image_size=(16, 24)).image_shape[1:] == (16, 24)
    own = {CIFAR10: 3, ImageFolder: 3}
    assert kind().image_shape[0] == own.get(kind, 1)
    assert kind().splits == {}
    if kind is not ImageFolder:
        assert kind().num_classes == 10


@pytest.mark.parametrize("kind", [Digits, MNIST, FashionMNIST, CIFAR10, ImageFolder])
@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ({"image_size": 7}, "image_size=7, choose a side from 8 to 128, or two"),
        ({"image_size": (32, 256)}, r"image_size=\(32, 256\), choose a side from 8 to 128"),
        ({"channels": 2}, r"channels=2, choose one of \(1, 3"),
        ({"batch_size": 0}, "batch_size=0 must be at least 1"),
        ({"seed": 2**32}, "seed=4294967296 must lie in"),
    ],
)
def test_arguments_are_refused_by_name(kind, option, choices):
    with pytest.raises(ValueError, match=f"{kind.__name__}: {choices}"):
        kind(**option)


def test_loaders_before_setup_are_refused():
    with pytest.raises(ValueError, match=r"Digits: no data is loaded yet; call setup\(\) first"):
        Digits().train_dataloader()


def test_digits_are_split_by_class():
    data = loaded(Digits(image_size=8))
    train, val = data.splits["train"], data.splits["val"]
    assert (len(train.data), len(val.data)) == (1433, 364)
    # 174 to 183 images a class, every fifth of each held out
    assert val.labels.bincount().tolist() == [36, 37, 36, 37, 37, 37, 37, 36, 35, 36]
    source = load_digits()
    assert (train.labels.bincount() + val.labels.bincount()).tolist() == np.bincount(source.target).tolist()


def test_digits_pixels():
    data = loaded(Digits(image_size=8))
    levels = load_digits().images[0]  # the first zero: held out, as the first of its class
    assert levels[0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    zero = data.splits["val"].data[0, 0]
    assert zero[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 255/16 = 15.9375 a level
    x, labels = next(iter(data.val_dataloader()))
    assert labels[0] == 0
    assert x[0, 0, 0, 2].item() == pytest.approx(80 / 127.5 - 1, abs=1e-7)
    assert data.splits["train"].data.max() == 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 64])
def test_digits_batches(size, channels):
    data = loaded(Digits(image_size=size, channels=channels, batch_size=32))
    x, labels = next(iter(data.train_dataloader()))
    assert x.shape == (32, channels, size, size) == (32, *data.image_shape)
    assert x.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert labels.shape == (32,)
    assert x.min() >= -1
    assert x.max() <= 1
    assert (x == x[:, :1]).all()
    assert len(data.train_dataloader()) == 1433 // 32
    assert sum(len(batch[0]) for batch in data.val_dataloader()) == 364
    assert sum(len(batch[0]) for batch in data.test_dataloader()) == 364
    assert sum(len(batch[0]) for batch in data.predict_dataloader()) == 364


def test_resized_digits_keep_their_mean():
    means = [loaded(Digits(image_size=size)).splits["train"].data.float().mean().item() for size in (8, 16, 32)]
    assert means[1] == pytest.approx(means[0], rel=0.01)
    assert means[2] == pytest.approx(means[0], rel=0.01)


def test_global_random_state_is_not_moved_by_setup():
    before = torch.get_rng_state()
    data = loaded(Digits())
    next(iter(data.train_dataloader()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_mnist_family_is_framed_at_32_pixels(tmp_path, kind):
    write_idx(tmp_path, kind.__name__)
    data = loaded(kind(root=str(tmp_path), batch_size=5))
    images, labels = data.splits["train"]
    assert images.shape == (20, 1, 32, 32)
    assert labels.tolist() == [*range(10), *range(10)]
    image = images[3, 0]
    assert image[2, 2] == 3
    assert image[7, 4] == (3 + 28 * 5 + 2) % 256
    frame = image.clone()
    frame[2:30, 2:30] = 0
    assert frame.sum() == 0
    assert len(data.splits["val"].data) == 7
    x, _ = next(iter(data.val_dataloader()))
    assert x[0, 0, 0, 0] == -1
    assert x[3, 0, 2, 2].item() == pytest.approx(3 / 127.5 - 1, abs=1e-7)
    unframed = loaded(kind(root=str(tmp_path), image_size=28, batch_size=5)).splits["train"].data
    assert torch.equal(unframed, images[:, :, 2:30, 2:30])


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (64, 3), (8, 3)])
def test_mnist_at_other_sizes(tmp_path, size, channels):
    write_idx(tmp_path)
    data = loaded(MNIST(root=str(tmp_path), image_size=size, channels=channels))
    assert data.splits["train"].data.shape == (20, channels, size, size)


def test_cifar10_files_give_their_pixels(cifar_root):
    data = loaded(CIFAR10(root=str(cifar_root), batch_size=4))
    images, labels = data.splits["train"]
    assert images.shape == (20, 3, 32, 32)
    assert images.is_contiguous()
    assert labels.tolist() == [0, 1, 2, 3, 1, 1, 2, 3, 2, 1, 2, 3, 3, 1, 2, 3, 4, 1, 2, 3]
    assert images[6, :, 5, 9].tolist() == [12, 5, 9]
    assert data.splits["val"].data[1, :, 31, 0].tolist() == [51, 31, 0]


def test_cifar10_flips_training_images_only(cifar_root):
    data = loaded(CIFAR10(root=str(cifar_root), batch_size=20, flip=True))
    ((x, _),) = data.train_dataloader()
    left = ((x[:, 2, 0, 0] + 1) * 127.5).round()  # blue is the column
    assert set(left.tolist()) == {0.0, 31.0}
    assert all(((x[:, 2, 0, 0] + 1) * 127.5).round().eq(0).all() for x, _ in data.val_dataloader())


def test_held_out_training_images_are_the_validation_split():
    plain, data = loaded(Digits(image_size=8)), loaded(Digits(image_size=8, holdout=400))
    assert {name: len(split.data) for name, split in data.splits.items()} == {"train": 1033, "val": 400, "test": 364}

    def rows(*splits):
        pairs = (zip(split.data, split.labels.tolist(), strict=True) for split in splits)
        return sorted((image.numpy().tobytes(), label) for pair in pairs for image, label in pair)

    assert rows(data.splits["train"], data.splits["val"]) == rows(plain.splits["train"])
    assert rows(data.splits["test"]) == rows(plain.splits["val"])
    assert data.splits["val"].labels.bincount().min() > 25  # of 40 expected: a fair draw, not the end of the file


@pytest.mark.parametrize("holdout", [-1, 1433])
def test_a_holdout_must_leave_images(holdout):
    with pytest.raises(ValueError, match=f"Digits: holdout={holdout}"):
        loaded(Digits(holdout=holdout))


@pytest.mark.parametrize("kind", [Digits, MNIST, FashionMNIST, Stacked])
def test_every_set_of_images_can_be_mirrored_in_training(kind, tmp_path):
    files = {} if kind in (Digits, Stacked) else {"root": str(tmp_path)}
    if files:
        write_idx(tmp_path, kind.__name__)
    data = loaded(kind(**files, image_size=8, batch_size=20, flip=True))
    images, labels = data.splits["train"]
    plain = {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    turned = {image.flip(-1).numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    x, y = next(iter(data.train_dataloader()))
    dealt = [image.numpy().tobytes() for image in ((x + 1) * 127.5).round().to(torch.uint8)]
    assert all(plain.get(image, turned.get(image)) == label for image, label in zip(dealt, y.tolist(), strict=True))
    assert 2 <= sum(image in plain for image in dealt) <= 18
    held_out = torch.cat([x for x, _ in data.val_dataloader()])
    assert torch.equal(((held_out + 1) * 127.5).round().to(torch.uint8), data.splits["val"].data)


def test_colour_becomes_grey_by_luma(cifar_root):
    data = loaded(CIFAR10(root=str(cifar_root), channels=1))
    assert data.splits["train"].data[6, 0, 5, 9] == round(0.299 * 12 + 0.587 * 5 + 0.114 * 9)
    primaries = torch.eye(3, dtype=torch.uint8).view(3, 3, 1, 1).expand(-1, -1, 8, 8) * 255
    grey = Digits(image_size=8).fit_shape(primaries)
    assert grey[:, 0, 0, 0].tolist() == [76, 150, 29]  # pure red, green, blue


def test_shrinking_is_antialiased_and_stays_in_range():
    stripes = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    stripes[..., 1::4] = stripes[..., 2::4] = 255  # what a filter without antialiasing would see
    shrunk = Digits(image_size=8).fit_shape(stripes)
    assert shrunk.shape == (1, 1, 8, 8)
    assert (shrunk[..., 1:-1].int() - 128).abs().max() <= 12
    grown = Digits(image_size=128).fit_shape(stripes)
    assert (grown.min(), grown.max()) == (0, 255)
    wide = Digits(image_size=(16, 64)).fit_shape(stripes.mT.contiguous())
    assert wide.shape == (1, 1, 16, 64)
    assert wide.float().std(3).max() == 0  # stripes along the side that grows


def test_conversion_in_chunks_changes_nothing(monkeypatch):
    images = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8)
    whole = Digits(image_size=8).fit_shape(images)
    monkeypatch.setattr("zoo.datamodules.base.CHUNK", 7)
    assert torch.equal(Digits(image_size=8).fit_shape(images), whole)


@pytest.mark.parametrize(
    ("kind", "files"), [(MNIST, "MNIST/raw/"), (FashionMNIST, "FashionMNIST/raw/"), (CIFAR10, "cifar-10-batches-py/")]
)
def test_a_failed_download_says_what_is_missing(tmp_path, monkeypatch, kind, files):
    def offline(*args, **kwargs):
        raise URLError("no route to host")

    for module in (torchvision.datasets.mnist, torchvision.datasets.cifar):
        monkeypatch.setattr(module, "download_and_extract_archive", offline)
    for step in (kind(root=str(tmp_path)).prepare_data, kind(root=str(tmp_path)).setup):
        with pytest.raises(ValueError, match="no route to host") as caught:
            step()
        message = str(caught.value)
        assert message.startswith(f"{kind.__name__}: ")
        assert all(word in message for word in (str(tmp_path), files))
        assert "\n" not in message
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("inside", ["", "MNIST", "MNIST/raw"])
def test_the_folder_of_the_files_is_a_root_too(tmp_path, inside, monkeypatch):
    write_idx(tmp_path)
    assert MNIST(root=str(tmp_path / inside)).root == tmp_path
    monkeypatch.chdir(tmp_path / inside)
    assert MNIST(root=".").root.resolve() == tmp_path
    assert MNIST(root="data").root == Path("data")


def test_a_broken_file_is_named_as_such(tmp_path):
    write_idx(tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="MNIST: files missing or broken in root="):
        MNIST(root=str(tmp_path)).setup()


def test_prepare_data_downloads_where_files_are_missing(tmp_path, monkeypatch):
    asked = []

    def download(url, download_root, filename, md5):
        asked.append(filename)
        if len(asked) == 4:
            write_idx(tmp_path / "fetched")
            (tmp_path / "fetched" / "MNIST" / "raw").rename(tmp_path / "unpacked")
            for file in (tmp_path / "unpacked").iterdir():
                file.rename(Path(download_root) / file.name)

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", download)
    data = MNIST(root=str(tmp_path), batch_size=4)
    data.prepare_data()
    assert len(asked) == 4
    data.setup()
    assert len(asked) == 4
    assert len(data.train_dataloader()) == 5


def test_setup_loads_once():
    class Once(ImageData):
        loads = 0

        def load(self):
            self.loads += 1
            image = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
            return {"train": datamodules.Split(image), "val": datamodules.Split(image)}

    data = Once(image_size=8)
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    assert data.loads == 1


def test_ranks_come_from_the_process_group(monkeypatch):
    data = loaded(Digits(image_size=8, batch_size=8))
    whole = [labels for _, labels in loaded(Digits(image_size=8, batch_size=16)).train_dataloader()]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        parts.append([labels for _, labels in data.train_dataloader()])
    assert [torch.cat(pair).tolist() for pair in zip(*parts, strict=True)] == [labels.tolist() for labels in whole]


# Stacked digits: which images a triple is made of, its label, and what is refused.


def filled(data):
    data.setup()
    return data


def test_shape_and_modes_are_known_before_anything_is_loaded():
    data = Stacked(image_size=16)
    assert (data.image_shape, data.num_classes, data.splits) == ((3, 16, 16), 1000, {})


def test_each_channel_is_an_image_of_the_base_and_of_its_class():
    base, data = filled(Digits(image_size=8)), filled(Stacked(image_size=8, samples=300))
    for split, n in (("train", 300), ("val", 60)):
        images, labels = data.splits[split]
        assert (images.shape, images.dtype, labels.shape) == ((n, 3, 8, 8), torch.uint8, (n,))
        known = {image.numpy().tobytes(): int(label) for image, label in zip(*base.splits[split], strict=True)}
        for image, label in zip(images, labels, strict=True):
            a, b, c = (known[channel.numpy().tobytes()] for channel in image)
            assert label == 100 * a + 10 * b + c


def test_all_modes_are_about_equally_likely():
    labels = filled(Stacked(image_size=8, samples=50_000)).splits["train"].labels
    counts = labels.bincount(minlength=1000)
    assert counts.min() > 15  # 50 are expected, and the ten digits differ by a few percent
    assert counts.max() < 95
    for place in (1, 10, 100):
        assert (labels // place % 10).bincount().min() > 4500


def test_triples_are_a_function_of_the_seed():
    torch.manual_seed(0)
    one = filled(Stacked(image_size=8, samples=50))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    same, other = filled(Stacked(image_size=8, samples=50)), filled(Stacked(image_size=8, samples=50, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.splits["train"].data, same.splits["train"].data)
    assert not torch.equal(one.splits["train"].labels, other.splits["train"].labels)


def test_stacked_batches():
    data = filled(Stacked(image_size=8, samples=100, batch_size=32))
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
    images, labels = filled(data).splits["train"]
    # pixel (0, 0) of image i of class i % 10 is i, at (2, 2) in its frame
    assert (images[:, :, 2, 2] % 10).tolist() == [[int(d) for d in f"{label:03}"] for label in labels]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"base": "cifar10"}, r"base='cifar10', choose one of \('digits', 'mnist', 'fashion_mnist'\)"),
        ({"samples": 4}, "samples=4 must be at least 5"),
        ({"image_size": 7}, "image_size=7, choose a side"),
    ],
)
def test_stacked_refuses(option, message):
    with pytest.raises(ValueError, match=f"Stacked: {message}"):
        Stacked(**option)


# The 2-D toy sets: geometry, labels, determinism.


def toy(**options):
    data = Toy(**options)
    data.setup()
    return data


def test_ring_has_eight_modes_on_a_circle():
    centres = Toy(name="ring").centres
    assert centres.shape == (8, 2)
    assert torch.allclose(centres.norm(dim=1), torch.full((8,), 2.0))
    angles = torch.atan2(centres[:, 1], centres[:, 0]).rad2deg().round().long() % 360
    assert angles.tolist() == [0, 45, 90, 135, 180, 225, 270, 315]


def test_grid_has_25_modes_on_a_square():
    data = Toy(name="grid")
    assert data.centres.shape == (25, 2)
    steps = [-4 / 2.828, -2 / 2.828, 0.0, 2 / 2.828, 4 / 2.828]
    for axis in range(2):
        assert data.centres[:, axis].unique().tolist() == pytest.approx(steps)
    assert len(data.centres.unique(dim=0)) == 25
    assert data.sigma == pytest.approx(0.01768, abs=1e-5)


def test_two_gaussians():
    data = Toy(name="two_gaussians")
    assert data.centres.tolist() == [[-2, 0], [2, 0]]
    assert data.sigma == 0.5


@pytest.mark.parametrize("name", ["ring", "grid", "swiss_roll", "two_gaussians"])
def test_scale_multiplies_every_point_and_its_modes(name):
    plain, wide = (Toy(name=name, samples=50, scale=scale) for scale in (1.0, 3.0))
    assert torch.allclose(3 * plain.load()["train"].data, wide.load()["train"].data)
    if plain.centres is not None:
        assert torch.equal(3 * plain.centres, wide.centres)
        assert wide.sigma == 3 * plain.sigma


@pytest.mark.parametrize(("name", "sigma"), [("ring", 0.02), ("grid", 0.05 / 2.828), ("two_gaussians", 0.5)])
def test_points_scatter_around_the_centre_of_their_label(name, sigma):
    data = toy(name=name)
    points, labels = data.splits["train"]
    assert points.shape == (50_000, 2)
    assert labels.dtype == torch.int64
    modes = data.num_classes
    assert labels.bincount(minlength=modes).tolist() == pytest.approx([50_000 / modes] * modes, rel=0.12)
    offsets = points - data.centres[labels]
    for mode in range(modes):
        assert offsets[labels == mode].std(0).tolist() == pytest.approx([sigma] * 2, rel=0.1)
        assert offsets[labels == mode].mean(0).abs().max() < 0.1 * sigma
    assert torch.corrcoef(offsets.T)[0, 1].abs() < 0.02


def test_swiss_roll_lies_on_its_spiral():
    data = toy(name="swiss_roll")
    assert data.centres is data.sigma is data.num_classes is None
    points = 7.5 * data.splits["train"].data.double()
    t = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 4000, dtype=torch.float64)
    spiral = torch.stack([t * t.cos(), t * t.sin()], dim=1)
    distance, nearest = torch.cdist(points[:5000], spiral).min(1)
    assert distance.square().mean().sqrt() == pytest.approx(0.25, rel=0.05)  # across the curve
    thirds = (t[nearest] / math.pi - 1.5).div(1).long().clamp(0, 2).bincount()
    assert (thirds / 5000).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)  # t is uniform
    (batch,) = [batch for batch, _ in zip(data.val_dataloader(), range(1), strict=False)]
    assert len(batch) == 1


def test_splits_and_batches():
    data = toy(name="ring", samples=1000, batch_size=100)
    assert (data.image_shape, data.num_classes) == ((2,), 8)
    assert len(data.splits["train"].data) == 1000
    assert len(data.splits["val"].data) == 200
    x, labels = next(iter(data.train_dataloader()))
    assert x.shape == (100, 2)
    assert x.dtype == torch.float32
    assert (x - data.centres[labels]).abs().max() < 0.12
    train, val = data.splits["train"].data, data.splits["val"].data
    assert not (val[:, None] == train).all(-1).any()


@pytest.mark.parametrize("name", ["ring", "grid", "swiss_roll", "two_gaussians"])
def test_points_are_a_function_of_the_seed(name):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = toy(name=name, seed=3).splits["train"].data
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(toy(name=name, seed=3).splits["train"].data, first)
    assert not torch.equal(toy(name=name, seed=4).splits["train"].data, first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "spiral"}, r"Toy: name='spiral', choose one of \('ring', 'grid', "),
        ({"samples": 4}, "Toy: samples=4 must be at least 5"),
        ({"scale": 0}, "Toy: scale=0 must be positive and finite"),
        ({"batch_size": 0}, "Toy: batch_size=0 must be at least 1"),
        ({"seed": -1}, "Toy: seed=-1 must lie in"),
    ],
)
def test_toy_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Toy(**options)


def test_a_set_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"Toy, train split: batch_size=128 .* there are 100"):
        toy(samples=100).train_dataloader()
