"""Keep networks as they are while others move."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """No gradients for these parameters; what was frozen before stays so after."""
    parameters = [p for p in parameters if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def buffers_kept(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Batch norms leave their running statistics alone inside; any other buffer of a module is put back at the end."""
    keeping = [m for m in modules if m._buffers]
    tracking = [m for m in keeping if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    asleep = set(tracking)
    buffers = [b for m in keeping if m not in asleep for b in m.buffers(recurse=False)]
    saved = [b.clone() for b in buffers]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
        with torch.no_grad():
            for buffer, value in zip(buffers, saved, strict=True):
                buffer.copy_(value)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode; every submodule's own mode is put back at the end."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
