"""How long a run takes to begin: from the command to its first step, against importing torch and Lightning alone.

python -m benchmarks.startup [--pairs 15] [--variant wgan_gp] [--threads 1] [--top 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.loops import LOOPS
from benchmarks.machine import ROOT, facts, pin
from benchmarks.statistics import summary

MARK = "first step at "
ALONE = "import torch, lightning.pytorch"


class Stamp(Callback):
    """Says when the first step begins and ends, in seconds of the wall clock."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The first."""
        self.began = time.time()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """The only one."""
        print(f"{MARK}{self.began} {time.time()}", flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("--variant", choices=list(LOOPS), default="wgan_gp")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--top", type=int, default=15, help="modules to list")
    parser.add_argument("--json")
    told = parser.parse_args()
    pin(told.threads)
    machine = facts(torch.device("cpu"))
    print(", ".join(f"{k} {v}" for k, v in machine.items() if v is not None))
    ways = {"imports": None, "fit": [], "fit, no logger but its own": ["--trainer.logger=false"]}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(told.pairs):
        for name, more in ways.items():
            seconds[name].append(imports() if more is None else first_step(told.variant, more))
    for name, values in seconds.items():
        ratios = [v / i for v, i in zip(values, seconds["imports"], strict=True)]
        print(f"{name}: {summary(values)} s, over the imports alone {summary(ratios)}")
    print(f"{told.top} slowest imports of the fit, self and with what they import:")
    for own, total, module in slowest(told.variant, told.top):
        print(f"  {own / 1e3:8.1f} ms {total / 1e3:8.1f} ms  {module}")
    if told.json:
        Path(told.json).write_text(json.dumps({"machine": machine, "told": vars(told), "seconds": seconds}, indent=1))


def imports() -> float:
    """Seconds from starting Python to having imported both, by its own clock."""
    began = time.time()
    told = subprocess.run(
        [sys.executable, "-c", f"{ALONE}, time; print(time.time())"], capture_output=True, text=True, check=True
    )
    return float(told.stdout) - began


def first_step(variant: str, more: list[str]) -> float:
    """Seconds from the command to the beginning of the first step."""
    began = time.time()
    out, _ = fit(variant, more)
    stamped = re.search(rf"{MARK}(\S+) (\S+)", out)
    assert stamped is not None
    return float(stamped[1]) - began


def slowest(variant: str, top: int) -> list[tuple[int, int, str]]:
    """The imports of a fit that took longest by themselves: (own, cumulative) in µs, and the module."""
    _, errors = fit(variant, [], "-X", "importtime")
    rows = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|\s*(\S+)", errors)
    return sorted(((int(own), int(total), name) for own, total, name in rows), reverse=True)[:top]


def fit(variant: str, more: list[str], *python: str) -> tuple[str, str]:
    """One step of `train.py fit` on the digits, W&B offline: what it wrote to both streams."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *python, "train.py", "fit"]
        command += ["-c", f"configs/{variant}.yaml", "-c", "configs/data/digits.yaml"]
        command += [f"--trainer.default_root_dir={folder}", "--trainer.max_steps=1", "--trainer.accelerator=cpu"]
        command += ["--trainer.callbacks+=benchmarks.startup.Stamp", *more]
        environment = {**os.environ, "WANDB_MODE": "offline"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout, done.stderr


if __name__ == "__main__":
    main()
