"""Keep networks as they are while others move."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen(nets: Iterable[nn.Module]) -> Iterator[None]:
    """No gradients for these networks; what was frozen before stays so after."""
    parameters = [p for net in nets for p in net.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextmanager
def buffers_kept(nets: Iterable[nn.Module]) -> Iterator[None]:
    """Running statistics and power iterations go on inside, and are put back at the end."""
    buffers = [b for net in nets for b in net.buffers()]
    saved = [b.clone() for b in buffers]
    try:
        yield
    finally:
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
