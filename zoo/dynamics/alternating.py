"""Who moves when: one side after the other."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from zoo.support.described import Described
from zoo.types import Data, Game, Turn


class Dynamics(Described, nn.Module, ABC):
    """Plays the turns of a game on one batch; a module, so that its state is saved with the run."""

    double_backward: ClassVar[bool] = False  # it takes gradients of a network's gradients

    def prepare(self, gan: Game) -> None:
        """Refuse, with a ValueError, a GAN that this dynamics is not for; once, near the end of `GAN.__init__`."""

    @abstractmethod
    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch: those of `gan.turns()` that are due."""


class Alternating(Dynamics):
    """The discriminator's turns on every batch; the others' `g_steps` times on every `d_steps`-th batch.

    So every D step sees real data of its own (Goodfellow et al. 2014, algorithm 1; Arjovsky et al. 2017, algorithm 1
    with `d_steps` = n_critic). Each move that uses G(z) draws new latents.

    Args:
        d_steps: discriminator moves per round, at least 1.
        g_steps: generator moves per round, at least 1; those of one round see the same real batch.
    """

    def __init__(self, d_steps: int = 1, g_steps: int = 1) -> None:
        super().__init__()
        for name, steps in (("d_steps", d_steps), ("g_steps", g_steps)):
            if steps < 1:
                raise ValueError(f"{type(self).__name__}: {name} must be at least 1, got {steps}")
        self.d_steps, self.g_steps = d_steps, g_steps

    def forward(self, gan: Game, data: Data) -> None:
        """Play one batch."""
        for turn in gan.turns():
            g_moves = self.g_steps if self.round_ends(gan) else 0
            for _ in range(1 if turn.side == "d" else g_moves):
                self.play(gan, turn, data)

    def play(self, gan: Game, turn: Turn, data: Data) -> None:
        """One move; override it to change how a turn is played."""
        gan.play(turn, data)

    def round_ends(self, gan: Game) -> bool:
        """Whether the generator's side moves on this batch."""
        return (gan.steps + 1) % self.d_steps == 0

    def extra_repr(self) -> str:
        """The step counts, for printing."""
        return f"d_steps={self.d_steps}, g_steps={self.g_steps}"
