"""How long a run trains."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.run.trainer import say

if TYPE_CHECKING:
    from zoo.gan import GAN

VARIABLE = "GAN_ZOO_MAX_KIMG"


class Budget(Callback):
    """Ends the fit with the batch that reaches `kimg` thousand real images, in mid-epoch or not.

    A run resumed with its budget already spent ends before its first batch: the count is looked at
    in ``on_fit_start`` too, and Lightning leaves the loop alone if it is asked to stop there.
    ``Trainer(min_epochs=...)`` and ``min_steps`` go first.

    The environment variable ``GAN_ZOO_MAX_KIMG`` limits every fit to so many kimg from where it starts, to try commands
    with long budgets as they are.

    Args:
        kimg: over all ranks, and over all resumes of the run; None sets no limit.

    Raises:
        ValueError: `kimg`, or the variable, is not positive and finite.
    """

    def __init__(self, kimg: float | None = None) -> None:
        if kimg is not None and not 0 < kimg < math.inf:
            raise ValueError(f"Budget: kimg must be positive and finite, or None, got {kimg}")
        self.kimg = kimg
        self._most = _from_environment()
        self._end = math.inf

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train nothing if the budget is spent."""
        self._end = min(math.inf if self.kimg is None else self.kimg, cast("GAN", pl_module).kimg + self._most)
        self._check(trainer, cast("GAN", pl_module))
        if trainer.should_stop:
            kimg = cast("GAN", pl_module).kimg
            say(trainer, f"{kimg:g} kimg are over, and the budget is {self._end:g}: raise --budget.kimg to go on")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Stop when it is."""
        self._check(trainer, cast("GAN", pl_module))

    def _check(self, trainer: Trainer, gan: GAN) -> None:
        if gan.kimg >= self._end:
            trainer.should_stop = True


def _from_environment() -> float:
    """Of `GAN_ZOO_MAX_KIMG`, infinite where it is not set."""
    text = os.environ.get(VARIABLE, "inf")
    try:
        most = float(text)
    except ValueError:
        most = math.nan
    if not most > 0:
        raise ValueError(f"{VARIABLE} must be a positive number, got {text!r}")
    return most
