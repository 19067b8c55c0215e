"""What callbacks ask a Trainer."""

from __future__ import annotations

import shutil
import sys
import textwrap
from contextlib import suppress
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


def say(trainer: Trainer, text: str) -> None:
    """Print on rank 0, to stderr, above the progress bar where there is one; not to a terminal that was closed."""
    if trainer.is_global_zero:
        bar = trainer.progress_bar_callback
        with suppress(OSError):
            (print if bar is None else bar.print)(text, file=sys.stderr)  # Lightning's bar takes no flush


def wrapped(text: str, indent: str) -> str:
    """A paragraph as wide as the terminal, 100 columns at most, with an indent from its second line."""
    return textwrap.fill(text, min(shutil.get_terminal_size().columns, 100), subsequent_indent=indent)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules
