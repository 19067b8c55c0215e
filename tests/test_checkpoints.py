"""What is written when, and that a run resumed from it goes on where it stopped."""

import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from tests.counting import BATCHES, Counter, Scores, When, fit, steps_in, stop
from zoo.callbacks import Budget, Checkpoints
from zoo.run.files import SealedIO


def test_last_is_written_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    seen: list[float] = []
    look = [When(n, lambda: seen.append(steps_in(tmp_path / "last.ckpt"))) for n in (4, 7)]
    _, trainer = fit(tmp_path, Budget(0.8), Checkpoints(every_kimg=0.3), *look, epochs=-1)
    assert seen == [3, 6]
    assert steps_in(tmp_path / "last.ckpt") == 8
    assert sorted(p.name for p in tmp_path.glob("*.*") if p.suffix != ".jsonl") == ["last.ckpt", "previous.ckpt"]
    assert steps_in(tmp_path / "previous.ckpt") == 6
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


def test_what_was_not_improved_is_not_written_again(tmp_path: Path) -> None:
    class Diary(SealedIO):
        def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, **options: Any) -> None:
            super().save_checkpoint(checkpoint, path)
            written.append((Path(path).stem, checkpoint["global_step"]))

    written: list[tuple[str, int]] = []
    parts = (Budget(0.4), Checkpoints(every_kimg=0.2), Scores({0.2: 5.0, 0.4: 3.0}))
    fit(tmp_path, *parts, epochs=-1, plugins=[Diary()])
    assert written == [("best", 0), ("best", 2), ("last", 2), ("best", 4), ("last", 4), ("last", 4)]


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
    """A process that a shell starts in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
