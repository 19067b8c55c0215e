"""What a run can be resumed from, and the best it was."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from zoo.callbacks.quality import Quality
from zoo.callbacks.schedule import Every
from zoo.callbacks.trainer import find, leaves_nothing, run_folder

if TYPE_CHECKING:
    from zoo.gan import GAN

LAST, BEST = "last.ckpt", "best.ckpt"


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` and `best.ckpt` into `trainer.log_dir`, each replaced in one piece.

    `last.ckpt` is written every `every_kimg`, at the end of the fit, and when it is cut short
    between two batches: by SIGTERM, by an error in validation, or by Ctrl-C, for which the batch
    that is being trained is finished first (a second Ctrl-C does not wait). A batch that failed
    half way has moved some networks and not others, so then the last one stays. So it does with
    several ranks, who cannot agree on a checkpoint once one of them has failed.

    `best.ckpt` is written when :class:`Quality` measured its lowest score, on the spot, so it holds
    the weights that were measured; without a Quality there is none. NaN is never the best.

    A fit that was stopped in the middle of an epoch resumes there with a larger budget: the
    position in the epoch is kept as it was after the last batch, before Lightning closed the epoch.

    Lightning's own ModelCheckpoint is not used because in manual optimisation it ignores
    `train_time_interval` and warns about state "after optimization" at every save.

    Args:
        every_kimg: thousands of real images between writes of `last.ckpt`.

    Attributes:
        best_model_path: for `trainer.test(ckpt_path="best")`; "" while there is none.
        last_model_path: "" while there is none.

    Raises:
        ValueError: `every_kimg` is not positive and finite.
    """

    def __init__(self, every_kimg: float = 20) -> None:
        self.best_model_path = self.last_model_path = ""
        self._every = Every(every_kimg)
        self._best_kimg: float | None = None  # when what best.ckpt holds was measured
        self._last_step: int | None = None  # at which last.ckpt was written
        self._position: dict[str, Any] | None = None  # in the epoch, after the last batch
        self._training = self._interrupted = False
        self._handler: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run's folder."""
        self._folder = run_folder(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Which measurement `best.ckpt` is from."""
        return {"best_kimg": self._best_kimg}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._best_kimg = state_dict["best_kimg"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put the last batch's position in place of the end of a cut epoch."""
        if self._position is not None:
            checkpoint["loops"]["fit_loop"] = self._position

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the untrained model if it was measured; from here on there is something to lose."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        self._training, self._position, self._last_step = True, None, None
        best = self._folder / BEST
        if trainer.strategy.broadcast(best.is_file()) and self._best_kimg is not None:
            self.best_model_path = str(best)
        self._keep_best(trainer, gan)
        self._defer_interrupts(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Write what is due."""
        gan = cast("GAN", pl_module)
        if trainer.should_stop or 0 < trainer.max_steps <= trainer.global_step:
            self._position = trainer.fit_loop.state_dict()
        self._keep_best(trainer, gan)
        if self._every.due(gan.kimg):
            self._keep_last(trainer, gan)
        if self._interrupted:
            raise KeyboardInterrupt

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what came out, with all that was measured at the end."""
        gan = cast("GAN", pl_module)
        self._keep_best(trainer, gan)
        self._keep_last(trainer, gan)
        self._training = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what is whole."""
        batch: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        whole = self._training and batch.ready == batch.processed and trainer.world_size == 1
        gan = cast("GAN", pl_module)
        try:
            if whole and gan.steps != self._last_step:
                self._keep_last(trainer, gan)
        except Exception as error:  # do not hide the first one
            rank_zero_warn(f"Checkpoints: could not write {LAST}: {error}")
        self._training = False
        self._restore_interrupts()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give Ctrl-C back."""
        self._restore_interrupts()

    def _keep_best(self, trainer: Trainer, gan: GAN) -> None:
        quality = find(trainer, Quality)
        if quality is None or quality.best_kimg in (None, self._best_kimg):
            return
        if quality.best_kimg == gan.kimg:
            self._best_kimg = gan.kimg
            self.best_model_path = self._write(trainer, BEST)

    def _keep_last(self, trainer: Trainer, gan: GAN) -> None:
        self._last_step = gan.steps
        self.last_model_path = self._write(trainer, LAST)

    def _write(self, trainer: Trainer, name: str) -> str:
        path = self._folder / name
        if not leaves_nothing(trainer):
            unfinished = path.with_suffix(".part")
            trainer.save_checkpoint(unfinished, weights_only=False)
            if trainer.is_global_zero:
                os.replace(unfinished, path)
        return str(path)

    def _defer_interrupts(self, trainer: Trainer) -> None:
        self._interrupted = False
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: Any) -> None:
        self._interrupted = True
        self._restore_interrupts()
        rank_zero_info("Finishing this batch; press Ctrl-C again to stop without it.")

    def _restore_interrupts(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None
