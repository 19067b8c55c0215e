"""Callbacks of a run: its length, its output, its files."""

from zoo.callbacks.budget import Budget
from zoo.callbacks.checkpoints import Checkpoints
from zoo.callbacks.patience import Patience
from zoo.callbacks.progress import Progress
from zoo.callbacks.quality import Quality
from zoo.callbacks.record import RunRecord
from zoo.callbacks.samples import Samples
from zoo.callbacks.stopping import EarlyStopping
from zoo.diagnostics.callback import Diagnostics
from zoo.run.schedule import Every

__all__ = [
    "Budget", "Checkpoints", "Diagnostics", "EarlyStopping", "Every", "Patience", "Progress", "Quality", "RunRecord",
    "Samples",
]  # fmt: skip
