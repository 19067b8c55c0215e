"""Virtual batch normalisation: statistics of a fixed batch instead of the current one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo import distributed
from zoo.noise import Noise
from zoo.stabilizers.base import Stabilizer
from zoo.types import Game, Role, Turn


class VirtualBatchNorm(Stabilizer):
    """Batch norms that look at a fixed reference batch and at the example itself (Salimans et al. 2016, section 3.5).

    The mean and the mean square of an example's normalisation are n/(n+1) · those of the n reference examples + 1/(n+1)
    · its own, so that its output does not depend on the rest of its batch, in training and after. The reference batch
    runs through the network with every batch, which costs n examples more, and is learned through.

    The reference is saved, and the same on all ranks. For G it is the run's first latents (and classes in turn,
    embedded as at the start); for D the real images of its first turn. In that turn, and in a run that has not begun,
    it is standard normal noise.

    Args:
        nets: whose batch norms; the paper has it in G only, for its cost, the authors' code in both.
        size: n, at least 2; D's first batch, over all ranks, must have as many.

    Raises:
        ValueError: for an unknown `nets` or a size below 2; for a network that has no batch norm, or no `net` (G) or
            `trunk` (D) like those of `zoo.backbones`; for D where there are two; on the first turn, if the batch is too
            small.
    """

    def __init__(self, nets: Literal["generator", "discriminator", "both"] = "generator", size: int = 64) -> None:
        super().__init__()
        if nets not in ("generator", "discriminator", "both"):
            raise ValueError(f"VirtualBatchNorm: unknown nets {nets!r}; choose from generator, discriminator, both")
        if size < 2:
            raise ValueError(f"VirtualBatchNorm: size must be at least 2, got {size}")
        self.nets, self.size = nets, size
        self._bodies: dict[str, _Referenced] = {}

    def prepare(self, gan: Game) -> None:
        """Replace the batch norms."""
        if self.nets != "discriminator":
            self._bodies["g"] = self._replace(gan.generator, "net", "input_dim")
        if self.nets != "generator":
            if len(gan.discriminators()) > 1:
                raise ValueError(
                    f"{type(gan).__name__}: VirtualBatchNorm keeps the reference of one discriminator, and there are "
                    f"{len(gan.discriminators())}; use nets: generator"
                )
            self._bodies["d"] = self._replace(gan.discriminator, "trunk", "image_shape")

    def begin(self, gan: Game) -> None:
        """Once, before the first move: G's reference."""
        body = self._bodies.get("g")
        if body is not None and not body.settled:
            z = gan.sample_latent(self.size, Noise(gan.noise.seed, device=gan.device))
            labels = None if gan.num_classes is None else torch.arange(self.size, device=gan.device) % gan.num_classes
            body.watching = True
            with torch.no_grad():
                gan.generate(z, labels)
            body.settle()

    def perturb(self, x: Tensor, *, role: Role, kimg: float, noise: Noise) -> Tensor:
        """Return x unchanged; D's body remembers whether it is real, and the source of noise."""
        if "d" in self._bodies:
            body = self._bodies["d"]
            body.watching = role == "real" and not body.settled
            body.noise = noise
        return x

    def after_turn(self, turn: Turn, gan: Game) -> None:
        """Once, after D's first turn: D's reference."""
        if turn.side == "d" and "d" in self._bodies:
            self._bodies["d"].settle()

    def extra_repr(self) -> str:
        """What is normalised, for printing."""
        return f"nets={self.nets}, size={self.size}"

    def _replace(self, net: nn.Module, part: str, shape: str) -> _Referenced:
        body = getattr(net, part, None)
        if body is None or not hasattr(net, shape):
            raise ValueError(
                f"VirtualBatchNorm: {type(net).__name__} has no {part} and {shape}; use one of zoo.backbones"
            )
        found = 0
        for parent in list(body.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, _BatchNorm):
                    setattr(parent, name, VirtualNorm(child, self.size))
                    found += 1
        if not found:
            raise ValueError(
                f"VirtualBatchNorm: {type(net).__name__} has no batch norm to replace; give it norm: batch"
            )
        wants = getattr(net, shape)
        referenced = _Referenced(body, wants if isinstance(wants, Sequence) else (wants,), self.size)
        setattr(net, part, referenced)
        return referenced


class VirtualNorm(nn.Module):
    """One such layer, in place of a batch norm whose gain and bias it keeps.

    x (n + N, C, ...) begins with the n reference examples, which are normalised with their own statistics.

    Args:
        norm: the batch norm.
        size: n.
    """

    def __init__(self, norm: _BatchNorm, size: int) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.eps, self.size = norm.eps, size

    def reset_parameters(self) -> None:
        """A gain of 1 and a bias of 0."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape, normalised per channel; in float32 at least."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(*x.shape[:2], -1)
        mean, square = self._mixed(wide.mean(2)), self._mixed(wide.square().mean(2))
        scale = self.weight * ((square - mean.square()).relu() + self.eps).rsqrt()
        return ((wide - mean[:, :, None]) * scale[:, :, None] + self.bias[:, None]).to(x.dtype).view_as(x)

    def _mixed(self, own: Tensor) -> Tensor:
        """Statistics (n + N, C) of each example, to those that it is normalised with."""
        reference = own[: self.size].mean(0, keepdim=True)
        mixed = (self.size * reference + own[self.size :]) / (self.size + 1)
        return torch.cat([reference.expand(self.size, -1), mixed])


class _Referenced(nn.Module):
    """A network that runs a reference batch of n in front of every batch, and drops it at the end."""

    reference: Tensor
    known: Tensor

    def __init__(self, net: nn.Module, shape: Sequence[int], size: int) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("reference", torch.randn(size, *shape))
        self.register_buffer("known", torch.zeros((), dtype=torch.bool))
        self.watching = self.settled = False
        self.seen: Tensor | None = None
        self.noise: Noise | None = None  # what layers inside draw from

    def forward(self, x: Tensor) -> Tensor:
        if self.watching:
            self.seen = x.detach()
        n = len(self.reference)
        with nullcontext() if self.noise is None else self.noise.sharing(n):
            return self.net(torch.cat([self.reference.to(x.dtype), x]))[n:]

    def settle(self) -> None:
        """Take what was seen last for the reference, unless a checkpoint brought one; reads `known` once a run."""
        if self.settled or self.seen is None:
            return
        if not self.known:
            rows = distributed.gather(self.seen)[: len(self.reference)]
            if len(rows) < len(self.reference):
                raise ValueError(
                    f"VirtualBatchNorm: size is {len(self.reference)}, but the first batch has {len(rows)} examples; "
                    "lower size, or deal larger batches"
                )
            self.reference.copy_(rows)
            self.known.fill_(True)
        self.settled, self.watching, self.seen = True, False, None
