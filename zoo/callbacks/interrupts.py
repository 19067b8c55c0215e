"""Signals that stop a run between two batches."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from zoo import distributed

_AGREE_EVERY = 10  # batches between two looks of several ranks at what any of them has heard


class Requeue(SIGTERMException):
    """A stop by SIGUSR1 or SIGUSR2: the run is saved, and is to be started again."""


_EFFECTS = {
    "SIGINT": KeyboardInterrupt, "SIGHUP": SIGTERMException, "SIGTERM": SIGTERMException, "SIGUSR2": Requeue,
    "SIGUSR1": Requeue,
}  # fmt: skip
_HEARD = [getattr(signal, name) for name in _EFFECTS if hasattr(signal, name)]  # Windows has SIGINT and SIGTERM


class Interrupts:
    """Handles Ctrl-C, SIGHUP, SIGTERM, SIGUSR1 and SIGUSR2 from :meth:`listen` until :meth:`restore`.

    Lightning's own handlers are replaced: on SIGTERM its ranks do not all stop after the same batch, and on SIGUSR1 it
    saves in the middle of one. The second Ctrl-C is not handled, nor SIGHUP under nohup, and outside the main thread
    nothing is.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._heard = 0  # place in _HEARD, from 1, of the signal of most consequence; 0 for none
        self._world_size = 1

    def listen(self, trainer: Trainer) -> None:
        """Install the handlers."""
        self._heard, self._world_size = 0, trainer.world_size
        if threading.current_thread() is threading.main_thread():
            for number in _HEARD:
                if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)

    def restore(self) -> None:
        """Install the previous handlers."""
        for number in list(self._before):
            self._give_back(number)

    def stop(self, steps: int, device: torch.device) -> BaseException | None:
        """What to raise now, after batch number `steps`: on all ranks after the same one, at most ten later."""
        heard = self._heard
        if self._world_size > 1:
            if steps % _AGREE_EVERY:
                return None
            heard = distributed.largest(heard, device)
        return _EFFECTS[_HEARD[heard - 1].name]() if heard else None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = max(self._heard, _HEARD.index(number) + 1)
        if number == signal.SIGINT:
            self._give_back(signal.SIGINT)
            rank_zero_info("Finishing this batch; press Ctrl-C again to stop without it.")
        else:
            rank_zero_info(f"{signal.Signals(number).name}: saving after this batch.")

    def _give_back(self, number: signal.Signals) -> None:
        signal.signal(number, self._before.pop(number) or signal.SIG_DFL)
