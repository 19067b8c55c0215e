"""Budget, Samples and Progress, on a module that only counts."""

import io
import json
import math
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tests.counting import BATCHES, Counter, Scores, When, fit, stop
from zoo.callbacks import Budget, Checkpoints, Progress, RunRecord, Samples, record

# Budget


@pytest.mark.parametrize(("kimg", "steps"), [(0.3, 3), (0.35, 4), (1.0, 10), (1.7, 17)])
def test_budget_ends_with_the_batch_that_reaches_it(tmp_path: Path, kimg: float, steps: int) -> None:
    module, _ = fit(tmp_path, Budget(kimg), epochs=-1)
    assert module.steps == steps


def test_budget_none_leaves_the_epochs(tmp_path: Path) -> None:
    assert fit(tmp_path, Budget(), epochs=2)[0].steps == 2 * BATCHES


def test_a_spent_budget_trains_no_further_batch(tmp_path: Path) -> None:
    fit(tmp_path, Budget(0.3), Checkpoints(), epochs=-1)
    before = (tmp_path / "last.ckpt").stat().st_mtime_ns
    module, trainer = fit(tmp_path, Budget(0.3), Checkpoints(), resume="last.ckpt", epochs=-1)
    assert (module.steps, module.places, trainer.state.finished) == (3, [], True)
    assert (tmp_path / "last.ckpt").stat().st_mtime_ns == before


def test_the_environment_limits_each_fit_from_where_it_starts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GAN_ZOO_MAX_KIMG", "0.2")
    assert fit(tmp_path, Budget(1.0), Checkpoints(), epochs=-1)[0].steps == 2
    assert fit(tmp_path, Budget(1.0), Checkpoints(), resume="last.ckpt", epochs=-1)[0].steps == 4
    assert fit(tmp_path, Budget(), epochs=-1)[0].steps == 2
    monkeypatch.setenv("GAN_ZOO_MAX_KIMG", "few")
    with pytest.raises(ValueError, match="GAN_ZOO_MAX_KIMG must be a positive number, got 'few'"):
        Budget()


@pytest.mark.parametrize("kimg", [0, -1, math.inf, math.nan])
def test_budget_refuses(kimg: float) -> None:
    with pytest.raises(ValueError, match=r"Budget: kimg must be positive .* got"):
        Budget(kimg)


# Samples


class Pictures(Logger):
    """Keeps what is logged."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.shown = folder, []

    name, version = "pictures", None

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        pass

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_image(self, key: str, images: list[np.ndarray]) -> None:
        [picture] = images
        assert key == "samples/grid"
        assert picture.dtype == np.uint8
        self.shown.append(picture.shape)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "samples").iterdir())


def test_samples_at_the_start_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    logger = Pictures(tmp_path)
    fit(tmp_path, Budget(1.1), Samples(every_kimg=0.5, n=4), epochs=-1, logger=logger)
    expected = [0.0, 0.5, 1.0, 1.1]
    assert names(tmp_path) == [f"{kimg:010.3f}.png" for kimg in expected]
    assert logger.shown == [(66, 66, 3)] * 4  # 2 x 2 of 32 pixels, 2 between


def test_samples_show_the_weights_of_their_moment(tmp_path: Path) -> None:
    fit(tmp_path, Samples(every_kimg=0.5, n=1))
    for kimg in (0.0, 0.5, 1.0):
        pixels = np.asarray(Image.open(tmp_path / "samples" / f"{kimg:010.3f}.png"))
        grey = round((kimg * 10 / 100 + 1) * 127.5)
        assert (pixels == grey).all()


def test_samples_are_not_drawn_twice_at_the_end_and_go_on_after_a_resume(tmp_path: Path) -> None:
    logger = Pictures(tmp_path)
    fit(tmp_path, Budget(0.6), Samples(every_kimg=0.3), Checkpoints(), epochs=-1, logger=logger)
    assert len(logger.shown) == len(names(tmp_path)) == 3
    for path in (tmp_path / "samples").iterdir():
        path.unlink()
    again = (Budget(1.3), Samples(every_kimg=0.3), Checkpoints())
    fit(tmp_path, *again, epochs=-1, resume="last.ckpt")
    assert names(tmp_path) == ["000000.900.png", "000001.200.png", "000001.300.png"]


def test_nan_samples_cost_a_picture_and_not_the_run(tmp_path: Path) -> None:
    module = Counter()
    module.weight.data.fill_(math.nan)
    with pytest.warns(UserWarning, match=r"Samples: there are NaN values at 0 kimg"):
        fit(tmp_path, Samples(every_kimg=1), module=module)
    assert module.steps == BATCHES
    assert not (tmp_path / "samples").exists()


def test_samples_refuse() -> None:
    with pytest.raises(ValueError, match="Samples: n must be at least 1, got 0"):
        Samples(n=0)


def test_a_dry_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunRecord(tmp_path / "run", "v", "d")
    fit(tmp_path / "run", Samples(), Checkpoints(), run, fast_dev_run=True)
    assert list(tmp_path.iterdir()) == []


# Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 45, 200])
def test_progress_on_a_terminal_is_one_bar_in_kimg(columns: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.stderr", screen := Terminal())
    monkeypatch.setenv("COLUMNS", str(columns))
    fit(tmp_path, Budget(0.45), Progress(refresh_seconds=0), epochs=-1)
    introduction, _, shown = screen.getvalue().partition("\n")
    assert introduction == f"Counter · D 0.001k parameters · cpu · {tmp_path}"
    frames = [frame for frame in shown.split("\r") if frame.strip()]
    assert shown.count("\n") == 1  # the end of the one bar
    last = frames[-1].strip("\n")
    assert "| 0.45/0.45 kimg [" in last
    assert "100%" in last
    assert ("img/s" in last) == (columns >= 80)
    assert ("d 0.5, g 2.25]" in last) == (columns >= 80)
    assert "penalty" not in last


def test_progress_without_a_terminal_is_plain_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    fit(tmp_path, Progress(refresh_seconds=0), epochs=2)
    lines = [line for line in log.getvalue().splitlines() if " kimg, " in line]
    assert len(lines) == 2 * BATCHES + 1
    assert re.fullmatch(r"0\.1/2 kimg, loss/d 0\.5 loss/g 2\.25 images/s \d+", lines[0])
    assert lines[-1].startswith("2/2 kimg")
    assert "\r" not in log.getvalue()


def test_images_per_second_are_those_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    for module in ("progress", "quality"):
        monkeypatch.setattr(f"zoo.callbacks.{module}.time", SimpleNamespace(monotonic=lambda: now[0]))

    class Timed(Counter):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
            now[0] += 0.1
            super().training_step(batch, batch_idx)

    class Slow(Scores):
        def _measure(self, *args: Any) -> Any:
            now[0] += 5
            return super()._measure(*args)

    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    fit(tmp_path, Progress(refresh_seconds=0), Slow({}), epochs=1, module=Timed())
    speeds = [int(speed) for speed in re.findall(r"images/s (\d+)", log.getvalue())]
    assert speeds[:-1] == [1000] * BATCHES  # 100 images in 0.1 s; the last line is drawn at once


def test_progress_reads_no_loss_between_two_drawings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    class Device(dict):
        def items(self) -> Any:
            reads.append(1)
            return super().items()

    class Watched(Counter):
        def training_step(self, batch: list[Tensor], batch_idx: int) -> None:
            super().training_step(batch, batch_idx)
            self.latest = Device(self.latest)

    monkeypatch.setattr("sys.stderr", Terminal())
    fit(tmp_path, Progress(refresh_seconds=1000), module=Watched())
    assert len(reads) == 1  # the last


def test_progress_estimates_the_total_from_steps_and_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    fit(tmp_path, Progress(refresh_seconds=0), epochs=-1, max_steps=3)
    assert "0.1/0.3 kimg" in log.getvalue()


# What a run says of itself in run.json.


def load(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_the_record_of_a_finished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    during: list[dict[str, Any]] = []
    scores = Scores({0.2: 3.0, 0.5: math.nan})
    parts = (Samples(every_kimg=1), scores, Checkpoints(), When(2, lambda: during.append(load(tmp_path))))
    fit(tmp_path, RunRecord(tmp_path, variant="sngan", dataset="ring"), *parts, Budget(0.5))
    [early], run = during, load(tmp_path)
    assert (early["status"], early["ended"]) == ("running", None)
    assert (run["status"], run["error"]) == ("finished", None)
    assert (run["variant"], run["objective"], run["dataset"], run["seed"]) == ("sngan", "Counter", "ring", 7)
    assert run["started"] <= run["ended"]
    assert run["started"].endswith("+00:00")
    assert run["versions"]["torch"] == str(torch.__version__)
    assert (run["device"], run["ranks"]) == ("cpu", 1)
    result = run["result"]
    assert (result["kimg"], result["steps"]) == (0.5, 5)
    assert result["images_per_second"] == pytest.approx(500 / result["seconds"], rel=0.1)
    assert result["score"] == {
        "name": "fd/pixels8", "last": "nan", "last_kimg": 0.5, "best": 3.0, "best_kimg": 0.2,
    }  # fmt: skip
    assert result["metrics"]["loss/g"] == 2.25
    assert result["metrics"]["fd/pixels8"] == "nan"
    assert result["checkpoints"] == ["last.ckpt", "best.ckpt"]
    said = capsys.readouterr().err.splitlines()
    assert said[-5:-3] == [f"Run: {tmp_path}", f"Samples: {tmp_path}/samples/000000.500.png"]
    assert said[-3] == f"Sample:  python -m zoo sample {tmp_path} -o grid.png"
    assert said[-2] == f"Compare: python -m zoo compare {tmp_path.parent}"
    assert said[-1].endswith(f"--ckpt_path {tmp_path}")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (RuntimeError("no luck\nat all"), "failed", "RuntimeError: no luck"),
        (ValueError(), "failed", "ValueError: "),
        (KeyboardInterrupt(), "interrupted", None),
    ],
)
def test_the_record_of_a_run_cut_short(tmp_path: Path, error: BaseException, status: str, line: str | None) -> None:
    with pytest.raises((RuntimeError, ValueError, SystemExit)):
        fit(tmp_path, RunRecord(tmp_path, "v", "d"), When(3, stop(error)))
    run = load(tmp_path)
    assert (run["status"], run["error"], run["result"]["steps"]) == (status, line, 3)
    assert run["ended"] is not None


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_train_start", "on_train_epoch_end", "on_fit_end"])
def test_the_record_of_an_error_outside_the_batches(tmp_path: Path, hook: str) -> None:
    bad = Callback()
    monkey = stop(OSError("no such data"))
    setattr(bad, hook, lambda *_, **__: monkey())
    with pytest.raises(OSError, match="no such data"):
        fit(tmp_path, bad, RunRecord(tmp_path, "v", "d"))
    run = load(tmp_path)
    assert (run["status"], run["error"]) == ("failed", "OSError: no such data")
    assert run["started"] <= run["ended"]


def test_the_record_goes_on_over_a_resume(tmp_path: Path) -> None:
    fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), Budget(0.4))
    first = load(tmp_path)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["RunRecord"]
    assert state["started"] == first["started"]
    edited = torch.load(tmp_path / "last.ckpt", weights_only=True)
    edited["callbacks"]["RunRecord"] |= {"seconds": 1000.0, "wandb_id": "abc"}
    torch.save(edited, tmp_path / "last.ckpt")
    fit(tmp_path, RunRecord(tmp_path, "v", "d"), Checkpoints(), Budget(0.8), resume="last.ckpt")
    second = load(tmp_path)
    assert second["started"] == first["started"]
    assert 1000 < second["result"]["seconds"] < 1100
    assert second["result"]["images_per_second"] == pytest.approx(0.8, rel=0.2)
    assert second["wandb_id"] == "abc"


def test_a_test_run_leaves_the_record_alone(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, RunRecord(tmp_path, "v", "d"))
    before = (tmp_path / "run.json").read_text()
    with pytest.raises(Exception, match="test_step"):
        trainer.test(Counter(), DataLoader(TensorDataset(torch.zeros(2, 2))))
    assert (tmp_path / "run.json").read_text() == before


def test_git_is_the_checkouts_own(tmp_path: Path) -> None:
    assert record._git(tmp_path) is None

    def git(*command: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        told = ["git", "-C", str(tmp_path), *identity, *command]
        return subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    assert record._git(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    assert record._git(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "file").write_text("2")
    assert record._git(tmp_path) == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    (tmp_path / "below").mkdir()
    assert record._git(tmp_path / "below") is None


def test_no_git_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record._git(record.CHECKOUT) is None
