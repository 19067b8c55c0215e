"""Stop a run whose score no longer improves."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from zoo.callbacks.quality import Quality
from zoo.run.trainer import find, say


class EarlyStopping(Callback):
    """Ends the fit after `patience` measurements of :class:`Quality` in a row that do not improve on the best.

    What improves is what `quality.best_by` names: the score, lower, or for points with known modes modes/score, higher.

    It counts measurements, one every `quality.every_kimg`. Lightning's own callback of this name looks at every epoch,
    and counts an old score again. A NaN is no improvement. The count is in checkpoints.

    Args:
        patience: measurements, at least 1.
        min_delta: by how much it must improve to count, at least 0.

    Attributes:
        reason: why it ended the fit, for run.json; None if it did not.

    Raises:
        ValueError: for arguments out of range; when a fit starts, without a Quality.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0) -> None:
        if patience < 1 or min_delta < 0:
            raise ValueError(
                f"EarlyStopping: patience must be at least 1 and min_delta at least 0, got {patience} and {min_delta}"
            )
        self.patience, self.min_delta = patience, min_delta
        self.reason: str | None = None
        self._best, self._waited, self._seen = math.inf, 0, -1.0

    def state_dict(self) -> dict[str, Any]:
        """The lowest score, how many measurements ago it was, and the kimg of the last one."""
        return {"best": self._best, "waited": self._waited, "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore them."""
        self._best, self._waited, self._seen = (state_dict[key] for key in ("best", "waited", "seen"))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a fit in which nothing is measured."""
        if find(trainer, Quality) is None:
            raise ValueError("EarlyStopping: nothing is measured without the callback Quality")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Count a new measurement."""
        quality = find(trainer, Quality)
        if quality is None or quality.score is None or quality.score_kimg in (None, self._seen):
            return
        self._seen = float(quality.score_kimg)
        if quality.to_minimise < self._best - self.min_delta:
            self._best, self._waited = quality.to_minimise, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            lower = quality.chosen_name == quality.score_name
            self.reason = (
                f"{quality.chosen_name} did not {'fall below' if lower else 'rise above'} "
                f"{self._best if lower else -self._best:.4g} in {self._waited} measurements, "
                f"the last at {self._seen:g} kimg"
            )
            trainer.should_stop = True
            say(trainer, f"EarlyStopping: {self.reason}")
