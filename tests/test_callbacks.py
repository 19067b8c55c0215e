"""Budget, Samples and Progress, on a module that only counts."""

import io
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.loggers import Logger
from PIL import Image
from torch import Tensor

from tests.counting import BATCHES, Counter, Scores, fit
from zoo.callbacks import Budget, Checkpoints, Progress, RunRecord, Samples

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
