"""What the bare loops share: players that wake up to move, an average, fresh latents, batches from memory.

Plain torch: nothing here imports the zoo or Lightning. A loop does the least work that its mathematics needs.

- Who does not move sleeps: its parameters want no gradient, so no graph leads through it, and its batch norms keep no
  running statistics. Only movers are switched, twice a turn.
- D scores real and fake in one call where no layer looks at the whole batch.
- Several batches of one network go in one call only where that adds no FLOPs: a gradient that nobody wants.
- A network that is differentiated once has torch's own rectifiers, not the zoo's, which are for twice and Python.
- Gradients are forgotten rather than zeroed, one optimiser steps all that moves together, the average is one call.
- Losses are kept as references; nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.optim import Optimizer

Make = Callable[[list[nn.Parameter]], Optimizer]


class Draws(Protocol):
    """Where random numbers come from; `zoo.noise.Noise` is one, for tests."""

    def begin(self, step: int) -> None:
        """Start the draws of a step."""

    def normal(self, *shape: int, dtype: torch.dtype = ...) -> Tensor:
        """Standard normal."""

    def uniform(self, *shape: int, dtype: torch.dtype = ...) -> Tensor:
        """Uniform on [0, 1)."""


class TorchDraws:
    """torch's own global stream."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device

    def begin(self, step: int) -> None:
        """Nothing."""

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal."""
        return torch.randn(*shape, dtype=dtype, device=self.device)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform on [0, 1)."""
        return torch.rand(*shape, dtype=dtype, device=self.device)


class Player:
    """Networks that move together, asleep between their moves.

    Asleep, no parameter wants a gradient and no buffer changes: batch norms use the batch's statistics and keep none,
    the vectors of spectral norms are put back on waking.
    """

    def __init__(self, make: Make, *nets: nn.Module) -> None:
        self.parameters = [p for net in nets for p in net.parameters()]
        self.optimizer = make(self.parameters)
        if self.parameters[0].is_cpu:  # Lightning, in the same process, makes this check slow
            self.optimizer._accelerator_graph_capture_health_check = lambda: None  # type: ignore[method-assign]
        modules = [module for net in nets for module in net.modules()]
        self.norms = [m for m in modules if isinstance(m, _BatchNorm)]
        self.vectors = [b for m in modules if is_parametrized(m) for b in m.parametrizations.buffers()]  # type: ignore[union-attr]
        self.sleep()

    def sleep(self) -> None:
        """Stand still."""
        self._switch(False)
        self.kept = [vector.clone() for vector in self.vectors]

    def wake(self) -> None:
        """Be ready to move."""
        self._switch(True)
        for vector, kept in zip(self.vectors, self.kept, strict=True):
            vector.copy_(kept)

    def move(self, loss: Tensor, *others: Player) -> Tensor:
        """One step down the loss, of others too, then sleep; returns the loss without its graph."""
        movers = (self, *others)
        torch.autograd.backward(loss, inputs=[p for player in movers for p in player.parameters])
        for player in movers:
            player.optimizer.step()
            player.optimizer.zero_grad()
            player.sleep()
        return loss.detach()

    def _switch(self, awake: bool) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(awake)
        for norm in self.norms:
            norm.track_running_stats = awake


class Loop:
    """A game written by hand: `step` plays one batch of real images, as `GAN.training_step` does.

    Args:
        networks: by the names that a configuration has for them; trained in place.
        d_optimizer: makes D's optimiser from its parameters.
        g_optimizer: makes everybody else's.
        d_steps: batches for each move of the generator.
        ema_decay: of the generator's average.
        draws: where latents come from.
    """

    twice: ClassVar[frozenset[str]] = frozenset()  # networks that are differentiated twice

    def __init__(
        self,
        networks: dict[str, nn.Module],
        *,
        d_optimizer: Make,
        g_optimizer: Make,
        d_steps: int = 1,
        ema_decay: float = 0.999,
        draws: Draws | None = None,
    ) -> None:
        self.networks, self.d_steps, self.ema_decay = networks, d_steps, ema_decay
        for name, net in networks.items():
            if name not in self.twice:
                rectify_natively(net)
        self.G, self.D = networks["generator"], networks["discriminator"]
        first = next(self.G.parameters())
        self.draws: Draws = draws or TorchDraws(first.device)
        self.latent_dim: int = self.G.latent_dim  # type: ignore[assignment]
        self.dtype = first.dtype
        self.averaged = deepcopy(self.G).requires_grad_(False)
        self.steps = self.g_moves = 0
        self.losses: dict[str, Tensor] = {}
        self.separate = {net: looks_at_the_batch(net) for net in networks.values()}
        self.enlist(d_optimizer, g_optimizer)

    def enlist(self, d_optimizer: Make, g_optimizer: Make) -> None:
        """Make the players."""
        self.d, self.g = Player(d_optimizer, self.D), Player(g_optimizer, self.G)

    def step(self, real: Tensor) -> None:
        """Play one batch: D's moves always, the others' on every `d_steps`-th."""
        self.draws.begin(self.steps)
        self.steps += 1
        self.d_move(real)
        if self.steps % self.d_steps == 0:
            self.g_move(real)

    def d_move(self, real: Tensor) -> None:
        """D's turn."""
        raise NotImplementedError

    def g_move(self, real: Tensor) -> None:
        """The turn of all others."""
        raise NotImplementedError

    def latent(self, n: int) -> Tensor:
        """z (n, latent_dim), standard normal."""
        return self.draws.normal(n, self.latent_dim, dtype=self.dtype)

    def apply(self, net: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The net on each of several batches of one size, in one call where that is the same."""
        if self.separate[net]:
            return tuple(first_of(net(x)) for x in inputs)
        return first_of(net(torch.cat(inputs))).chunk(len(inputs))

    def score(self, x: Tensor) -> Tensor:
        """D(x), (N,)."""
        return first_of(self.D(x))

    def average(self) -> None:
        """The generator's average after one of its moves."""
        self.g_moves += 1
        decay = min(self.ema_decay, (1 + self.g_moves) / (10 + self.g_moves))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.G.parameters()), 1 - decay)
        buffers = list(self.G.buffers())
        if buffers:
            torch._foreach_copy_(list(self.averaged.buffers()), buffers)


class Deal:
    """Endless shuffled batches of data in memory: a gather, and u / 127.5 - 1 for uint8.

    The data lie on the device.
    """

    def __init__(self, data: Tensor, batch: int, device: torch.device | str = "cpu") -> None:
        self.data, self.batch = data.to(device), batch

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            for rows in torch.split(torch.randperm(len(self.data), device=self.data.device), self.batch):
                if len(rows) == self.batch:
                    x = self.data.index_select(0, rows)
                    yield x.to(torch.float32).div_(127.5).sub_(1.0) if x.dtype == torch.uint8 else x


def first_of(said: Tensor | Sequence[Tensor]) -> Tensor:
    """The score of what a discriminator returns."""
    return said if isinstance(said, Tensor) else said[0]


def looks_at_the_batch(net: nn.Module) -> bool:
    """Whether two batches in one call would not be the same: batch norm, or a power iteration a call."""
    return any(isinstance(m, _BatchNorm) or is_parametrized(m) for m in net.modules())


def rectify_natively(net: nn.Module) -> None:
    """Put torch's own ReLU and LeakyReLU where there are subclasses of them."""
    for name, child in net.named_children():
        if isinstance(child, nn.LeakyReLU):
            setattr(net, name, nn.LeakyReLU(child.negative_slope, child.inplace))
        elif isinstance(child, nn.ReLU):
            setattr(net, name, nn.ReLU(child.inplace))
        else:
            rectify_natively(child)
