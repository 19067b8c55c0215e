"""Checkpoint files: whole or refused, whatever happens to their bytes."""

import errno
import os
import random
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.run import files

CHECKPOINT = {
    "game": {"images": 2500},
    "state_dict": {"a": torch.arange(300.0), "b": torch.zeros(7, dtype=torch.int64)},
    "words": ["x", 1, 2.5, None],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    files.write(CHECKPOINT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_what_was_written_comes_back(path: Path) -> None:
    for made in (files.read(path), torch.load(path, weights_only=True), torch.load(path, mmap=True)):
        assert made.keys() == CHECKPOINT.keys()
        assert made["words"] == CHECKPOINT["words"]
        assert all(torch.equal(value, CHECKPOINT["state_dict"][key]) for key, value in made["state_dict"].items())
    assert zipfile.ZipFile(path).testzip() is None
    assert list(path.parent.iterdir()) == [path]


def test_the_checksum_is_the_sha256_of_all_before_it(path: Path) -> None:
    """Worked out by another program."""
    *_, told = path.read_bytes().rpartition(b"sha256 ")
    whole = path.with_name("x")
    whole.write_bytes(path.read_bytes()[: -len(b"sha256 " + told)])
    assert os.popen(f"sha256sum {whole}").read().split()[0].encode() == told


def damaged(whole: bytes, times: int, kind: str) -> Iterator[bytes]:
    """Flips of one bit and cuts, at random places and at all near the end, where the checksum is."""
    draw = random.Random(0)
    near = list(range(len(whole) - 120, len(whole)))
    for place in [*near, *(draw.randrange(len(whole)) for _ in range(times))]:
        if kind == "cut":
            yield whole[:place]
        else:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << draw.randrange(8)
            yield bytes(flipped)


@pytest.mark.parametrize("times", [200, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_a_damaged_file_is_refused_in_one_line(path: Path, kind: str, times: int) -> None:
    for content in damaged(path.read_bytes(), times, kind):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path))) as refused:
            files.read(path)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["flip", "cut"])
def test_lightnings_own_file_is_read_and_its_tensors_are_checked(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "theirs.ckpt"
    torch.save(CHECKPOINT, path)
    whole = path.read_bytes()
    assert files.read(path)["words"] == CHECKPOINT["words"]
    for content in damaged(whole, 100, kind):
        path.write_bytes(content)
        with suppress(ValueError):
            made = files.read(path)
            assert kind == "flip"  # of what neither zip nor torch reads
            assert made["words"] == CHECKPOINT["words"]
            assert all(torch.equal(v, CHECKPOINT["state_dict"][k]) for k, v in made["state_dict"].items())


def test_a_flip_in_a_tensor_of_lightnings_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "theirs.ckpt"
    torch.save(CHECKPOINT, path)
    whole = path.read_bytes()
    number = torch.arange(300.0)[299].numpy().tobytes()
    path.write_bytes(whole.replace(number, number[:-1] + b"\x42"))
    torch.load(path, weights_only=True)  # which torch loads as garbage
    with pytest.raises(ValueError, match=r"checksum of its record theirs/data/0"):
        files.read(path)


def test_a_squeezed_archive_is_refused_unread(path: Path) -> None:
    """A kilobyte of it may be a gigabyte."""
    with zipfile.ZipFile(path.with_name("x.ckpt"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(1 << 20))
    with pytest.raises(ValueError, match=r"x.ckpt is no checkpoint: it is compressed"):
        files.read(path.with_name("x.ckpt"))


def test_the_whole_ones_beside_it_are_named(path: Path) -> None:
    shutil.copy(path, path.with_name("best.ckpt"))
    files.write({**CHECKPOINT, "game": {"images": 12000}}, path.with_name("previous.ckpt"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"; whole beside it: previous.ckpt \(12 kimg\) and best.ckpt \(2.5 kimg\)$"):
        files.read(path)
    path.with_name("previous.ckpt").write_bytes(b"")
    path.unlink()
    with pytest.raises(ValueError, match=r"no checkpoint at .*; whole beside it: best.ckpt \(2.5 kimg\)$"):
        files.read(path)


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(
    path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    if call == "write":
        limited = path.with_name("last.ckpt.part")
        limited.symlink_to("/dev/full")
    else:
        monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left on device") as failed:
        files.write({**CHECKPOINT, "more": torch.zeros(1 << 16)}, path)
    assert failed.value.filename == str(path)
    assert failed.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_on_the_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves a name without bytes; and the folder after it, else it leaves the old name."""
    done: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def watch(*arguments: Any, name: str = name, original: Any = original) -> None:
            kind = ""
            if name == "fsync":
                kind = " folder" if os.path.isdir(f"/proc/self/fd/{arguments[0]}") else " file"
                if kind == " file":
                    assert os.fstat(arguments[0]).st_size == len(path.read_bytes())
            done.append(name + kind)
            original(*arguments)

        monkeypatch.setattr(os, name, watch)
    files.write(CHECKPOINT, path)
    assert done == ["fsync file", "replace", "fsync folder"]
