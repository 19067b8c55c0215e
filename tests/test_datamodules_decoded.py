"""Images decoded by an earlier run are mapped from disk, and never where they have changed."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.test_datamodules_folder import fill, greys, loaded, save
from zoo.datamodules import ImageFolder, image_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


@pytest.fixture
def root(tmp_path):
    fill(tmp_path / "set", 20)
    return tmp_path / "set"


@pytest.fixture
def decodings(monkeypatch):
    """How many images each call decoded."""
    counts, decode = [], image_folder.decode
    monkeypatch.setattr(image_folder, "decode", lambda paths, shape: counts.append(len(paths)) or decode(paths, shape))
    return counts


def test_a_second_run_decodes_nothing(root, decodings):
    first, second = loaded(root), loaded(root)
    assert sorted(decodings) == [2, 18]
    for split in ("train", "val"):
        assert torch.equal(first.splits[split].data, second.splits[split].data)
    uncached = loaded(root, cache=False)
    assert sorted(decodings) == [2, 2, 18, 18]
    assert [greys(second.splits[split]) for split in ("train", "val")] == [
        greys(uncached.splits[split]) for split in ("train", "val")
    ]


def test_preparing_decodes_for_the_ranks_that_follow(root, decodings):
    ImageFolder(root=str(root)).prepare_data()
    loaded(root)
    assert sorted(decodings) == [2, 18]


@pytest.mark.parametrize("change", ["edited", "edited at the same size", "added", "another size", "another folder"])
def test_what_has_changed_is_decoded(root, tmp_path, decodings, change):
    before = loaded(root)
    other, options = root, {}
    if change == "edited":
        save(root / "003.png", "L", 99, (40, 40))
    elif change == "edited at the same size":
        file = root / "003.png"
        size, told = file.stat().st_size, file.stat().st_mtime_ns
        save(file, "L", 99)
        assert file.stat().st_size == size
        os.utime(file, ns=(told + 1, told + 1))
    elif change == "added":
        save(root / "099.png", "L", 99)
    elif change == "another size":
        options = {"image_size": 16}
    else:
        other = tmp_path / "other"
        fill(other, 20, start=60)
        for file, twin in zip(sorted(other.iterdir()), sorted(root.iterdir()), strict=True):
            told = twin.stat().st_mtime_ns
            os.utime(file.rename(other / twin.name), ns=(told, told))
    decodings.clear()
    after = loaded(other, **options)
    assert decodings
    seen = sorted(greys(after.splits["train"]) + greys(after.splits["val"]))
    expected = {
        "another size": list(range(20)),
        "another folder": list(range(60, 80)),
        "added": [*range(20), 99],
    }.get(change, [*(i for i in range(20) if i != 3), 99])
    assert seen == expected
    assert sorted(greys(before.splits["train"]) + greys(before.splits["val"])) == list(range(20))


def test_half_a_file_is_replaced(root, cache, decodings):
    whole = loaded(root).splits["train"].data.clone()
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(loaded(root).splits["train"].data, whole)
    assert len(decodings) == 4
    loaded(root)
    assert len(decodings) == 4


def test_a_file_with_other_bits_is_replaced(root, cache, decodings):
    whole = loaded(root).splits["train"].data.clone()
    for file in cache.iterdir():
        content = bytearray(file.read_bytes())
        content[50] ^= 1
        file.write_bytes(content)
    assert torch.equal(loaded(root).splits["train"].data, whole)
    assert len(decodings) == 4


def test_the_files_unused_for_longest_make_room(root, cache, monkeypatch):
    size = 20 * 3 * 32 * 32 + 8  # of both splits
    monkeypatch.setattr("zoo.datamodules.decoded.MOST", size)
    loaded(root)
    first = set(cache.iterdir())
    assert sum(file.stat().st_size for file in first) == size
    loaded(root, image_size=8)
    small = set(cache.iterdir()) - first
    assert len(small) == 2
    assert len(set(cache.iterdir()) & first) < 2


def test_the_command_shows_and_clears_it(root, cache):
    loaded(root)
    environment = {**os.environ, "GAN_ZOO_CACHE": str(cache.parent)}
    (cache.parent / "mine").mkdir()
    words = [sys.executable, "-m", "zoo", "cache"]
    shown = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"{cache}: 0.1 MB\n" in shown
    cleared = subprocess.run([*words, "--clear"], env=environment, capture_output=True, text=True, check=True).stdout
    assert f"{cache}: 0.1 MB, deleted\n" in cleared
    assert [path.name for path in cache.parent.iterdir()] == ["mine"]


def test_a_cache_that_cannot_be_written_is_done_without(root, cache, decodings):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    data = loaded(root)
    assert sorted(greys(data.splits["train"]) + greys(data.splits["val"])) == list(range(20))
    assert cache.read_text() == "a file where the folder should be"


def test_without_a_cache_nothing_is_left(root, cache):
    loaded(root, cache=False)
    assert not cache.exists()


def test_nothing_half_written_is_left_and_writing_stays_in_memory(root, cache):
    data = loaded(root).splits["train"].data
    kept = {file: file.read_bytes() for file in cache.iterdir()}
    assert sorted(len(content) for content in kept.values()) == [2 * 3 * 32 * 32 + 4, 18 * 3 * 32 * 32 + 4]
    data.zero_()
    assert {file: file.read_bytes() for file in cache.iterdir()} == kept


def test_a_broken_image_keeps_nothing(root, cache):
    (root / "005.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1 of \d+ images cannot be read.*005\.png"):
        loaded(root)
    assert not any(len(np.fromfile(file, np.uint8)) == 18 * 3 * 32 * 32 for file in cache.glob("*"))
