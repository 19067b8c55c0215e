"""Keep networks as they are while others move."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze(game: nn.Module, players: Mapping[str, nn.Module], names: Sequence[str]) -> None:
    """Keep parts of a game's players as they are for good: no gradients, no new statistics in batch norms.

    In training a frozen batch norm normalises by its batch, as others do. The vectors of spectral norm, which measure
    a weight, go on following it.

    Args:
        game: what holds the players.
        players: by name.
        names: of modules or parameters in `game`, as "discriminator.trunk.0"; a module stands for all below it.

    Raises:
        ValueError: for a name with no player's parameters below it, or if nothing of a player were left to move.
    """
    played = {p for net in players.values() for p in net.parameters()}
    parameters = {key: p for key, p in game.named_parameters() if p in played}
    chosen: set[nn.Parameter] = set()
    for name in names:
        below = {p for key, p in parameters.items() if _below(key, name)}
        if not below:
            raise ValueError(f"freeze: {name!r} has no player's parameters{_close(name, parameters)}")
        chosen |= below
    for player, net in players.items():
        mine = set(net.parameters())
        if mine & chosen and not any(p.requires_grad for p in mine - chosen):
            raise ValueError(f"freeze: nothing of player {player} would be left to move; freeze less of it")
    for parameter in chosen:
        parameter.requires_grad_(False)
    for key, module in game.named_modules():
        if isinstance(module, _BatchNorm) and any(_below(key, name) for name in names):
            module.track_running_stats = False


def _below(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _close(name: str, keys: Iterable[str]) -> str:
    known = {part for key in keys for part in accumulate(key.split("."), "{}.{}".format)}
    close = get_close_matches(name, known, n=3)
    tops = sorted(part for part in known if "." not in part)
    return f"; did you mean {' or '.join(close)}?" if close else f"; names begin with {' or '.join(tops)}"


@contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """No gradients for these parameters; what was frozen before stays so after."""
    parameters = [p for p in parameters if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class Buffers:
    """A copy of the buffers of some networks."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self.buffers = [buffer for net in networks for buffer in net.buffers()]
        self.values = [buffer.clone() for buffer in self.buffers]

    @torch.no_grad()
    def restore(self, where: Tensor | None = None) -> None:
        """Put them back; with `where`, a scalar on their device, only if it is not 0, decided there."""
        for buffer, value in zip(self.buffers, self.values, strict=True):
            buffer.copy_(value if where is None else torch.where(where.bool(), value, buffer))


def running_statistics(networks: Iterable[nn.Module]) -> list[Tensor]:
    """The running means and variances of these networks' batch norms; each rank has its own."""
    norms = [m for net in networks for m in net.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    return [b for m in norms for b in (m.running_mean, m.running_var) if b is not None]


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode; every submodule's own mode is put back at the end."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
