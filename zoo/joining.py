"""Take several batches in one pass, where that changes nothing."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from zoo.types import Verdict


def samplewise(net: nn.Module) -> bool:
    """Whether a network treats each sample by itself, draws nothing and remembers nothing.

    It says so by a true attribute `samplewise`, as the networks of `zoo.backbones` do, and no part of it says
    otherwise: by a false one, by being a batch norm or a dropout, or by a buffer (power iteration, reference batch).
    """
    if not getattr(net, "samplewise", False):
        return False
    return not any(
        isinstance(m, _BatchNorm | _DropoutNd) or not getattr(m, "samplewise", True) or list(m.buffers(recurse=False))
        for m in net.modules()
    )


def split(verdict: Verdict, sizes: list[int]) -> list[Verdict]:
    """A verdict on batches one after the other, as one on each."""
    scores = torch.split(verdict.score, sizes)
    features = {name: torch.split(value, sizes) for name, value in verdict.features.items()}
    return [Verdict(s, {name: parts[i] for name, parts in features.items()}) for i, s in enumerate(scores)]
