"""The progress bar."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import nn
from tqdm.auto import tqdm

from zoo.callbacks.budget import Budget
from zoo.callbacks.quality import Quality
from zoo.run.trainer import find, in_notebook, run_folder, say

if TYPE_CHECKING:
    from pathlib import Path

    from zoo.gan import GAN

_BAR = "{desc} {percentage:3.0f}%|{bar}| {n:.4g}/{total:.4g} kimg [{elapsed}<{remaining}{postfix}]"
_BAR_WITHOUT_TOTAL = "{desc} {n:.4g} kimg [{elapsed}{postfix}]"


class Progress(ProgressBar):
    """A line about the run when training starts, then one bar over all of it, in kimg; validation shows nothing.

    The bar has the images per second of training, without the time that :class:`Quality` takes, and the last losses,
    which are read from the device only when it is drawn. In a notebook it is a notebook's bar; where stderr is neither
    that nor a terminal, plain lines are printed instead.

    Args:
        refresh_seconds: between two drawings; None is 1 on a terminal and 30 elsewhere.
    """

    def __init__(self, refresh_seconds: float | None = None) -> None:
        super().__init__()
        self.refresh_seconds = refresh_seconds
        self._enabled = True
        self._bar: Any = None

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        with tqdm.external_write_mode():
            print(*args, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line about the run, and draw the bar."""
        folder = run_folder(trainer)  # a broadcast, so on every rank
        if not self._enabled:
            return
        gan = cast("GAN", pl_module)
        say(trainer, _introduction(trainer, gan, folder))
        drawn = sys.stderr.isatty() or in_notebook()
        self._interval = (1.0 if drawn else 30.0) if self.refresh_seconds is None else self.refresh_seconds
        self._drawn = time.monotonic()
        self._images, self._measuring = gan.images, _seconds_of_quality(trainer)
        if drawn:
            total = self._total(trainer, gan)
            self._bar = tqdm(
                desc=type(gan).__name__, initial=round(gan.kimg, 3), total=total, dynamic_ncols=in_notebook(),
                bar_format=_BAR_WITHOUT_TOTAL if total is None else _BAR,
            )  # fmt: skip

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Draw it when it is due."""
        if self._enabled and time.monotonic() - self._drawn >= self._interval:
            self._draw(trainer, cast("GAN", pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw it for the last time."""
        if self._enabled:
            self._draw(trainer, cast("GAN", pl_module))
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the bar as it is and the cursor below it."""
        self._close()

    def _draw(self, trainer: Trainer, gan: GAN) -> None:
        now, measuring = time.monotonic(), _seconds_of_quality(trainer)
        trained = now - self._drawn - (measuring - self._measuring)
        speed = (gan.images - self._images) / max(trained, 1e-9)
        self._drawn, self._images, self._measuring = now, gan.images, measuring
        losses = {k: float(v) for k, v in gan.latest.items() if k.startswith("loss/") and k.count("/") == 1}
        total = self._total(trainer, gan)
        if self._bar is None:
            line = " ".join(f"{k} {v:.3g}" for k, v in losses.items())
            target = "" if total is None else f"/{total:g}"
            print(f"{gan.kimg:g}{target} kimg, {line} images/s {speed:.0f}", file=sys.stderr, flush=True)
            return
        bar = self._bar
        if total is not None and bar.total is None:
            bar.bar_format = _BAR
        bar.total, bar.ncols = total, shutil.get_terminal_size().columns
        bar.n = round(gan.kimg if total is None else min(gan.kimg, total), 3)
        words = [f"{speed:.0f} img/s", *(f"{k.removeprefix('loss/')} {v:.3g}" for k, v in losses.items())]
        bar.set_postfix_str(", ".join(words))

    def _total(self, trainer: Trainer, gan: GAN) -> float | None:
        """The length of the run in kimg: its budget, else that of its epochs or steps at the usual batch size."""
        budget = find(trainer, Budget)
        if budget is not None and budget.kimg is not None:
            return budget.kimg
        steps = trainer.estimated_stepping_batches
        if gan.steps == 0 or not 0 < steps < math.inf:
            return None
        return max(round(steps * gan.kimg / gan.steps, 3), gan.kimg)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _seconds_of_quality(trainer: Trainer) -> float:
    quality = find(trainer, Quality)
    return 0.0 if quality is None else quality.seconds


def _introduction(trainer: Trainer, gan: GAN, folder: Path) -> str:
    """Objective, data, networks, device and folder in one line."""
    parts = [type(gan).__name__]
    data: Any = getattr(trainer, "datamodule", None)
    if splits := getattr(data, "splits", None):
        counts = " + ".join(f"{len(split.data):,}" for split in splits.values())
        shape = "×".join(map(str, data.image_shape))
        classes = f", {data.num_classes} classes" if data.num_classes else ""
        parts.append(f"{type(data).__name__} {counts} of {shape}{classes}")
    networks = {name.upper(): net for name, net in gan.players().items()}
    parts.append(" ".join(f"{name} {_parameters(net)}" for name, net in networks.items()) + " parameters")
    ranks = f" × {trainer.world_size}" if trainer.world_size > 1 else ""
    return " · ".join([*parts, f"{gan.device}{ranks}", str(folder)])


def _parameters(net: nn.Module) -> str:
    count = sum(p.numel() for p in net.parameters())
    return f"{count / 1e6:.3g}M" if count >= 1e6 else f"{count / 1e3:.3g}k"
