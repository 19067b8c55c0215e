"""What the processes of a distributed run must agree on. With one process everything here does nothing."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean(value: Tensor) -> Tensor:
    """The mean over ranks, without a graph."""
    value = value.detach()
    if world_size() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value / world_size()


def deviation(value: Tensor) -> Tensor:
    """The standard deviation of all elements on all ranks, a scalar without a graph; each rank holds as many."""
    if world_size() == 1:
        return value.detach().std(correction=0)
    mine = torch.stack([value.detach().mean(), value.detach().var(correction=0)])
    means, variances = gather(mine[None]).T
    return (variances.mean() + means.var(correction=0)).sqrt()


def mean_with_graph(values: list[Tensor]) -> list[Tensor]:
    """The means over ranks, differentiable: what is made of them is the same on every rank."""
    if world_size() == 1:
        return values
    return [_Sum.apply(value) / world_size() for value in values]


def largest(value: int, device: torch.device) -> int:
    """The largest of all ranks' values; `device` is where they exchange it."""
    if world_size() == 1:
        return value
    tensor = torch.tensor(value, device=device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)


def gather(value: Tensor) -> Tensor:
    """The rows of all ranks, (W·N, ...), differentiable; each rank holds as many."""
    if world_size() == 1:
        return value
    before, after = dist.get_rank(), world_size() - dist.get_rank() - 1
    empty = torch.zeros_like(value)
    return _Sum.apply(torch.cat([*[empty] * before, value, *[empty] * after]))


class _Sum(torch.autograd.Function):
    """The sum over ranks; its gradient is the sum of all ranks' gradients, and so on."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)


def collect(value: Any) -> list[Any]:
    """Every rank's value, in their order; anything that can be pickled."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


@torch.no_grad()
def average(values: list[Tensor]) -> None:
    """Replace each tensor, in place, by its mean over ranks, in one exchange."""
    if world_size() == 1:
        return
    flat = torch.cat([value.flatten() for value in values])
    dist.all_reduce(flat)
    flat.div_(world_size())
    for value, part in zip(values, torch.split(flat, [v.numel() for v in values]), strict=True):
        value.copy_(part.view(value.shape))


@torch.no_grad()
def broadcast_buffers(module: nn.Module) -> None:
    """Send rank 0's buffers to all ranks; manual optimisation does not, so running statistics would drift."""
    if world_size() == 1:
        return
    for buffer in module.buffers():
        dist.broadcast(buffer, src=0)


def share(n: int) -> slice:
    """The rows of n that this process takes: as many for each, the last perhaps fewer."""
    each = -(-n // world_size())
    rank = dist.get_rank() if world_size() > 1 else 0
    return slice(rank * each, min(n, (rank + 1) * each))


@torch.no_grad()
def gather_rows(value: Tensor, n: int) -> Tensor:
    """All n rows, of which each process has its `share`; without a graph."""
    if world_size() == 1:
        return value
    device = "cuda" if dist.get_backend() == "nccl" else value.device
    padded = value.new_zeros(-(-n // world_size()), *value.shape[1:], device=device)
    padded[: len(value)] = value
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    dist.all_gather(parts, padded)
    return torch.cat(parts)[:n].to(value.device)
