"""Minibatch discrimination: D sees how alike the images of a batch are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from zoo import distributed
from zoo.stabilizers.base import Stabilizer
from zoo.stabilizers.penalty import refuse_penalties
from zoo.types import Game


class Closeness(nn.Module):
    """f (N, in_features) to o (N, kernels), oᵢ = Σ_{j≠i} exp(-‖Mᵢ - Mⱼ‖₁), Mᵢ = fᵢT a matrix of kernels × dims.

    Each o is in [0, N-1], where N counts the images of all ranks: 0 for an image unlike all others, N-1 in a batch of
    copies. T starts as N(0, 1/in_features).

    Args:
        in_features: width of f.
        kernels: how many distances.
        dims: numbers that each of them compares.
    """

    def __init__(self, in_features: int, kernels: int = 100, dims: int = 5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, kernels * dims))
        self.kernels, self.dims = kernels, dims
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """N(0, 1/in_features)."""
        with torch.no_grad():
            self.weight.copy_(torch.randn_like(self.weight) / len(self.weight) ** 0.5)

    def forward(self, f: Tensor) -> Tensor:
        """How close each image is to the others, (N, kernels)."""
        mine = (f @ self.weight).view(len(f), self.kernels, self.dims)
        distance = (mine[:, None] - distributed.gather(mine)[None]).abs().sum(3)
        return (-distance).exp().sum(1) - 1


class MinibatchDiscrimination(Stabilizer):
    """D's last layer also sees how close each image is to the rest of its batch (Salimans et al. 2016, section 3.2).

    D can see that samples are too alike. Real images and fakes are compared in batches of their own, over all ranks, so
    that ranks agree with one process.

    Deviations: an image is not compared with itself, as in the authors' code; the paper sums over all j, which is one
    more everywhere (from memory). Their initialisation from data is left out: T is random, and the last layer's new
    weights start as N(0, 0.02).

    Args:
        kernels: how many distances; the authors use 100 (ImageNet 300, and the mean instead of the sum).
        dims: numbers that each of them compares; the authors use 5 (ImageNet 50).

    Raises:
        ValueError: for sizes below 1; for a D without a linear `head`; with a gradient penalty; after `SpectralNorm`.
    """

    def __init__(self, kernels: int = 100, dims: int = 5) -> None:
        super().__init__()
        if kernels < 1 or dims < 1:
            raise ValueError(f"MinibatchDiscrimination: kernels and dims must be at least 1, got {kernels} and {dims}")
        self.kernels, self.dims = kernels, dims

    def prepare(self, gan: Game) -> None:
        """Widen D's head."""
        name = type(gan).__name__
        refuse_penalties(gan, "MinibatchDiscrimination makes each score depend on the whole batch")
        for net in gan.discriminators():
            head = getattr(net, "head", None)
            if not isinstance(head, nn.Linear):
                raise ValueError(
                    f"{name}: MinibatchDiscrimination widens D's last layer, but the {type(net).__name__} "
                    "has no linear `head`; use a discriminator of zoo.backbones that scores"
                )
            if is_parametrized(head):
                raise ValueError(
                    f"{name}: put MinibatchDiscrimination before SpectralNorm, which must see all of D's weights"
                )
            net.head = _Head(head, self.kernels, self.dims)

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return f"kernels={self.kernels}, dims={self.dims}"


class _Head(nn.Module):
    """A linear layer on [f, o(f)], (N, in_features) to (N, 1): the one on f that was there, and one more on o."""

    def __init__(self, head: nn.Linear, kernels: int, dims: int) -> None:
        super().__init__()
        self.head = head
        self.closeness = Closeness(head.in_features, kernels, dims)
        self.extra = nn.Linear(kernels, 1, bias=False)
        nn.init.normal_(self.extra.weight, std=0.02)

    def forward(self, f: Tensor) -> Tensor:
        return self.head(f) + self.extra(self.closeness(f))
