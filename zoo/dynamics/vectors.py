"""A network's parameters as one vector."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def flat(net: nn.Module) -> Tensor:
    """A copy of all parameters, (P,), in the order of `net.parameters()`."""
    return torch.cat([p.reshape(-1) for p in net.parameters()])


@torch.no_grad()
def write(net: nn.Module, vector: Tensor) -> None:
    """Set all parameters to the numbers of a vector (P,)."""
    parameters = list(net.parameters())
    for parameter, part in zip(parameters, torch.split(vector, [p.numel() for p in parameters]), strict=True):
        parameter.copy_(part.view_as(parameter))
