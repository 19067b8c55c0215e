"""How a tensor lies in memory."""

import torch
from torch import Tensor


def flat(x: Tensor) -> Tensor | None:
    """All numbers of x in the order of its memory, a view (n,); None if there are gaps in it."""
    if x.is_contiguous():
        return x.view(-1)
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x.permute(0, 2, 3, 1).view(-1) if last else None
