"""The peak memory of a side, in a process of its own.

`python -m benchmarks.memory zoo|bare VARIANT ...` trains for a few rounds and prints two numbers: the greatest resident
set in all, and that after the imports, both in MB. The bare loop's process never imports Lightning.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.loops import Deal
from benchmarks.machine import ROOT, pin
from benchmarks.setting import Setting

ROUNDS = 4


def peak_memory(side: str, setting: Setting, threads: int) -> tuple[float, float]:
    """(peak, after the imports), in MB."""
    command = [sys.executable, "-m", "benchmarks.memory", side, setting.variant, "--backbone", setting.backbone]
    command += ["--size", str(setting.size), "--batch", str(setting.batch), "--threads", str(threads)]
    command += ["--width", str(setting.width)] if setting.width else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    peak, imported = map(float, done.stdout.split()[-2:])
    return peak, imported


def resident() -> float:
    """The greatest resident set of this process so far, in MB.

    From Linux itself: getrusage's number begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Train one side."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("side", choices=("zoo", "bare"))
    parser.add_argument("variant")
    parser.add_argument("--backbone", default="dcgan")
    parser.add_argument("--width", type=int)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    told = parser.parse_args()
    pin(told.threads)
    setting = Setting(told.variant, told.backbone, told.width, told.size, told.batch)
    steps = ROUNDS * setting.d_steps
    print(*(_zoo(setting, steps) if told.side == "zoo" else _bare(setting, steps)))


def _zoo(setting: Setting, steps: int) -> tuple[float, float]:
    import zoo  # noqa: F401, I001 - before Lightning, as in train.py
    import torch

    from benchmarks.fitting import Noise, quietly, trainer_for

    imported = resident()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_for(setting, Path(folder), device=torch.device("cpu"), evaluation=False, steps=steps)
        with quietly():
            trainer.fit(setting.gan(), datamodule=Noise(setting))
    return resident(), imported


def _bare(setting: Setting, steps: int) -> tuple[float, float]:
    imported = resident()
    loop = setting.loop()
    for _, real in zip(range(steps), Deal(setting.data(), setting.batch), strict=False):
        loop.step(real)
    assert "lightning" not in sys.modules
    return resident(), imported


if __name__ == "__main__":
    main()
