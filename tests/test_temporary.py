"""A run leaves nothing in the system's temporary folder, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.cli.main import ROOT


@pytest.mark.parametrize("killed", [False, True], ids=["finished", "killed"])
def test_no_folder_of_wandb_is_left(killed: bool, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [
        sys.executable, str(ROOT / "train.py"), "fit", "-c", f"{ROOT}/configs/nsgan.yaml",
        "-c", f"{ROOT}/configs/data/digits.yaml", "--data.image_size=8", "--model.generator.width=4",
        "--model.discriminator.width=4", f"--budget.kimg={100 if killed else 0.2}",
        f"--trainer.default_root_dir={tmp_path / 'runs'}", "--trainer.accelerator=cpu",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(temporary), "WANDB_MODE": "offline"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        if killed:
            deadline = time.monotonic() + 120
            while not list(tmp_path.glob("runs/*/samples/*.png")) and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=180) == (-signal.SIGKILL if killed else 0)
    assert list(tmp_path.glob("runs/*/wandb/offline-run-*"))
    deadline = time.monotonic() + 60  # W&B's own service ends a moment later
    while list(temporary.glob("*wandb*")) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert list(temporary.glob("*wandb*")) == []
