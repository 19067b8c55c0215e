"""What a run keeps when something goes wrong: full disks, damaged files, signals."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException

from tests.counting import BATCHES, Counter, When, fit, steps_in, stop
from zoo.callbacks import Budget, Checkpoints, RunRecord
from zoo.callbacks.interrupts import Requeue
from zoo.run import files

# Full disks


class Disk:
    """Full while it is told to be: no file gets to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._fsync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def fill(disk: Disk) -> When:
    return When(4, lambda: setattr(disk, "full", True))


def kept(folder: Path) -> dict[str, float]:
    return {path.name: steps_in(path) for path in sorted(folder.glob("*.ckpt*"))}


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path: Path, disk: Disk) -> None:
    parts = (RunRecord(tmp_path, "v", "d"), fill(disk), Checkpoints(every_kimg=0.3))
    with pytest.raises(OSError, match=r"No space left on device: '.*/last.ckpt'"):
        fit(tmp_path, *parts)
    assert kept(tmp_path) == {"last.ckpt": 3, "previous.ckpt": 3}
    assert not list(tmp_path.glob("*.part"))


def test_a_failed_write_hides_no_error(tmp_path: Path, disk: Disk) -> None:
    parts = (fill(disk), Checkpoints(every_kimg=0.3), When(5, stop(RuntimeError("measure"))))
    warns = pytest.warns(UserWarning, match=r"Checkpoints: could not write last.ckpt: .*No space left on device")
    with warns, pytest.raises(RuntimeError, match="measure"):
        fit(tmp_path, *parts)
    assert steps_in(tmp_path / "last.ckpt") == 3


def test_a_record_that_cannot_be_written_keeps_nobody_from_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunRecord._write

    def fail(self: RunRecord, *told: Any) -> None:
        if "failed" in told:
            raise OSError(errno.ENOSPC, "No space left on device", "run.json")
        write(self, *told)

    monkeypatch.setattr(RunRecord, "_write", fail)
    parts = (RunRecord(tmp_path, "v", "d"), Checkpoints(every_kimg=0.3), When(5, stop(RuntimeError("measure"))))
    with pytest.warns(UserWarning, match="could not write run.json"), pytest.raises(RuntimeError, match="measure"):
        fit(tmp_path, *parts)
    assert steps_in(tmp_path / "last.ckpt") == 5


# What is kept


def test_the_one_before_last_stays(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    look = [When(n, lambda: seen.append(kept(tmp_path))) for n in (2, 4, 7)]
    fit(tmp_path, Checkpoints(every_kimg=0.3), *look)
    assert seen == [{}, {"last.ckpt": 3}, {"last.ckpt": 6, "previous.ckpt": 3}]
    assert kept(tmp_path) == {"last.ckpt": 10, "previous.ckpt": 9}
    fit(tmp_path, Checkpoints(), epochs=2, resume="last.ckpt")
    assert kept(tmp_path) == {"last.ckpt": 20, "previous.ckpt": 10}


def test_the_one_before_last_makes_room_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        at_once.append(len({path.stat().st_ino for path in tmp_path.glob("*.ckpt*")}))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    fit(tmp_path, Checkpoints(every_kimg=0.1))
    assert at_once == [1, 1, *[2] * 20]  # the file and then the folder, 11 times


def test_a_damaged_last_does_not_push_out_the_one_before(tmp_path: Path) -> None:
    """Which the run may just have been resumed from."""
    fit(tmp_path, Budget(0.5), Checkpoints(every_kimg=0.3), epochs=-1)
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"last.ckpt is damaged|cut short"):
        fit(tmp_path, Checkpoints(), resume="last.ckpt")
    seen: list[dict[str, float]] = []
    look = When(5, lambda: seen.append(kept(tmp_path)))
    fit(tmp_path, Checkpoints(every_kimg=0.1), look, resume="previous.ckpt")
    assert seen == [{"last.ckpt": 4, "previous.ckpt": 3}]


def test_without_hard_links_there_is_no_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    fit(tmp_path, Checkpoints(every_kimg=0.3))
    assert kept(tmp_path) == {"last.ckpt": 10}


def test_what_a_kill_left_unfinished_is_taken_away(tmp_path: Path) -> None:
    fit(tmp_path, Budget(0.5), Checkpoints(), epochs=-1)
    for name in files.NAMES:
        (tmp_path / f"{name}.part").write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"not the run's")
    fit(tmp_path, Budget(0.5), Checkpoints(), epochs=-1, resume="last.ckpt")
    assert [path.name for path in tmp_path.glob("*.part")] == ["mine.part"]


def test_another_plugin_for_checkpoints_is_refused(tmp_path: Path) -> None:
    class Other(TorchCheckpointIO):
        pass

    with pytest.raises(ValueError, match="Checkpoints: writes its files itself, and not with Other"):
        fit(tmp_path, Checkpoints(), plugins=[Other()])


# Signals


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, SIGTERMException), (signal.SIGUSR1, Requeue)])
@pytest.mark.parametrize("steps", [4, BATCHES])
def test_a_signal_finishes_the_batch_and_saves(tmp_path: Path, number: int, kind: type, steps: int) -> None:
    class Told(Counter):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            if self.steps == steps - 1:
                signal.raise_signal(number)
            super().training_step(batch, batch_idx)

    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    with pytest.raises(kind) as stopped:
        fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), module=Told(), epochs=2)
    assert stopped.value.code is None  # status 0
    assert '"status": "interrupted"' in (tmp_path / "run.json").read_text()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == before
    assert steps_in(tmp_path / "last.ckpt") == steps
    module, _ = fit(tmp_path, Checkpoints(), epochs=2, resume="last.ckpt")
    assert module.places == [(n // BATCHES, n % BATCHES) for n in range(steps, 2 * BATCHES)]


@pytest.mark.parametrize("numbers", [(signal.SIGUSR1, signal.SIGTERM), (signal.SIGTERM, signal.SIGUSR1)])
def test_the_signal_of_most_consequence_counts(tmp_path: Path, numbers: tuple[int, int]) -> None:
    """SLURM sends SIGTERM too when time is up."""

    class Told(Counter):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            for number in numbers:
                signal.raise_signal(number)

    with pytest.raises(Requeue):
        fit(tmp_path, Checkpoints(), module=Told())


def test_a_signal_that_cannot_be_obeyed_is_an_error(tmp_path: Path, disk: Disk) -> None:
    parts = (fill(disk), When(4, lambda: signal.raise_signal(signal.SIGTERM)))
    with pytest.raises(OSError, match="No space left on device"):
        fit(tmp_path, Checkpoints(every_kimg=0.3), *parts)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["game"][0] == 3
