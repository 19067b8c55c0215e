"""What a second rank brings: two ranks of one thread each, two independent processes, and one, in turn.

python -m benchmarks.ranks [--variant nsgan] [--backbone dcgan] [--steps 20] [--pairs 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.fitting import NEVER, Noise, quietly, trainer_for
from benchmarks.loops import LOOPS
from benchmarks.machine import ROOT, clock, facts, pin
from benchmarks.setting import Setting
from benchmarks.statistics import summary
from zoo.callbacks import Checkpoints

CPU = torch.device("cpu")


class Window(Callback):
    """Times the steps after the first few."""

    def __init__(self, warmup: int) -> None:
        self.warmup, self.done, self.began, self.seconds = warmup, 0, 0.0, 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Start the clock, and look at it."""
        self.done += 1
        if self.done == self.warmup:
            if trainer.world_size > 1:
                trainer.strategy.barrier()
            self.began = clock(CPU)
        self.seconds = clock(CPU) - self.began


def main() -> None:
    """Measure and print; with --worker, be one of those that are measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks")
    add = parser.add_argument
    add("--variant", choices=list(LOOPS), default="nsgan")
    add("--backbone", choices=("dcgan", "resnet", "mlp"), default="dcgan")
    add("--width", type=int)
    add("--size", type=int, default=32)
    add("--batch", type=int, default=64, help="images a step and rank")
    add("--steps", type=int, default=20, help="a window's, a multiple of d_steps")
    add("--pairs", type=int, default=15)
    add("--json")
    add("--worker", type=int, metavar="RANKS", help=argparse.SUPPRESS)
    told = parser.parse_args()
    pin(1)
    if told.worker:
        work(told)
        return
    machine = facts(CPU)
    print(", ".join(f"{k} {v}" for k, v in machine.items() if v is not None))
    speed: dict[str, list[float]] = {"two ranks": [], "two alone": [], "one": []}
    for _ in range(told.pairs):
        speed["two ranks"].append(images_per_second(told, [2]))
        speed["two alone"].append(images_per_second(told, [1, 1]))
        speed["one"].append(images_per_second(told, [1]))
    for name, values in speed.items():
        print(f"{name}: {summary(values)} images/s")
    for name, other in (("two ranks", "two alone"), ("two ranks", "one"), ("two alone", "one")):
        ratios = [a / b for a, b in zip(speed[name], speed[other], strict=True)]
        print(f"{name} / {other}: {summary(ratios)}")
    if told.json:
        Path(told.json).write_text(json.dumps({"machine": machine, "told": vars(told), "speed": speed}, indent=1))


def images_per_second(told: argparse.Namespace, ranks: list[int]) -> float:
    """Of processes with so many ranks each, started together, in all."""
    command = [sys.executable, "-m", "benchmarks.ranks", "--variant", told.variant, "--backbone", told.backbone]
    command += ["--size", str(told.size), "--batch", str(told.batch), "--steps", str(told.steps)]
    command += ["--width", str(told.width)] if told.width else []
    started = [
        subprocess.Popen([*command, "--worker", str(n)], cwd=ROOT, stdout=subprocess.PIPE, text=True) for n in ranks
    ]
    seconds = [float(process.communicate()[0].split()[-1]) for process in started]
    return sum(n * told.batch * told.steps / s for n, s in zip(ranks, seconds, strict=True))


def work(told: argparse.Namespace) -> None:
    """Train on so many ranks, ready to be told to stop as any run is; rank zero prints the window's seconds."""
    setting = Setting(told.variant, told.backbone, told.width, told.size, told.batch)
    window = Window(warmup=2 * setting.d_steps)
    with tempfile.TemporaryDirectory() as folder, quietly():
        trainer = trainer_for(
            setting,
            Path(folder),
            [Checkpoints(NEVER), window],
            device=CPU,
            evaluation=False,
            steps=window.warmup + told.steps,
            ranks=told.worker,
        )
        trainer.fit(setting.gan(), datamodule=Noise(setting))
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(window.seconds)


if __name__ == "__main__":
    main()
