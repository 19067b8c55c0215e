"""What other systems lack or do otherwise, emulated in processes of this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli.main import ROOT

WITHOUT = """
import runpy, signal, sys
kept = signal.SIGUSR1
del signal.SIGUSR1
import zoo.callbacks.interrupts
signal.SIGUSR1 = kept  # Lightning asks for the platform instead
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_fit_needs_no_sigusr1(tmp_path: Path) -> None:
    words = [
        f"{ROOT}/train.py", "fit", "-c", f"{ROOT}/configs/nsgan.yaml", "-c", f"{ROOT}/configs/data/digits.yaml",
        "--data.image_size=8", "--model.generator.width=4", "--model.discriminator.width=4", "--budget.kimg=0.2",
        f"--trainer.default_root_dir={tmp_path}", "--trainer.logger=false", "--trainer.accelerator=cpu",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*/last.ckpt"))


def test_a_benchmark_needs_no_fcntl(tmp_path: Path) -> None:
    code = "import sys; sys.modules['fcntl'] = None; import zoo.benchmark.run, pathlib\n"
    code += "with zoo.benchmark.run.locked(pathlib.Path(sys.argv[1])): print('locked')"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True)
    assert done.stdout == "locked\n", done.stderr


@pytest.mark.parametrize("words", [["lab"], ["models"]])
def test_letters_that_a_pipe_cannot_encode_end_no_command(words: list[str]) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252:strict"}
    done = subprocess.run([sys.executable, "-m", "zoo", *words], capture_output=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
