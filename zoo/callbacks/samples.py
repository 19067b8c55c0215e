"""What the generator makes, as it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from zoo.callbacks.schedule import Every
from zoo.callbacks.trainer import leaves_nothing, run_folder
from zoo.run.loggers import log_picture
from zoo.run.pictures import class_grid, picture, save_picture

if TYPE_CHECKING:
    from zoo.gan import GAN


class Samples(Callback):
    """Pictures of the same `n` latents before training, every `every_kimg`, and at the end.

    They are `<trainer.log_dir>/samples/<kimg>.png`, as in `000012.800.png`, and "samples/grid" in every logger that
    shows pictures. Classes of a conditional GAN have a column each. Samples with NaN values have no picture, only a
    warning.

    Args:
        every_kimg: thousands of real images between pictures.
        n: samples in a picture; as many as make whole rows where classes have columns.
        seed: of the latents.

    Raises:
        ValueError: `every_kimg` is not positive and finite, or `n` < 1.
    """

    def __init__(self, every_kimg: float = 20, n: int = 64, seed: int = 0) -> None:
        if n < 1:
            raise ValueError(f"Samples: n must be at least 1, got {n}")
        self.n, self.seed = n, seed
        self._every = Every(every_kimg)
        self._drawn_at: float | None = None  # kimg

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run's folder."""
        self._folder = run_folder(trainer) / "samples"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what an untrained generator makes."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        if gan.images == 0:
            self._draw(trainer, gan)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Draw when it is due."""
        gan = cast("GAN", pl_module)
        if self._every.due(gan.kimg):
            self._draw(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what came out, unless that was just done."""
        gan = cast("GAN", pl_module)
        if self._drawn_at != gan.kimg:
            self._draw(trainer, gan)

    def _draw(self, trainer: Trainer, gan: GAN) -> None:
        if not trainer.is_global_zero or leaves_nothing(trainer):
            return
        self._drawn_at = gan.kimg
        n, columns = class_grid(self.n, getattr(gan, "num_classes", None))
        samples = gan.sample(n, seed=self.seed)
        if torch.isnan(samples).any():
            rank_zero_warn(f"Samples: there are NaN values at {gan.kimg:g} kimg, so no picture")
            return
        save_picture(samples, self._folder / f"{gan.kimg:010.3f}.png", columns)
        log_picture(trainer.loggers, "samples/grid", picture(samples, columns), gan.kimg)
