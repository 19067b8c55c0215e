"""Refusals that several dynamics share."""

from torch import nn

from zoo.types import Game, Turn


def at_least(dynamics: nn.Module, least: float, **values: float) -> None:
    """Refuse an argument that is too small; ValueError names it."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{type(dynamics).__name__}: {name} must be at least {least}, got {value}")


def two_players(gan: Game, dynamics: nn.Module) -> tuple[Turn, Turn]:
    """The turns of D and of G, for dynamics that are defined between these two only.

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
