"""Tar shards that are streamed: which image comes when, on which rank, after a resume; what is refused."""

import io
import os
import signal
import tarfile
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image
from torch import Tensor

from zoo import datamodules
from zoo.datamodules import ImageFolder, Shards
from zoo.datamodules.shards import counts_of

SIZES = {"a": 30, "b": 17, "c": 44, "d": 25, "e": 9}  # images of the shards under train/


def png(number: int, half: bool = False) -> bytes:
    """8x8 of the colour (number, 7, 255 - number); on the left half only, the rest black."""
    image, file = Image.new("RGB", (8, 8)), io.BytesIO()
    image.paste((number, 7, 255 - number), (0, 0, 4 if half else 8, 8))
    image.save(file, "png")
    return file.getvalue()


def write(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GAN_ZOO_CACHE", str(folder))
        yield folder / "images"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training images 0 to 124 of the classes number % 3, left halves coloured; 200 to 205 are held out."""
    folder, number = tmp_path_factory.mktemp("shards"), 0
    for name, size in SIZES.items():
        own = range(number, number := number + size)
        files = {f"{i:03}.{kind}": i for i in own for kind in ("png", "cls")}
        content = {n: png(i, True) if n.endswith("png") else str(i % 3).encode() for n, i in files.items()}
        write(folder / "train" / f"{name}.tar", content)
    held = {f"{i}.{kind}": png(i) if kind == "PNG" else b"0" for i in range(200, 206) for kind in ("PNG", "cls")}
    write(folder / "val/held.tar", held)
    return folder


def shards(root: Path, **options) -> Shards:
    data = Shards(root=str(root), **{"image_size": 8, "batch_size": 5, "num_workers": 0, "shuffle_buffer": 8} | options)
    data.setup()
    return data


def numbers(x: Tensor) -> list[int]:
    """Which images these are, mirrored or not."""
    return ((x[:, 0].amax((1, 2)) + 1) * 127.5).round().int().tolist()


def deal(loader, passes: int = 1) -> list[list[int]]:
    return [numbers(batch[0]) for _ in range(passes) for batch in loader]


def test_samples_are_decoded_as_a_folder_decodes_them(root: Path, tmp_path: Path) -> None:
    with tarfile.open(root / "val/held.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    data = shards(root, num_classes=3, image_size=(8, 12))
    folder = ImageFolder(root=str(tmp_path), image_size=(8, 12), cache=False)
    folder.setup()
    images, labels = data.splits["val"]
    assert len(images) == 6
    assert {image.numpy().tobytes() for image in images} == {
        image.numpy().tobytes() for split in folder.splits.values() for image in split.data
    }
    assert labels.tolist() == [0] * 6
    assert sum(len(x) for x, _ in data.val_dataloader()) == 6
    assert (data.image_shape, data.num_classes, data.splits.keys()) == ((3, 8, 12), 3, {"val"})


@pytest.mark.parametrize(("num_workers", "ranks"), [(0, 3), (2, 2)])
def test_no_image_comes_twice_in_an_epoch_on_any_rank(root: Path, monkeypatch, num_workers: int, ranks: int) -> None:
    epochs = [[], [], []]
    for rank in range(ranks):
        monkeypatch.setattr("zoo.datamodules.shards.ranks", lambda rank=rank: (rank, ranks))
        loader = shards(root, num_workers=num_workers, num_classes=3).train_dataloader()
        assert len(loader) == 125 // (5 * ranks)
        for epoch in epochs:
            for x, labels in loader:
                assert (x.shape, x.dtype, labels.dtype) == ((5, 3, 8, 8), torch.float32, torch.int64)
                assert [i % 3 for i in numbers(x)] == labels.tolist()
                epoch += numbers(x)
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch) == 125 // (5 * ranks) * 5 * ranks
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[0] != sorted(epochs[0])


def test_images_are_mixed_across_shards_and_mirrored_half_the_time(root: Path) -> None:
    data = shards(root, batch_size=125, shuffle_buffer=125, flip=True)
    ((x,),) = data.train_dataloader()
    order = numbers(x)
    assert sum(abs(a - b) == 1 for a, b in pairwise(order)) < 12  # 2 are expected
    right = ((x[:, 0, 0, 7] + 1) * 127.5).round().int() == torch.tensor(order)
    left = ((x[:, 0, 0, 0] + 1) * 127.5).round().int() == torch.tensor(order)
    assert (left ^ right)[torch.tensor(order) > 0].all()
    assert 40 < right.sum() < 85  # 62.5 ± 4 × 5.6


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_stream_goes_on_with_the_same_batches(root: Path, num_workers: int) -> None:
    options = {"num_workers": num_workers, "flip": True, "num_classes": 3}
    whole = [batch for loader in [shards(root, **options).train_dataloader()] for _ in range(2) for batch in loader]
    for cut in (3, 25, 41):
        began = shards(root, **options)
        loader = began.train_dataloader()
        stream = (batch for _ in range(2) for batch in loader)
        for _ in range(cut):
            next(stream)
        state = began.state_dict()
        assert (state["epoch"] * 125 + state["dealt"]) == 5 * cut
        again = shards(root, **options)
        again.load_state_dict(state)
        rest = list(again.train_dataloader())
        for batch, expected in zip(rest, whole[cut:], strict=False):
            assert all(torch.equal(a, b) for a, b in zip(batch, expected, strict=True))


def test_with_another_layout_the_next_epoch_begins(root: Path) -> None:
    data = shards(root)
    loader = data.train_dataloader()
    expected = deal(shards(root, num_workers=2).train_dataloader(), 2)[25:]
    next(iter(loader))
    again = shards(root, num_workers=2)
    again.load_state_dict(data.state_dict())
    with pytest.warns(
        UserWarning, match=r"num_workers=0, ranks=1 and is .*num_workers=2, ranks=1: the rest of epoch 0"
    ):
        other = again.train_dataloader()
    assert deal(other) == expected


def test_the_global_random_state_is_neither_read_nor_moved(root: Path) -> None:
    state = torch.get_rng_state()
    first = deal(shards(root, num_workers=1).train_dataloader())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    assert deal(shards(root, num_workers=1).train_dataloader()) == first
    assert deal(shards(root, seed=1).train_dataloader()) != first


def test_without_shuffling_every_pass_is_in_order(root: Path) -> None:
    data = shards(root, num_workers=2)
    loader = data._loader("train", shuffle=False)
    first, second = deal(loader), deal(loader)
    assert first == second
    assert sorted(chain(*first)) == list(range(125))
    assert first[0] == list(range(5))


def test_signals_to_the_whole_job_leave_the_workers_at_work(root: Path) -> None:
    others = psutil.Process().children()  # of other tests, as W&B's service
    loader = shards(root, num_workers=2).train_dataloader()
    batches = iter(loader)
    got = [numbers(next(batches)[0]), numbers(next(batches)[0])]  # one of each worker, so both have begun
    children = [child for child in psutil.Process().children() if child not in others]
    assert len(children) == 2
    for child in children:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            child.send_signal(number)
    got += [numbers(batch[0]) for batch in batches]
    assert sorted(chain(*got)) == list(range(125))
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_held_out_images_are_so_many_and_training_images_the_first(root: Path) -> None:
    data = shards(root, val_images=4, num_classes=3)
    assert numbers(data.splits["val"].data / 127.5 - 1) == [200, 201, 202, 203]
    assert numbers(data.pick("train", 3) / 127.5 - 1) == [0, 1, 2]
    assert data.labels("train").tolist() == [0, 1, 2, 0]
    with pytest.raises(ValueError, match="all training images in memory were asked for, and val_images=4 is the most"):
        data.pick("train", 10**9)


def test_a_tenth_of_the_shards_is_held_out_where_there_is_no_val(root: Path) -> None:
    data = shards(root / "train")
    (held,) = data._layout["val"]
    assert sorted([*data._layout["train"], held]) == sorted((root / "train").glob("*.tar"))
    assert len(data.splits["val"].data) == SIZES[held.stem]


def test_counts_are_kept_until_a_shard_changes(root: Path, tmp_path: Path, cache: Path, monkeypatch) -> None:
    counted = []
    monkeypatch.setattr(
        "zoo.datamodules.shards._count", lambda shard, c=datamodules.shards._count: counted.append(shard) or c(shard)
    )
    copies = [tmp_path / path.name for path in sorted((root / "train").glob("*.tar"))]
    for copy in copies:
        copy.write_bytes((root / "train" / copy.name).read_bytes())
    assert counts_of(copies) == counts_of(copies) == [*SIZES.values()]
    assert counted == copies
    write(copies[0], {"a.png": png(1), "a.txt": b"", "b.left.png": png(1), "b.png": png(2)})
    assert counts_of(copies)[0] == 2


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"k.png": b"no image"}, {}, r"a\.tar: k: cannot identify image file"),
        ({"k.txt": b"x"}, {}, r"a\.tar: k: no image among \['txt'\]"),
        ({"k.png": png(1)}, {"num_classes": 2}, r"a\.tar: k: no label: a file \.cls with its digits"),
        ({"k.png": png(1), "k.cls": b"2"}, {"num_classes": 2}, r"label 2 must lie in \[0, 2\), see num_classes"),
        ({"k.png": png(1), "k.cls": b"cat"}, {"num_classes": 2}, r"invalid literal for int.*'cat'"),
    ],
)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_broken_sample_is_refused_by_name(tmp_path: Path, files, options, message, num_workers: int) -> None:
    write(tmp_path / "train/a.tar", files)
    write(tmp_path / "val/a.tar", {"v.png": png(1), "v.cls": b"0"})
    data = shards(tmp_path, batch_size=1, num_workers=num_workers, **options)
    with pytest.raises(ValueError, match=message) as refused:
        next(iter(data.train_dataloader()))
    assert "\n" not in str(refused.value)


def test_what_cannot_be_read_is_refused(root: Path, tmp_path: Path, monkeypatch) -> None:
    for options, message in (
        ({"num_workers": -1}, "num_workers=-1 must be at least 0"),
        ({"shuffle_buffer": 0}, "shuffle_buffer=0 must be at least 1"),
        ({"num_classes": 0}, "num_classes=0 must be at least 1"),
        ({"value_range": (5, 5)}, "value_range must be"),
    ):
        with pytest.raises(ValueError, match=f"Shards: {message}"):
            Shards(**options)
    with pytest.raises(ValueError, match=r"no \*\.tar under"):
        shards(tmp_path)
    with pytest.raises(ValueError, match="is not a folder; set root"):
        shards(tmp_path / "none")
    with pytest.raises(ValueError, match=r"Shards, train split: batch_size=126 on 1 rank\(s\) needs 126 samples"):
        shards(root, batch_size=126).train_dataloader()
    content = (root / "train/a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(ValueError, match="has one shard; at least 2 are needed"):
        shards(tmp_path)
    with tarfile.open(tmp_path / "a.tar") as tar:
        os.truncate(tmp_path / "a.tar", tar.getmembers()[2].offset_data + 1)
    (tmp_path / "b.tar").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.tar: "):
        Shards(root=str(tmp_path)).prepare_data()
    monkeypatch.setattr("zoo.datamodules.shards.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"webdataset is missing: pip install 'gan-zoo\[shards\]'"):
        shards(tmp_path)
