"""How long ranks wait for each other."""

from __future__ import annotations

import math
import subprocess
import sys
import traceback
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

_GRACE = 5.0  # seconds for the other processes of this machine to end by themselves


class Patience(Callback):
    """Ends a job of which a rank has died or stopped answering, instead of letting the others wait for it.

    While training goes on, from the end of a fit's first batch, no exchange between ranks lasts longer than `seconds`;
    torch would wait for half an hour, ten minutes with NCCL. What one rank does alone between two exchanges, as rank 0
    does in writing checkpoints, must take less. Before and after, where rank 0 alone may download data or finish an
    upload, torch's own limits hold.

    A rank that ends with an error takes the others along. One that waited in vain says so. Processes that Lightning has
    started on this machine are ended with the main one, those that were stopped too. Only a stopped main process stays:
    it is the job.

    Args:
        seconds: above 0. Under NCCL torch looks at its limits now and then, which adds some.

    Raises:
        ValueError: `seconds` is not positive and finite.
    """

    def __init__(self, seconds: float = 20) -> None:
        if not 0 < seconds < math.inf:
            raise ValueError(f"Patience: seconds must be positive and finite, got {seconds}")
        self.seconds = seconds
        self._short = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep torch's own limit for the first batch, which compiles and opens connections."""
        self._short = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Set the limit after the first batch."""
        if trainer.world_size > 1 and not self._short:
            self._short = True
            dist.set_timeout(timedelta(seconds=self.seconds))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put torch's own limit back."""
        if self._short:
            self._short = False
            dist.set_timeout(dist.default_pg_timeout)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Explain a failed exchange, and end the processes that Lightning started."""
        if trainer.world_size == 1:
            return
        if _in_exchange(exception):
            print(
                f"rank {trainer.global_rank}: another rank has died, see its own error, or has not answered for "
                f"{self.seconds:g} s (--patience.seconds); the run can be resumed from its last checkpoint",
                file=sys.stderr,
                flush=True,
            )
        for process in getattr(trainer.strategy.launcher, "procs", ()):
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            process.kill()


def _in_exchange(error: BaseException) -> bool:
    """Whether it came up in an exchange between ranks: the errors of gloo have no class of their own."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).is_relative_to(Path(dist.__file__).parent)
