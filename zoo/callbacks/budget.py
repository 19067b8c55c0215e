"""How long a run trains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

if TYPE_CHECKING:
    from zoo.gan import GAN


class Budget(Callback):
    """Ends the fit with the batch that reaches `kimg` thousand real images, in mid-epoch or not.

    A run resumed with its budget already spent ends before its first batch: the count is looked at
    in ``on_fit_start`` too, and Lightning leaves the loop alone if it is told to stop there.
    ``Trainer(min_epochs=...)`` and ``min_steps`` go first.

    Args:
        kimg: over all ranks, and over all resumes of the run; None sets no limit.

    Raises:
        ValueError: `kimg` is not positive and finite.
    """

    def __init__(self, kimg: float | None = None) -> None:
        if kimg is not None and not 0 < kimg < math.inf:
            raise ValueError(f"Budget: kimg must be positive and finite, or None, got {kimg}")
        self.kimg = kimg

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train nothing if the budget is spent."""
        self._check(trainer, cast("GAN", pl_module))

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Stop when it is."""
        self._check(trainer, cast("GAN", pl_module))

    def _check(self, trainer: Trainer, gan: GAN) -> None:
        if self.kimg is not None and gan.kimg >= self.kimg:
            trainer.should_stop = True
