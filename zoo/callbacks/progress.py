"""How far a run is."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from zoo.callbacks.budget import Budget
from zoo.callbacks.trainer import find

if TYPE_CHECKING:
    from zoo.gan import GAN

_BAR = "{l_bar}{bar}| {n_fmt}/{total_fmt} kimg [{elapsed}<{remaining}{postfix}]"


class Progress(ProgressBar):
    """One bar over all of training, in kimg, with the last losses and the images per second.

    Losses are read from the device only when the bar is drawn. Where stderr is no terminal, plain
    lines are printed instead. Validation shows nothing.

    Args:
        refresh_seconds: between two drawings; None is 1 on a terminal and 30 elsewhere.
    """

    def __init__(self, refresh_seconds: float | None = None) -> None:
        super().__init__()
        self.refresh_seconds = refresh_seconds
        self._enabled = True
        self._bar: tqdm | None = None

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Show it again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        with tqdm.external_write_mode():
            print(*args, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw it for the first time."""
        if not self._enabled:
            return
        gan = cast("GAN", pl_module)
        terminal = sys.stderr.isatty()
        usual = 1.0 if terminal else 30.0
        self._interval = usual if self.refresh_seconds is None else self.refresh_seconds
        self._drawn = self._began = time.monotonic()
        self._images = gan.images
        if terminal:
            self._bar = tqdm(
                desc=type(gan).__name__,
                initial=round(gan.kimg, 3),
                total=self._total(trainer, gan),
                bar_format=_BAR,
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Draw it again, if that is long ago."""
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
        now = time.monotonic()
        speed = (gan.images - self._images) / max(now - self._drawn, 1e-9)
        self._drawn, self._images = now, gan.images
        shown = {k: f"{float(v):.3g}" for k, v in gan.latest.items() if _is_total(k)}
        shown["images/s"] = f"{speed:.0f}"
        total = self._total(trainer, gan)
        if self._bar is None:
            words = " ".join(f"{k} {v}" for k, v in shown.items())
            target = "" if total is None else f"/{total:g}"
            print(f"{gan.kimg:g}{target} kimg, {words}", file=sys.stderr, flush=True)
        else:
            self._bar.n, self._bar.total = round(gan.kimg, 3), total
            self._bar.set_postfix(shown, refresh=True)

    def _total(self, trainer: Trainer, gan: GAN) -> float | None:
        """In kimg: the budget, else what the epochs or steps come to at the usual batch size."""
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


def _is_total(name: str) -> bool:
    """Whether this is a player's whole loss, "loss/d", and not a part of it, "loss/d/penalty"."""
    return name.startswith("loss/") and name.count("/") == 1
