"""Pictures of samples during training."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from zoo.backbones.base import Discriminator
from zoo.run.loggers import log_picture
from zoo.run.pictures import cells, class_grid, is_picture, picture, write_image
from zoo.run.schedule import Every
from zoo.run.trainer import in_notebook, leaves_nothing, run_folder
from zoo.support.freezing import evaluating

if TYPE_CHECKING:
    from zoo.gan import GAN


class Samples(Callback):
    """Pictures of the same `n` latents before training, every `every_kimg`, and at the end.

    They are `<trainer.log_dir>/samples/<kimg>.png`, as in `000012.800.png`, and "samples/grid" in every logger that
    shows pictures; a notebook displays the last one. Classes of a conditional GAN have a column each. Points are drawn
    over those of the data, on a ground that is the darker yellow, the higher D scores it. Samples with NaN values have
    no picture, only a warning.

    Args:
        every_kimg: thousands of real images between pictures.
        n: samples in a picture; as many as make whole rows where classes have columns. None is 64 images, or 2,500
            points.
        seed: of the latents.

    Raises:
        ValueError: `every_kimg` is not positive and finite, or `n` < 1.
    """

    def __init__(self, every_kimg: float = 20, n: int | None = None, seed: int = 0) -> None:
        if n is not None and n < 1:
            raise ValueError(f"Samples: n must be at least 1, got {n}")
        self.n, self.seed = n, seed
        self._every = Every(every_kimg)
        self._drawn_at: float | None = None  # kimg
        self._shown: Any = None  # a notebook's display

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the run's folder."""
        self._folder = run_folder(trainer) / "samples"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw samples of the untrained generator, and those of a checkpoint again if their picture is torn."""
        gan = cast("GAN", pl_module)
        self._every.start(gan.kimg)
        if gan.images == 0 or (self._path(gan).exists() and not is_picture(self._path(gan))):
            self._draw(trainer, gan)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Draw when it is due."""
        gan = cast("GAN", pl_module)
        if self._every.due(gan.kimg):
            self._draw(trainer, gan)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the samples of the trained generator, unless that was just done."""
        gan = cast("GAN", pl_module)
        if self._drawn_at != gan.kimg:
            self._draw(trainer, gan)

    def _path(self, gan: GAN) -> Path:
        return self._folder / f"{gan.kimg:010.3f}.png"

    def _draw(self, trainer: Trainer, gan: GAN) -> None:
        if not trainer.is_global_zero or leaves_nothing(trainer):
            return
        self._drawn_at = gan.kimg
        splits: Any = getattr(trainer.datamodule, "splits", {})  # type: ignore[attr-defined]
        data = splits["train"].data if "train" in splits else None
        if data is not None and data.ndim == 2:
            n, columns = self.n or 2_500, None
        else:
            (n, columns), data = class_grid(self.n or 64, getattr(gan, "num_classes", None)), None
        samples = gan.sample(n, seed=self.seed)
        if torch.isnan(samples).any():
            rank_zero_warn(f"Samples: there are NaN values at {gan.kimg:g} kimg, so no picture")
            return
        drawn = picture(samples, columns, data, None if data is None else landscape(gan))
        path = write_image(drawn, self._path(gan))
        log_picture(trainer.loggers, "samples/grid", drawn, gan.kimg)
        if in_notebook():
            shown = import_module("IPython.display")
            self._shown = self._shown or shown.display(display_id=True)
            self._shown.update(shown.Image(str(path)))


def landscape(gan: GAN) -> Tensor | None:
    """D's score at each cell of a picture of points; None for a D that takes more than points, and for NaN."""
    net = gan.discriminators()[0]
    if not isinstance(net, Discriminator) or net.image_shape != (2,) or net.num_classes is not None:
        return None
    with torch.no_grad(), evaluating(net):
        score: Tensor = net(cells().to(gan.device, gan.latent_dtype))[0].cpu()
    return None if torch.isnan(score).any() else -score if net.energy else score
