"""Who moves, how often, with what foresight: a dynamics plays one batch of real data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import nn

from zoo.types import Data

if TYPE_CHECKING:
    from zoo.gan import GAN


class Dynamics(nn.Module, ABC):
    """Plays the turns of a game on one batch; a module, so that what it must remember is saved with the run."""

    def prepare(self, gan: GAN) -> None:
        """Refuse a game that cannot be played this way, once, at the end of `GAN.__init__`."""

    @abstractmethod
    def forward(self, gan: GAN, data: Data) -> None:
        """Play one batch: call `gan.play(turn, data)` for the turns of `gan.turns()` that are due."""


class Alternating(Dynamics):
    """The discriminator's turns on every batch; the others' `g_steps` times on every `d_steps`-th batch.

    Every discriminator step so has real data of its own (Goodfellow et al. 2014, algorithm 1; Arjovsky et al. 2017,
    algorithm 1 with `d_steps` = n_critic). Each move draws new latents.

    Args:
        d_steps: discriminator moves per round, at least 1.
        g_steps: generator moves per round, at least 1; those of one round see the same real batch.
    """

    def __init__(self, d_steps: int = 1, g_steps: int = 1) -> None:
        super().__init__()
        for name, value in (("d_steps", d_steps), ("g_steps", g_steps)):
            if value < 1:
                raise ValueError(f"Alternating: {name} must be at least 1, got {value}")
        self.d_steps, self.g_steps = d_steps, g_steps

    def forward(self, gan: GAN, data: Data) -> None:
        """Play one batch."""
        generators_turn = (gan.steps + 1) % self.d_steps == 0
        for turn in gan.turns():
            if turn.side == "d":
                gan.play(turn, data)
            elif generators_turn:
                for _ in range(self.g_steps):
                    gan.play(turn, data)

    def extra_repr(self) -> str:
        """The step counts, for printing."""
        return f"d_steps={self.d_steps}, g_steps={self.g_steps}"
