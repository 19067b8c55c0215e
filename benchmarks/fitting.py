"""The zoo's side of a comparison: a setting inside `Trainer.fit`, with the callbacks of `configs/default.yaml`."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger

from benchmarks.flops import Cost
from benchmarks.machine import ROOT, clock
from benchmarks.setting import Setting, build, read
from zoo.callbacks import Budget, RunRecord
from zoo.datamodules.base import DataModule, Split
from zoo.loggers import MetricsLog, WandbLogger

NEVER = 1e9  # kimg
EVALUATION = ("Samples", "Quality", "Diagnostics", "Checkpoints")


class Noise(DataModule):
    """The setting's data, dealt as any other."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(batch_size=setting.batch, seed=0)
        self.setting, self.image_shape = setting, setting.image_shape

    def load(self) -> dict[str, Split]:
        """A little for evaluation, the rest for training."""
        return {"train": Split(self.setting.data()), "val": Split(self.setting.data(256))}


def trainer_for(
    setting: Setting,
    folder: Path,
    callbacks: Sequence[Callback] = (),
    *,
    device: torch.device,
    wandb: bool = False,
    evaluation: bool = True,
    steps: int = -1,
    ranks: int = 1,
) -> Trainer:
    """A trainer as `train.py fit` makes it.

    Its callbacks of evaluation act before the first step and after the last, and are asked after each; in between they
    are never due.

    Args:
        setting: what is trained.
        folder: the run's.
        callbacks: further ones, asked last.
        device: where.
        wandb: log to an offline W&B run too.
        evaluation: with pictures, scores and checkpoints.
        steps: to train for; -1 until a callback says so.
        ranks: processes.
    """
    hush()
    default = read(ROOT / "configs/default.yaml")["trainer"]
    usual = [_callback(spec) for spec in default["callbacks"] if evaluation or _name(spec) not in EVALUATION]
    record = RunRecord(folder, variant=setting.variant, dataset="noise")
    loggers: list[Logger] = [MetricsLog(folder)]
    if wandb:
        loggers.append(WandbLogger(mode="offline", save_dir=folder))
    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=ranks,
        strategy="ddp" if ranks > 1 else "auto",
        logger=loggers,
        callbacks=[record, *usual, Budget(None), *callbacks],
        precision=setting.precision,
        max_epochs=-1,
        max_steps=steps,
        log_every_n_steps=default["log_every_n_steps"],
        num_sanity_val_steps=default["num_sanity_val_steps"],
        enable_model_summary=default["enable_model_summary"],
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in (*usual, *callbacks)),
        limit_val_batches=0,
        default_root_dir=folder,
    )


class Duel(Callback):
    """Times windows of the trainer's steps and, after each, the same number of steps of every rival.

    A window runs from the end of one batch to the end of another, so all that Lightning does for a step is in it, and
    nothing of start-up.

    Args:
        rivals: each takes its steps and returns the seconds they took.
        steps: in a window.
        pairs: windows.
        warmup: steps before the first window, of everybody.
        device: whose queue must be empty when time is taken.
    """

    def __init__(
        self,
        rivals: dict[str, Callable[[int], float]],
        *,
        steps: int,
        pairs: int,
        warmup: int,
        device: torch.device,
    ) -> None:
        self.rivals, self.steps, self.pairs, self.warmup, self.device = rivals, steps, pairs, warmup, device
        self.seconds: dict[str, list[float]] = {name: [] for name in ("zoo", *rivals)}
        self.done, self.began = 0, 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Take the time, and let the others play."""
        self.done += 1
        past = self.done - self.warmup
        if past < 0 or past % self.steps:
            return
        if past:
            self.seconds["zoo"].append(clock(self.device) - self.began)
        for name, play in self.rivals.items():
            seconds = play(self.steps if past else self.warmup)
            if past:
                self.seconds[name].append(seconds)
        trainer.should_stop = past == self.steps * self.pairs
        self.began = clock(self.device)


class Counting(Callback):
    """Counts what one round costs, the second: the first makes the optimisers' states."""

    def __init__(self, d_steps: int) -> None:
        self.d_steps, self.cost, self.counted, self.done = d_steps, Cost(), ExitStack(), 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Begin."""
        if self.done == self.d_steps:
            self.counted.enter_context(self.cost)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """End."""
        self.done += 1
        if self.done == 2 * self.d_steps:
            self.counted.close()
            trainer.should_stop = True


@contextmanager
def quietly() -> Iterator[None]:
    """Leave the terminal to the tables; what a run says goes nowhere."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def hush() -> None:
    """No advice of Lightning's."""
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")


def _callback(spec: dict[str, Any]) -> Callback:
    arguments = spec.get("init_args", {})
    if "every_kimg" in arguments:
        arguments = arguments | {"every_kimg": NEVER}
    return build({"class_path": spec["class_path"], "init_args": arguments})


def _name(spec: dict[str, Any]) -> str:
    return spec["class_path"].rpartition(".")[2]
