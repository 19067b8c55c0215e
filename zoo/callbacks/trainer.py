"""What callbacks ask a Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from lightning.pytorch import Callback, Trainer

C = TypeVar("C", bound=Callback)


def find(trainer: Trainer, kind: type[C]) -> C | None:
    """The first callback of a kind, or None."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((c for c in callbacks if isinstance(c, kind)), None)


def run_folder(trainer: Trainer) -> Path:
    """Where a run's files go: the first logger's folder. To be asked on every rank."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def leaves_nothing(trainer: Trainer) -> bool:
    """Whether this is a ``fast_dev_run``, which writes no files."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
