"""A run that was cut and resumed is, bit for bit, one that never was: all that a checkpoint holds is compared."""

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from tests.fakes.wandb import FakeWandb
from tests.fits import DIGITS, NSGAN, SMALL, VARIANTS
from tests.processes import apart
from tests.trials import CUT, SAVED, Trial, contents, differences, rows
from zoo.backbones import MLPDiscriminator
from zoo.cli.main import ROOT
from zoo.hub.load import load
from zoo.run.folders import held
from zoo.run.records import read_metrics


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A sum over other shares of a batch is another number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_same(straight: Path, resumed: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        assert differences(contents(straight, name), contents(resumed, name)) == []
    assert differences(rows(straight), rows(resumed)) == []
    pictures = [{p.name: p.read_bytes() for p in (run / "samples").iterdir()} for run in (straight, resumed)]
    assert pictures[0] == pictures[1]


def check(trial: Trial, end: int = signal.SIGKILL, saved: int = SAVED) -> None:
    """What was trained twice is left out of the rows, and all else is there once."""
    straight = trial.run("straight")
    folder = trial.cut("cut", lambda: os.kill(os.getpid(), end))
    assert contents(folder, "last.ckpt")["global_step"] == saved
    assert len(rows(folder)) >= CUT - 1
    resumed = trial.run("cut", f"--ckpt_path={folder / 'last.ckpt'}", "--seed_everything=5")
    assert trial.only("cut") == folder
    assert_same(trial.only("straight"), folder)
    assert torch.equal(straight.model.sample(9, seed=1), resumed.model.sample(9, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda p: p.stem)
def test_killed_and_resumed_is_straight(config: Path, tmp_path: Path) -> None:
    check(Trial(tmp_path, config, DIGITS))


@pytest.mark.parametrize(
    "precision", ["64-true", *(pytest.param(f"{half}-true", marks=pytest.mark.slow) for half in ("16", "bf16"))]
)
def test_other_precisions_are_resumed_and_loaded(precision: str, tmp_path: Path) -> None:
    trial = Trial(tmp_path, NSGAN, DIGITS)
    words = [f"--trainer.precision={precision}"]
    straight = trial.run("straight", *words, steps=8)
    trial.run("over", *words, steps=5)
    resumed = trial.run("over", *words, f"--ckpt_path={trial.only('over') / 'last.ckpt'}", steps=8)
    assert differences(straight.model.state_dict(), resumed.model.state_dict()) == []
    loaded = load(trial.only("over") / "last.ckpt")
    assert next(loaded.parameters()).dtype == next(resumed.model.parameters()).dtype != torch.float32
    assert torch.equal(loaded.sample(4, seed=1), resumed.model.sample(4, seed=1))


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    trial = Trial(tmp_path, NSGAN, DIGITS)
    trial.run("over", steps=3)
    folder = trial.only("over")
    before = {path.name: path.read_bytes() for path in folder.glob("[!.]*.*")}

    def refusal() -> str:
        with redirect_stderr(StringIO()) as said, pytest.raises(SystemExit) as ended:
            trial.run("over", f"--ckpt_path={folder}", steps=5)
        assert ended.value.code == 2
        return said.getvalue().splitlines()[-1]

    with held(folder):
        assert apart(refusal, {}) == [f"error: {folder} is being trained by another process"]
    assert before == {
        path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."
    }
    assert trial.run("over", f"--ckpt_path={folder}", steps=5).model.steps == 5


def test_a_run_that_was_over_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """But for what was measured and drawn at its end."""
    trial = Trial(tmp_path, ROOT / "configs/began.yaml", DIGITS)
    trial.run("straight")
    trial.run("over", steps=13)
    folder = trial.only("over")
    trial.run("over", f"--ckpt_path={folder / 'last.ckpt'}")
    straight, over = (contents(run, "last.ckpt") for run in (trial.only("straight"), folder))
    del straight["callbacks"], over["callbacks"]
    assert differences(straight, over) == []
    told = [[row for row in rows(run) if "loss/d" in row] for run in (trial.only("straight"), folder)]
    assert differences(*told) == []


def part(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": name, "init_args": arguments}


def overlay(folder: Path, **model: Any) -> Path:
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump({"model": {"init_args": model}}))
    return path


@pytest.mark.slow
def test_growing_networks_go_on_where_they_were(tmp_path: Path) -> None:
    """They fade from 0.7 to 1.6 kimg, and the run is cut at 1.1."""
    growing = part("zoo.stabilizers.ProgressiveGrowing", stable_kimg=0.7, fade_kimg=0.9)
    own = overlay(tmp_path, stabilizers=[growing])
    check(Trial(tmp_path, ROOT / "configs/progressive_growing.yaml", DIGITS, own))


def test_all_that_has_a_state_goes_on_together(tmp_path: Path) -> None:
    """Mirrored images, a schedule for each player, eight stabilizers, clipping, an average.

    The cut is a SIGTERM between two batches: the batch is finished first, and saved; G's fifth is yet to come.
    """
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.random.default_rng(0).integers(256, size=(500, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(images / f"{i}.png")
    data = {"root": str(images), "flip": True, "image_size": 16}
    stabilizers = [
        part("zoo.stabilizers.DiffAugment", policy=["translation", "color", "cutout"]),
        part("zoo.stabilizers.AdaptiveAugment", speed_kimg=1.0),
        part("zoo.stabilizers.InstanceNoise", until_kimg=1.5, sigma=0.5),
        part("zoo.stabilizers.VirtualBatchNorm", nets="both", size=8),
        part("zoo.stabilizers.Dropout"),
        part("zoo.stabilizers.LayerNoise"),
        part("zoo.stabilizers.LeCam", start_kimg=0.3),
        part("zoo.stabilizers.HistoricalAveraging", weight=0.1),
    ]
    own = overlay(
        tmp_path, stabilizers=stabilizers, clip_norm=1.0, ema_decay=0.9,
        dynamics=part("zoo.dynamics.Alternating", d_steps=5),
        g_scheduler=part("zoo.schedules.Linear", end_kimg=1.6), d_scheduler=part("zoo.schedules.Step", every_kimg=0.5),
    )  # fmt: skip
    own.write_text(own.read_text() + yaml.safe_dump({"data": {"init_args": data}}))
    check(Trial(tmp_path, NSGAN, ROOT / "configs/data/image_folder.yaml", own), signal.SIGTERM, saved=CUT)


def test_streamed_shards_go_on_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    """Of 7 batches, two workers; the run is saved after 2 of the third epoch."""
    pixels = np.random.default_rng(0).integers(256, size=(500, 8, 8, 3), dtype=np.uint8)
    for name, own in {"train/0": pixels[:300], "train/1": pixels[300:], "val/0": pixels[:40]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as shard:
            for i, image in enumerate(own):
                file = BytesIO()
                Image.fromarray(image).save(file, "png")
                info = tarfile.TarInfo(f"{i}.png")
                info.size = file.tell()
                file.seek(0)
                shard.addfile(info, file)
    config = tmp_path / "own.yaml"
    config.write_text(yaml.safe_dump({"data": {"init_args": {"root": str(tmp_path), "flip": True, "num_workers": 2}}}))
    check(Trial(tmp_path, NSGAN, ROOT / "configs/data/shards.yaml", config))


@pytest.mark.slow
def test_from_the_best_checkpoint_the_same_run_comes_again(tmp_path: Path) -> None:
    """It was written before the first batch, in this game."""
    trial = Trial(tmp_path, ROOT / "configs/began.yaml", DIGITS)
    trial.run("straight")
    straight = trial.only("straight")
    assert contents(straight, "best.ckpt")["global_step"] == 0
    trial.run("again", f"--ckpt_path={straight / 'best.ckpt'}", "--dataset=other")
    assert differences(contents(straight, "last.ckpt"), contents(trial.only("again"), "last.ckpt")) == []


class Careless(MLPDiscriminator):
    """Draws from every global generator there is."""

    def forward(self, x: torch.Tensor, labels: None = None) -> Any:
        x = nn.functional.dropout(x, 0.3)
        return super().forward(x + 0.1 * float(np.random.rand()) + 0.1 * random.random())


def test_what_d_said_is_known_while_d_waits(tmp_path: Path) -> None:
    """With such a threshold D moves once and then waits, and what it said of real images stands."""
    careless = part("tests.test_resume.Careless", width=4)
    own = overlay(tmp_path, discriminator=careless, dynamics=part("zoo.dynamics.Balanced", d_until=0.0, g_from=0.0))
    trial = Trial(tmp_path, NSGAN, DIGITS, own)
    check(trial)
    assert len({row["loss/d"] for row in rows(trial.only("straight")) if "loss/d" in row}) == 1


@pytest.fixture
def wandb() -> Iterator[FakeWandb]:
    """W&B's server on loopback."""
    with FakeWandb() as server:
        yield server
    assert server.unknown == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_wandb_goes_on_with_the_same_run(mode: str, wandb: FakeWandb, tmp_path: Path) -> None:
    """Of a process that was killed. Its server lacks what the client had not sent yet; the run's folder has it."""
    words = [
        "fit", "-c", NSGAN, "-c", DIGITS, "--data.image_size=8", "--trainer.accelerator=cpu", *SMALL[4:],
        f"--trainer.default_root_dir={tmp_path / 'runs'}", "--trainer.log_every_n_steps=1",
    ]  # fmt: skip
    environment = {**os.environ, **wandb.environment(tmp_path), "WANDB_MODE": mode, "OMP_NUM_THREADS": "1"}
    checkpoints = part("zoo.callbacks.Checkpoints", every_kimg=0.5)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": [checkpoints]}}))

    def start(steps: int, *more: object) -> subprocess.Popen:
        command = [
            sys.executable,
            "train.py",
            *words,
            "-c",
            tmp_path / "own.yaml",
            f"--trainer.max_steps={steps}",
            *more,
        ]
        return subprocess.Popen(list(map(str, command)), cwd=ROOT, env=environment)

    known = set(wandb.runs)
    first = start(100_000)
    while not (found := list(tmp_path.glob("runs/*/last.ckpt"))):
        assert first.poll() is None
        time.sleep(0.05)
    while mode == "online" and not any(wandb.runs[key].history for key in set(wandb.runs) - known):
        time.sleep(0.05)  # the client sends now and then
    first.kill()
    first.wait()
    run = found[0].parent
    saved = torch.load(run / "last.ckpt", weights_only=True)["game"]
    steps = saved["steps"] + 60
    assert start(steps, f"--ckpt_path={run / 'last.ckpt'}").wait(200) == 0

    told = json.loads((run / "run.json").read_text())
    assert told["status"] == "finished"
    if mode == "offline":
        ids = {folder.name.rpartition("-")[2] for folder in run.glob("wandb/offline-run-*")}
        assert len(list(run.glob("wandb/offline-run-*"))) == 2
        assert ids == {told["wandb_id"]}
        return
    (key,) = set(wandb.runs) - known
    assert key[1] == told["wandb_id"]
    assert wandb.runs[key].state == "finished"
    ours = {row["progress/kimg"]: row["loss/d"] for row in rows(run) if "loss/d" in row}
    theirs: dict[float, set[float]] = {}
    for row in wandb.runs[key].history:
        if "loss/d" in row:
            theirs.setdefault(row["progress/kimg"], set()).add(row["loss/d"])
    assert all(theirs.get(kimg, {loss}) == {loss} for kimg, loss in ours.items())
    assert all(1000 * kimg <= saved["images"] for kimg in ours.keys() - theirs.keys())
    assert min(theirs) == min(ours)
    assert len(ours) == steps


def test_a_row_that_a_kill_came_before_is_written_by_the_resume(tmp_path: Path) -> None:
    """The checkpoint of a step is written before the row of its step."""
    trial = Trial(tmp_path, NSGAN, DIGITS)
    trial.run("straight", steps=12)
    trial.run("cut", steps=10)
    straight = read_metrics(trial.only("straight") / "metrics.jsonl")
    log = trial.only("cut") / "metrics.jsonl"
    *kept, lost = log.read_text().splitlines(keepends=True)
    assert lost.startswith('{"step": 9,')
    log.write_text("".join(kept))
    trial.run("cut", f"--ckpt_path={log.with_name('last.ckpt')}", steps=12)
    assert [{**row, "time": 0} for row in read_metrics(log)] == [{**row, "time": 0} for row in straight]
