"""Two ranks through the command line are one run: one folder, one W&B run, one row a logged step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli.main import ROOT
from zoo.run.records import read_metrics

LAUNCHERS = {
    "lightning": [],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_ranks_are_one_run(launcher: str, tmp_path: Path) -> None:
    words = [
        "fit", "-c", "configs/nsgan.yaml", "-c", "configs/data/digits.yaml", "--trainer.accelerator=cpu",
        "--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_steps=4", "--trainer.log_every_n_steps=2",
        f"--trainer.default_root_dir={tmp_path / 'runs'}", "--data.image_size=8", "--data.batch_size=8",
        "--model.generator.width=4", "--model.discriminator.width=4", "--diagnostics.retrain_d=true",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = subprocess.run(
        [sys.executable, *LAUNCHERS[launcher], "train.py", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    (run,) = (tmp_path / "runs").iterdir()
    assert len(list(run.glob("wandb/offline-run-*"))) == 1
    assert json.loads((run / "frozen_generator.json").read_text())
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["ranks"], record["result"]["steps"]) == ("finished", 2, 4)
    assert record["result"]["kimg"] == 4 * 2 * 8 / 1000
    rows = [row for row in read_metrics(run / "metrics.jsonl") if "loss/d" in row]
    assert [row["progress/kimg"] for row in rows] == [0.032, 0.064]
