"""Checkpoints: the last one, to resume from, and the best."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_warn

from zoo.callbacks.interrupts import Interrupts
from zoo.callbacks.quality import Quality
from zoo.run.files import BEST, LAST, NAMES, PREVIOUS, SealedIO, check, part_of
from zoo.run.schedule import Every
from zoo.run.trainer import find, leaves_nothing, run_folder

if TYPE_CHECKING:
    from zoo.gan import GAN


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` and `best.ckpt` into `trainer.log_dir`, each in one piece and with a checksum.

    `last.ckpt` is written every `every_kimg`, after the last batch, again after the final measurements, and when the
    fit stops between two batches: by an error in validation, or by Ctrl-C, SIGHUP, SIGTERM or SIGUSR1, which wait for
    the end of the batch (a second Ctrl-C does not). It is not written after an error within a batch, which may have
    moved some networks only, nor after an error on one of several ranks. A kill costs at most `every_kimg` and a batch,
    and one during the final measurements of a budget no training. The checkpoint before it is `previous.ckpt`, where
    the file system has hard links; on a full disk that is deleted first, and if the new one still cannot be written,
    the fit ends with an OSError and `last.ckpt` stays.

    `best.ckpt` is written as soon as :class:`Quality` has measured a new best, so that it holds the weights that were
    measured; without a Quality there is none.

    A fit stopped in mid-epoch resumes there: the position kept is that after the last batch, before Lightning closes
    the epoch. SIGHUP and SIGTERM raise Lightning's `SIGTERMException`, SIGUSR1 `zoo.callbacks.interrupts.Requeue`; both
    are a SystemExit of status 0, and after the second `train.py` asks SLURM to requeue the job.

    Lightning's ModelCheckpoint is not used: in manual optimisation it ignores `train_time_interval` and warns at every
    save, and its writer leaves files in /tmp when it is killed.

    Args:
        every_kimg: thousands of real images between writes of `last.ckpt`.

    Attributes:
        best_model_path: for `trainer.test(ckpt_path="best")`; "" while there is none.
        last_model_path: "" while there is none.

    Raises:
        ValueError: `every_kimg` is not positive and finite; in `setup`, the Trainer has another plugin for checkpoints.
    """

    def __init__(self, every_kimg: float = 20) -> None:
        self.best_model_path = self.last_model_path = ""
        self._every = Every(every_kimg)
        self._best_kimg: float | None = None  # when what best.ckpt holds was measured
        self._last_step: int | None = None  # at which last.ckpt was written
        self._position: dict[str, Any] | None = None  # in the epoch, after the last batch
        self._training = False
        self._interrupts = Interrupts()
        self._stop: BaseException | None = None  # to raise before the next batch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run's folder, delete files that a kill left unfinished, and install `SealedIO`."""
        self._folder = run_folder(trainer)
        if stage == "fit" and trainer.is_global_zero and not leaves_nothing(trainer):
            whole = [self._folder / name for name in (*NAMES, "run.json", "config.yaml")]
            for unfinished in (*map(part_of, whole), *self._folder.glob("samples/*.png.part")):
                unfinished.unlink(missing_ok=True)
        plugin = trainer.strategy.checkpoint_io
        if type(plugin) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = SealedIO()
        elif not isinstance(plugin, SealedIO):
            raise ValueError(f"Checkpoints: writes its files itself, and not with {type(plugin).__name__}")

    def state_dict(self) -> dict[str, Any]:
        """Which measurement `best.ckpt` is from."""
        return {"best_kimg": self._best_kimg}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self._best_kimg = state_dict["best_kimg"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the last batch's position in place of the end of a cut epoch."""
        if self._position is not None:
            checkpoint["loops"]["fit_loop"] = self._position

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the untrained model if it was measured, and listen for signals."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        self._training, self._position, self._last_step, self._stop = True, None, None, None
        best = self._folder / BEST
        if trainer.strategy.broadcast(best.is_file()) and self._best_kimg is not None:
            self.best_model_path = str(best)
        self._keep_best(trainer, gan)
        self._interrupts.listen(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Stop if a signal asked for it: the batch before is saved and logged."""
        if self._stop is not None:
            raise self._stop

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Save best.ckpt after a new best score; last.ckpt when it is due, and before the final measurements."""
        gan = cast("GAN", pl_module)
        ends = trainer.should_stop or 0 < trainer.max_steps <= trainer.global_step
        if ends:
            self._position = trainer.fit_loop.state_dict()
        self._keep_best(trainer, gan)
        if self._every.due(gan.kimg) or ends:
            self._keep_last(trainer, gan)
        self._stop = self._interrupts.stop(gan.steps, gan.device)
        if self._stop is not None:
            self._keep_last(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the trained model with its last measurements."""
        gan = cast("GAN", pl_module)
        self._keep_best(trainer, gan)
        self._keep_last(trainer, gan, again=True)
        self._training = False

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save measurements that were still to be taken of a run with nothing left to train."""
        quality = find(trainer, Quality)
        if self._last_step is None and quality is not None and quality.measured:
            self.on_train_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save last.ckpt unless the batch was cut short."""
        batch: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        whole = self._training and batch.ready == batch.processed and trainer.world_size == 1
        gan = cast("GAN", pl_module)
        try:
            if whole and getattr(exception, "filename", None) != str(self._folder / LAST):  # which cannot be written
                self._keep_best(trainer, gan)
                self._keep_last(trainer, gan)
        except Exception as error:  # do not hide the first one
            rank_zero_warn(f"Checkpoints: could not write {LAST}: {error}")
        self._training = False
        self._interrupts.restore()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous signal handlers."""
        self._interrupts.restore()

    def _keep_best(self, trainer: Trainer, gan: GAN) -> None:
        quality = find(trainer, Quality)
        if quality is None or quality.best_kimg in (None, self._best_kimg):
            return
        if quality.best_kimg == gan.kimg:
            self._best_kimg = gan.kimg
            self.best_model_path = self._write(trainer, BEST)

    def _keep_last(self, trainer: Trainer, gan: GAN, *, again: bool = False) -> None:
        """Once a step, unless there is more to keep."""
        if gan.steps == self._last_step and not again:
            return
        if trainer.is_global_zero and not leaves_nothing(trainer):
            self._keep_previous()
        self.last_model_path = self._write(trainer, LAST)
        self._last_step = gan.steps

    def _keep_previous(self) -> None:
        """Give `last.ckpt`, which the next one is about to replace, another name; not if it is damaged."""
        last, previous = self._folder / LAST, self._folder / PREVIOUS
        if not last.is_file() or (previous.is_file() and previous.samefile(last)):
            return
        with suppress(OSError, ValueError):  # there are file systems without hard links
            if self._last_step is None:
                check(last)
            unfinished = part_of(previous)
            unfinished.unlink(missing_ok=True)
            os.link(last, unfinished)
            os.replace(unfinished, previous)

    def _write(self, trainer: Trainer, name: str) -> str:
        path = self._folder / name
        if not leaves_nothing(trainer):
            trainer.save_checkpoint(path, weights_only=False)
        return str(path)
