"""What a fit is spared around its steps: empty profiles, vain looks at GPUs and signatures, zeroed memory."""

from __future__ import annotations

import ctypes
import inspect
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.optim import Optimizer

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names, from glibc's malloc.h
_NEVER, _GREATEST = 2**31 - 1, 32 * 2**20  # bytes: to keep all that is freed, and all that it allows
_SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
_AROUND_BACKWARD = ("backward", "on_before_backward", "on_after_backward")
_NOTHING: AbstractContextManager[None] = nullcontext()


def keep_memory() -> None:
    """Let the process keep the memory that it frees, for its next allocations; once, for good.

    glibc returns it to the kernel after a step, which hands it out again page by page, zeroed, in the next. Its peak is
    the same. Does nothing where the C library is another, or its limits were set in the environment.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _SET_BY_USER):
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_TRIM_THRESHOLD, _NEVER)
        library.mallopt(_MMAP_THRESHOLD, _GREATEST)


def unobserved(module: LightningModule) -> bool:
    """Whether Lightning would add nothing to a backward pass and a step but three rounds of hooks that nobody has.

    So it is on one device in full precision, where no callback and no override in the module wants to be told.
    """
    trainer = module.trainer
    plain = type(trainer.strategy) is SingleDeviceStrategy and type(trainer.precision_plugin) is Precision
    mine = all(getattr(type(module), name) is getattr(LightningModule, name) for name in _AROUND_BACKWARD)
    hooks = (*_AROUND_BACKWARD[1:], "on_before_optimizer_step")
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return plain and mine and not any(_has(callback, name) for callback in callbacks for name in hooks)


def _has(callback: Callback, hook: str) -> bool:
    return getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)


def skip_graph_capture_check(optimizers: Sequence[Optimizer]) -> None:
    """On a CPU torch need not look, at every step, whether a GPU records it: it opens the driver's library to do so."""
    for optimizer in optimizers:
        if all(parameter.is_cpu for group in optimizer.param_groups for parameter in group["params"]):
            optimizer._accelerator_graph_capture_health_check = _nothing  # type: ignore[method-assign]


def _nothing() -> None:
    pass


def remember_signature(module: LightningModule) -> None:
    """Keep the signature of its training step, which Lightning has `inspect` make anew at every step."""
    step = type(module).training_step
    step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]


class _Unprofiled(PassThroughProfiler):
    def profile(self, action_name: str) -> Any:
        return _NOTHING


def skip_empty_profiler(trainer: Trainer) -> None:
    """Where nobody asked for a profiler, enter none: Lightning's own makes two generators for each of 300 a step."""
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]
        trainer.profiler = _Unprofiled()  # type: ignore[attr-defined]
