"""What every dynamics is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from zoo.described import Described
from zoo.types import Data, Turn

if TYPE_CHECKING:
    from zoo.gan import GAN


class Dynamics(Described, nn.Module, ABC):
    """Plays the turns of a game on one batch; a module, so that what it must remember is saved with the run."""

    differentiates_twice: ClassVar[bool] = False  # whether it takes gradients of a network's gradients

    def prepare(self, gan: GAN) -> None:
        """Refuse a game that cannot be played this way, once, at the end of `GAN.__init__`."""

    @abstractmethod
    def forward(self, gan: GAN, data: Data) -> None:
        """Play one batch: move or play those turns of `gan.turns()` that are due."""


def at_least(dynamics: Dynamics, least: float, **values: float) -> None:
    """Refuse an argument that is too small; ValueError names it."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{type(dynamics).__name__}: {name} must be at least {least}, got {value}")


def two_players(gan: GAN, dynamics: Dynamics) -> tuple[Turn, Turn]:
    """The turns of D and of G, for what is defined between these two only.

    Raises:
        ValueError: if the game has other turns, or D's player is more than the discriminator.
    """
    turns = gan.turns()
    sides = "".join(turn.side for turn in turns)
    names = [name for turn in turns for name in turn.movers]
    if sides != "dg" or len(set(names)) != len(names) or gan.players().get("d") is not gan.discriminator:
        raise ValueError(
            f"{type(dynamics).__name__} is defined between one discriminator and one generator side, but "
            f"{type(gan).__name__} plays {', '.join(f'{t.name} (moves {t.movers})' for t in turns)}; use Alternating"
        )
    return turns[0], turns[1]
