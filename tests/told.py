"""A callback that sends its own process a signal at a moment of one's choice: $TOLD is "15 save"."""

import os
import signal
import sys
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.callbacks import Quality
from zoo.run.trainer import find

_FIRST = 20  # batches before it


class Told(Callback):
    """Sends the signal once, from rank 0: Ctrl-C to the whole process group, as a terminal does."""

    def __init__(self) -> None:
        number, _, self.moment = os.environ["TOLD"].partition(" ")
        self.number, self.sent = signal.Signals(int(number)), False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for evaluations."""
        quality = find(trainer, Quality)
        assert quality is not None
        measure = quality._measure

        def measured(*args: Any, **kwargs: Any) -> Any:
            self.at("evaluation", trainer)
            return measure(*args, **kwargs)

        quality._measure = measured

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """In the middle of a batch, as far as its callbacks are concerned."""
        self.at("batch", trainer)
        if batch_idx == trainer.num_training_batches - 1:
            self.at("end of an epoch", trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Before it is written."""
        self.at("save", trainer)

    def at(self, moment: str, trainer: Trainer) -> None:
        """Send it, if this is the moment."""
        if moment != self.moment or self.sent or trainer.lightning_module.steps < _FIRST or not trainer.is_global_zero:
            return
        self.sent = True
        print(f"told in the {moment}", file=sys.stderr, flush=True)
        if self.number == signal.SIGINT and trainer.world_size > 1:
            os.killpg(os.getpgrp(), self.number)
        else:
            os.kill(os.getpid(), self.number)
