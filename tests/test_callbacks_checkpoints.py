"""What is written when, and that a run resumed from it goes on where it stopped."""

import errno
import io
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from tests.counting import BATCHES, Counter, Scores, When, fit, steps_in, stop
from zoo.callbacks import Budget, Checkpoints, RunRecord
from zoo.callbacks.interrupts import Requeue
from zoo.run import files
from zoo.run.files import SealedIO
from zoo.run.schedule import Every


def test_last_is_written_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    seen: list[float] = []
    look = [When(n, lambda: seen.append(steps_in(tmp_path / "last.ckpt"))) for n in (4, 7)]
    _, trainer = fit(tmp_path, Budget(0.8), Checkpoints(every_kimg=0.3), *look, epochs=-1)
    assert seen == [3, 6]
    assert steps_in(tmp_path / "last.ckpt") == 8
    assert sorted(p.name for p in tmp_path.glob("*.*") if p.suffix != ".jsonl") == ["last.ckpt", "previous.ckpt"]
    assert steps_in(tmp_path / "previous.ckpt") == 8  # before what is measured at the end
    assert isinstance(trainer.checkpoint_callback, Checkpoints)
    assert trainer.checkpoint_callback.last_model_path == str(tmp_path / "last.ckpt")


def test_best_holds_the_weights_that_were_measured(tmp_path: Path) -> None:
    scores = {0.2: 5.0, 0.4: math.nan, 0.5: 3.0, 0.6: 4.0, 1.0: math.nan}
    _, trainer = fit(tmp_path, Checkpoints(), Scores(scores))
    assert steps_in(tmp_path / "best.ckpt") == 5
    assert steps_in(tmp_path / "last.ckpt") == 10
    assert trainer.checkpoint_callback.best_model_path == str(tmp_path / "best.ckpt")


def test_nothing_but_nan_has_no_best(tmp_path: Path) -> None:
    scores = dict.fromkeys([round(n / 10, 1) for n in range(11)], math.nan)
    _, trainer = fit(tmp_path, Checkpoints(), Scores(scores))
    assert not (tmp_path / "best.ckpt").exists()
    assert trainer.checkpoint_callback.best_model_path == ""


def test_the_best_survives_a_resume(tmp_path: Path) -> None:
    fit(tmp_path, Budget(0.5), Checkpoints(), Scores({0.2: 5.0}), epochs=-1)
    again = (Checkpoints(), Scores({0.7: 6.0, 0.8: 5.0}))
    _, trainer = fit(tmp_path, Budget(1.2), *again, epochs=-1, resume="last.ckpt")
    assert steps_in(tmp_path / "best.ckpt") == 2
    assert trainer.checkpoint_callback.best_model_path == str(tmp_path / "best.ckpt")
    third = (Budget(1.5), Checkpoints(), Scores({1.4: 4.0}))
    fit(tmp_path, *third, epochs=-1, resume="last.ckpt")
    assert steps_in(tmp_path / "best.ckpt") == 14


def test_another_moments_weights_are_not_the_best(tmp_path: Path) -> None:
    """Quality remembers a best that this folder does not have: nothing stands in for it."""
    fit(tmp_path, Budget(0.5), Checkpoints(), Scores({0.2: 5.0}), epochs=-1)
    edited = torch.load(tmp_path / "last.ckpt", weights_only=True)
    del edited["callbacks"]["Checkpoints"]
    torch.save(edited, tmp_path / "last.ckpt")
    (tmp_path / "best.ckpt").unlink()
    fit(tmp_path, Budget(0.8), Checkpoints(), Scores({}), epochs=-1, resume="last.ckpt")
    assert not (tmp_path / "best.ckpt").exists()


class Diary(SealedIO):
    """Notes what it writes, and the step."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[str, int]] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, **options: Any) -> None:
        super().save_checkpoint(checkpoint, path)
        self.written.append((Path(path).stem, checkpoint["global_step"]))


def test_what_was_not_improved_is_not_written_again(tmp_path: Path) -> None:
    diary = Diary()
    parts = (Budget(0.4), Checkpoints(every_kimg=0.2), Scores({0.2: 5.0, 0.4: 3.0}))
    fit(tmp_path, *parts, epochs=-1, plugins=[diary])
    assert diary.written == [("best", 0), ("best", 2), ("last", 2), ("best", 4), ("last", 4), ("last", 4)]


@pytest.mark.parametrize("end", ["budget", "steps", "epoch", "budget_at_epoch", "interrupt"])
def test_a_resumed_run_goes_on_where_it_stopped(tmp_path: Path, end: str) -> None:
    whole = [(n // BATCHES, n % BATCHES) for n in range(2 * BATCHES)]
    first: list[Any] = [Checkpoints()]
    limits: dict[str, Any] = {"epochs": -1}
    if end == "budget":
        first.append(Budget(0.7))
    elif end == "steps":
        limits["max_steps"] = 7
    elif end == "epoch":
        limits = {"epochs": 1}
    elif end == "budget_at_epoch":
        first.append(Budget(1.0))
    else:
        first.append(When(7, lambda: os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(SystemExit) if end == "interrupt" else nullcontext():
        fit(tmp_path, *first, **limits)
    last = torch.load(tmp_path / "last.ckpt", weights_only=True)
    done = last["game"][0]
    assert done == (10 if "epoch" in end else 7)
    module, trainer = fit(tmp_path, Checkpoints(), epochs=2, resume="last.ckpt")
    assert module.places == whole[done:]
    assert trainer.global_step == len(whole)
    assert steps_in(tmp_path / "last.ckpt") == len(whole)


def test_ctrl_c_finishes_the_batch_and_gives_the_handler_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    class Pressed(Counter):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
            if self.steps == 4:
                signal.raise_signal(signal.SIGINT)  # to this thread: two that wait for another count as one
            super().training_step(batch, batch_idx)

    with pytest.raises(SystemExit):
        fit(tmp_path, Checkpoints(), module=Pressed())
    assert steps_in(tmp_path / "last.ckpt") == 5
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process that a shell starts in the background ignores Ctrl-C, and one under nohup SIGHUP."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGHUP, before[1])


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    class Pressed(Counter):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            if self.steps == 5:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)  # to this thread: two that wait for another count as one

    with pytest.raises(SystemExit):
        fit(tmp_path, Checkpoints(every_kimg=0.2), module=Pressed())
    assert steps_in(tmp_path / "last.ckpt") == 4  # the fifth step was cut


@pytest.mark.usefixtures("interruptible")
def test_a_save_that_a_second_ctrl_c_cut_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(content: Any, path: Path) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        fit(tmp_path, Checkpoints(0.4), When(4, lambda: monkeypatch.setattr(files, "put", cut)))
    assert steps_in(tmp_path / "last.ckpt") == 4


def test_training_works_outside_the_main_thread(tmp_path: Path) -> None:
    thread = threading.Thread(target=lambda: fit(tmp_path, Checkpoints()))
    thread.start()
    thread.join()
    assert steps_in(tmp_path / "last.ckpt") == BATCHES


def test_an_error_in_a_step_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    module = Counter()
    module.fail_at = 5
    with pytest.raises(RuntimeError, match="no luck"):
        fit(tmp_path, Checkpoints(every_kimg=0.2), module=module)
    assert steps_in(tmp_path / "last.ckpt") == 4


def test_an_error_between_steps_is_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="measure"):
        fit(tmp_path, Checkpoints(every_kimg=0.2), When(5, stop(RuntimeError("measure"))))
    assert steps_in(tmp_path / "last.ckpt") == 5


def test_an_error_before_training_overwrites_nothing(tmp_path: Path) -> None:
    fit(tmp_path, Budget(0.4), Checkpoints(), epochs=-1)

    class Refuses(Callback):
        def on_fit_start(self, *args: Any) -> None:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fit(tmp_path, Refuses(), Checkpoints())
    assert steps_in(tmp_path / "last.ckpt") == 4


class AtTheEnd(Callback):
    """Does something in place of the final measurements."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do = do

    def on_train_end(self, *args: Any) -> None:
        self.do()


def test_what_was_trained_is_saved_before_the_final_measurements(tmp_path: Path) -> None:
    seen: list[float] = []
    look = AtTheEnd(lambda: seen.append(steps_in(tmp_path / "last.ckpt")))
    fit(tmp_path, Budget(0.5), Checkpoints(0.4), look, epochs=-1)
    fit(tmp_path, Checkpoints(0.4), look, epochs=-1, max_steps=7)
    assert seen == [5, 7]


def test_measurements_in_which_a_run_was_killed_are_taken_by_its_resume(tmp_path: Path) -> None:
    """Lightning leaves out the loop, and `on_train_end` with it, where there is nothing left to train."""
    killed, unmeasured = AtTheEnd(stop(RuntimeError("killed"))), Scores({})
    unmeasured._every = Every(1)
    with pytest.raises(RuntimeError, match="killed"):
        fit(tmp_path, Budget(0.5), killed, unmeasured, Checkpoints(), epochs=-1)
    before = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for written in ([("best", 5), ("last", 5)], []):
        diary, scores = Diary(), Scores({0.5: 3.0})
        fit(tmp_path, Budget(0.5), Checkpoints(), scores, epochs=-1, resume="last.ckpt", plugins=[diary])
        assert diary.written == written
        assert (scores.score, scores.best_kimg) == (3.0, 0.5)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["loops"] == before["loops"]


def test_the_best_is_kept_where_the_end_fails(tmp_path: Path) -> None:
    quality = Scores({1.0: 3.0})
    quality._every = Every(0.3)  # the last is measured at the end
    with pytest.raises(RuntimeError, match="no"):
        fit(tmp_path, Checkpoints(), quality, AtTheEnd(stop(RuntimeError("no"))))
    assert steps_in(tmp_path / "best.ckpt") == BATCHES


def test_a_resume_that_fails_before_its_checkpoint_is_read_keeps_the_record(tmp_path: Path) -> None:
    class Refuses(Callback):
        def setup(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        fit(tmp_path, RunRecord(tmp_path, "v", "d"), Refuses())
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "failed"
    fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints())
    before = (tmp_path / "run.json").read_text()
    for resume in ("last.ckpt", None):
        with pytest.raises(ValueError, match="no data"):
            fit(tmp_path, RunRecord(tmp_path, "v", "d"), Refuses(), resume=resume)
    assert (tmp_path / "run.json").read_text() == before


# What a run keeps when something goes wrong: full disks, damaged files, signals.


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
    fit(tmp_path, Budget(0.3), Checkpoints(), epochs=-1)
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


KINDS = {
    signal.SIGHUP: SIGTERMException, signal.SIGTERM: SIGTERMException, signal.SIGUSR1: Requeue, signal.SIGUSR2: Requeue
}  # fmt: skip


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "kind"), KINDS.items())
@pytest.mark.parametrize("steps", [4, BATCHES])
def test_a_signal_finishes_the_batch_and_saves(tmp_path: Path, number: int, kind: type, steps: int) -> None:
    class Told(Counter):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            if self.steps == steps - 1:
                signal.raise_signal(number)
            super().training_step(batch, batch_idx)

    before = [signal.getsignal(n) for n in (signal.SIGINT, *KINDS)]
    with pytest.raises(kind) as stopped:
        fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), module=Told(), epochs=2)
    assert stopped.value.code is None  # status 0
    assert '"status": "interrupted"' in (tmp_path / "run.json").read_text()
    assert [signal.getsignal(n) for n in (signal.SIGINT, *KINDS)] == before
    assert steps_in(tmp_path / "last.ckpt") == steps
    module, _ = fit(tmp_path, Checkpoints(), epochs=2, resume="last.ckpt")
    assert module.places == [(n // BATCHES, n % BATCHES) for n in range(steps, 2 * BATCHES)]


@pytest.mark.usefixtures("interruptible")
def test_a_closed_terminal_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    def close() -> None:
        monkeypatch.setattr("sys.stderr", Closed())
        signal.raise_signal(signal.SIGHUP)

    with pytest.raises(SIGTERMException):
        fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), When(4, close))
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "interrupted"


def test_nohup_ignores_sighup(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        module, _ = fit(tmp_path, Checkpoints(), When(4, lambda: signal.raise_signal(signal.SIGHUP)))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert module.steps == BATCHES


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
