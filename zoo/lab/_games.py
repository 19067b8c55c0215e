"""What the experiments play with: a bare Trainer, a generator that stays as it is, and games of two vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn

from zoo.backbones import MLPDiscriminator
from zoo.cli.quiet import silence
from zoo.dynamics import Alternating, Dynamics
from zoo.gan import GAN


def fit(
    gan: GAN, data: LightningDataModule | Stream, steps: int, look: Callable[[int], None] = lambda step: None
) -> None:
    """Play `steps` batches on the CPU, without a file or a line of output; `look(n)` is called after the n-th."""

    class Look(Callback):
        def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
            look(gan.steps)

    with silence():
        trainer = Trainer(
            accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, max_epochs=-1, max_steps=gan.steps + steps, callbacks=[Look()],
        )  # fmt: skip
        trainer.fit(gan, data)


def train_critic(
    objective: type[GAN], generator: nn.Module, critic: MLPDiscriminator, data: LightningDataModule | Stream,
    steps: int, look: Callable[[int], None] = lambda step: None, **kwargs: Any,
) -> MLPDiscriminator:  # fmt: skip
    """Train D alone for `steps` batches against a fixed generator; returns it, in float64."""
    fit(objective(generator, critic, dynamics=Alternating(d_steps=steps + 1), **kwargs), data, steps, look)
    return critic.double()


class Stream:
    """`steps` batches, each what `draw()` returns: (N, ...), without labels."""

    def __init__(self, draw: Callable[[], Tensor], steps: int) -> None:
        self.draw, self.steps = draw, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        for _ in range(self.steps):
            yield (self.draw(),)


class Fixed(nn.Module):
    """A generator that is known and stays: `make` maps z (N, latent_dim) to samples."""

    num_classes = None

    def __init__(self, make: Callable[[Tensor], Tensor], latent_dim: int) -> None:
        super().__init__()
        self.make, self.latent_dim = make, latent_dim
        self.still = nn.Parameter(torch.zeros(1), requires_grad=False)  # an optimiser wants one

    def forward(self, z: Tensor) -> Tensor:
        """G(z)."""
        return self.make(z)


def around(points: Tensor, std: float) -> Fixed:
    """The generator that draws one of the points (N, 2) and adds N(0, std² I)."""

    def make(z: Tensor) -> Tensor:
        share = torch.special.ndtr(z[:, 0])  # uniform on [0, 1]
        return points[(share * len(points)).long().clamp_max(len(points) - 1)] + std * z[:, 1:]

    return Fixed(make, latent_dim=3)


class Vector(nn.Module):
    """A player that is one vector v, in float64.

    As a generator it returns `strategy(v)` for any z; as a discriminator, given `payoff`, it scores x as
    x · payoff · strategy(v).
    """

    latent_dim, num_classes = 1, None

    def __init__(self, v: Tensor, strategy: Callable[[Tensor], Tensor], payoff: Tensor | None = None) -> None:
        super().__init__()
        self.v, self.strategy, self.payoff = nn.Parameter(v.double().clone()), strategy, payoff

    def forward(self, x: Tensor) -> Tensor:
        """The choice, (N, K), or the score, (N,)."""
        choice = self.strategy(self.v)
        return choice.expand(len(x), -1) if self.payoff is None else x @ self.payoff @ choice


class Zerosum(GAN):
    """f(y, x) = y · payoff · x: D's vector x climbs, G's vector y descends. Real data play no part."""

    @staticmethod
    def d_loss(d_real: Tensor, d_fake: Tensor) -> Tensor:
        """-f: D climbs."""
        return -d_fake.mean()

    @staticmethod
    def g_loss(d_fake: Tensor) -> Tensor:
        """The payoff f: G descends."""
        return d_fake.mean()


def play_zerosum(
    dynamics: Dynamics, payoff: Tensor, start: tuple[Tensor, Tensor], steps: int, *, lr: float,
    d_penalty: float = 0.0, strategy: Callable[[Tensor], Tensor] = lambda v: v, **kwargs: Any,
) -> Tensor:  # fmt: skip
    """Play f(y, x) by plain gradient steps of size `lr`.

    Args:
        dynamics: who moves when.
        payoff: the matrix of f, float64.
        start: D's vector x and G's vector y, before their strategies.
        steps: how many.
        lr: of both players.
        d_penalty: weight w of the penalty w/2 ‖x‖² on D's vector.
        strategy: from a player's vector to its choice.
        kwargs: the rest of `GAN`.

    Returns:
        (steps + 1, 2, K): the choices of D and of G, from the start on.
    """
    x, y = start

    def descent(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=lr)

    generator, discriminator = Vector(y, strategy), Vector(x, strategy, payoff)
    penalised = partial(torch.optim.SGD, lr=lr, weight_decay=d_penalty)  # under SGD the same as the penalty
    gan = Zerosum(generator, discriminator, dynamics=dynamics, g_optimizer=descent, d_optimizer=penalised, **kwargs)
    path: list[Tensor] = []

    def look(step: int) -> None:
        with torch.no_grad():
            path.append(torch.stack([strategy(discriminator.v), strategy(generator.v)]))

    look(0)
    nothing = torch.zeros(1, len(payoff), dtype=torch.float64)
    fit(gan, Stream(lambda: nothing, steps), steps, look)
    return torch.stack(path)
